"""An editor reads what visitors asked, and goes on from what could not be answered."""

from __future__ import annotations

import uuid

import pytest
from playwright.sync_api import expect

from tests.index_helpers import build
from tests.visitor_helpers import make_exchange, unanswered

from .looking import NARROW, look

LONG = "Isthereaveryveryverylongwordthatnobodycanbreakanywhere" * 3


@pytest.fixture
def asked(site, make_page):
    """Questions in every state that the reports tell apart, and the page that one of them needs."""
    page = make_page("Dogs in the cafe", "Dogs are allowed in the cafe, on a short lead.")
    build()
    conversation = uuid.uuid4()
    values = {"pages": [page], "texts": ["Dogs are allowed."], "conversation": conversation}
    make_exchange("Is there a cafe?", site, **values)
    exchange = make_exchange(
        "And dogs?",
        site,
        **values,
        standalone_question="Are dogs allowed in the cafe?",
        answer="Yes. [1] They pay £7. [1]",
        shown_text="Yes. [1] Please look this up on the page itself. [1]",
        withheld_facts=[{"kind": "price", "text": "£7", "start": 18, "end": 20}],
        thumb=False,
        comment=LONG,
    )
    unanswered("Are dogs allowed in the cafe?", site)
    for question in ("Do you have a helicopter pad?", "Where can a helicopter land?", LONG):
        unanswered(question, site)
    error = "The model server did not answer."
    make_exchange("Failed?", site, pages=[page], locale="de", outcome="failed", error=error)
    return exchange


def test_from_a_report_to_what_comes_next(lead, asked):
    page = lead.page
    lead.go("")
    lead.follow("5 questions could not be answered this week")
    card = page.locator("li.finetune-card").filter(has_text="helicopter")
    expect(card).to_contain_text("Asked 2 times")
    expect(card).to_contain_text("No page that visitors may open covers this.")
    card.get_by_text("Other wordings").click()
    expect(card.get_by_role("link", name="Do you have a helicopter pad?")).to_be_visible()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    card.get_by_role("button", name="Copy the question").click()
    expect(card.get_by_text("Copied, for the title of the page.")).to_be_visible()
    assert "helicopter" in page.evaluate("navigator.clipboard.readText()")
    card.get_by_role("link", name="Create a page about this").click()
    expect(page.locator("main")).to_contain_text("Create a page in")

    lead.go("finetune/visitor-questions/?thumb=down")
    expect(page.locator("table.listing tbody tr")).to_have_count(1)
    lead.follow("And dogs?")
    expect(page.locator("mark")).to_have_text("£7")
    lead.sees("Yes. [1] Please look this up on the page itself. [1]")
    lead.follow("Open in compare")
    question = page.get_by_label("Ask what a visitor would ask")
    expect(question).to_have_value("Are dogs allowed in the cafe?")


def test_filters_by_keyboard_change_what_is_listed(lead, asked):
    page = lead.page
    lead.go("finetune/visitor-questions/")
    expect(page.locator("table.listing tbody tr")).to_have_count(7)
    page.get_by_role("button", name="Show filters").press("Enter")
    page.get_by_role("button", name="Outcome").press("Enter")
    page.get_by_role("radio", name="Failed").press("Space")
    expect(page.locator("table.listing tbody tr")).to_have_count(1)


def test_everybody_can_use_them(lead, asked):
    screens = {
        "report": "finetune/visitor-questions/",
        "nothing": "finetune/visitor-questions/?q=nothing",
        "exchange": f"finetune/visitor-questions/{asked.pk}/",
        "unanswered": "finetune/visitor-questions/unanswered/",
        "none": "finetune/visitor-questions/unanswered/?locale=de",
    }
    found = {}
    for name, path in screens.items():
        lead.page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
        lead.go(path)
        for details in lead.page.locator("main details").all():
            details.evaluate("details => { details.open = true; }")
        if wrong := look(lead.page):
            found[name] = wrong
    assert found == {}
