"""A wrong answer is corrected, and the next visitor who means the same is given the correction."""

from __future__ import annotations

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from finetune_switch.access import Asker
from finetune_switch.models import Exchange, PreparedAnswer
from finetune_switch.search import retrieve
from tests.index_helpers import build

QUESTION = "When does the lighthouse open?"
FURTHER = "Is there a lighthouse keeper?"
LIKE_IT = "When is the lighthouse open?"


@pytest.fixture
def wrong(lead, site, make_page):
    """A visitor was told something wrong, and others have asked as well."""
    page = make_page("Lighthouse", "The lighthouse opens at 9am, and a ticket costs £24.")
    build()
    [passage] = retrieve(QUESTION, asker=Asker.anonymous(), site=site, limit=1)
    asked = {"site": site, "origin": "site", "locale": "en-gb", "deadline_at": timezone.now()}
    for question in ("When will the lighthouse open?", FURTHER):
        Exchange.objects.create(question=question, **asked)
    exchange = Exchange.objects.create(
        question=QUESTION,
        answer="It is always open. [1]",
        outcome="complete",
        passages=[passage.as_dict()],
        citations=[1],
        **asked,
    )
    return exchange, page


def ask(lead, question):
    lead.page.goto(lead.address)
    field = lead.page.locator("finetune-chat").get_by_label("Your question")
    field.fill(question)
    lead.page.keyboard.press("Enter")


def said(lead):
    return lead.page.locator("finetune-chat [part~=text]").last


def test_a_correction_is_given_at_the_next_question(lead, wrong, standin):
    exchange, page = wrong
    lead.go(f"finetune/prepared/new/?exchange={exchange.pk}")
    main = lead.page.locator("main")
    expect(main.locator("[name=answer]")).to_have_value("It is always open.")
    expect(main.get_by_role("status").filter(has_text="2 of 3 questions")).to_be_visible()
    given = main.get_by_role("list", name="Would get it", exact=True)
    expect(given).to_contain_text("When will the lighthouse open?")
    others = main.get_by_role("list", name="Would not get it")
    expect(others).to_contain_text(FURTHER)

    # The line moves with the number, and what is on either side of it is said anew.
    lead.page.locator("[name=threshold]").fill("0.1")
    lead.page.keyboard.press("Tab")
    expect(main.get_by_role("status").filter(has_text="3 of 3 questions")).to_be_visible()
    lead.page.locator("[name=threshold]").fill("0.85")
    lead.page.keyboard.press("Tab")
    others.get_by_role("button", name=f"Add {FURTHER}").click()
    expect(others).not_to_contain_text("keeper")
    expect(lead.page.locator("[name=examples]")).to_have_value(f"{QUESTION}\n{FURTHER}")

    lead.page.locator("[name=answer]").fill("It opens at 10 from tomorrow on.")
    lead.press("Use this from now on")
    lead.sees_message("is given from the next question on")
    prepared = PreparedAnswer.objects.get()
    assert (prepared.page_id, prepared.made_from) == (page.pk, exchange)

    standin.clear()
    ask(lead, LIKE_IT)
    # Ten o'clock stands on no page: what people say themselves is not locked.
    expect(said(lead)).to_contain_text("It opens at 10 from tomorrow on.")
    expect(lead.page.locator("finetune-chat a[href$='/lighthouse/']").first).to_be_visible()
    assert standin.requests == []

    lead.go("finetune/prepared/")
    lead.follow(QUESTION)
    lead.page.locator("[name=answer]").fill("It opens at 11.")
    lead.press("Save")
    lead.sees_message("is given from the next question on")
    lead.go(f"finetune/prepared/history/{prepared.pk}/")
    lead.sees("Nell")
