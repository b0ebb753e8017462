"""A visitor asks on a page of the site: by keyboard, in light and dark, wide and narrow."""

from __future__ import annotations

import itertools

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.urls import reverse
from playwright.sync_api import Page, expect

from finetune_switch.models import Exchange, Outcome
from tests.index_helpers import build

from .person import Person

SLOW = {"answer": " ".join(["Ahoy."] * 200), "tokens_per_second": 8}
HOSTILE = (
    'It opens at nine. [1] <img src="x" onerror="alert()"> [Here](javascript:alert()) you are. '
    "A dog pays £7. [1] Bye."
)


@pytest.fixture
def lighthouse(visitor: Person, site, make_page, backends, behave) -> Page:
    make_page("Lighthouse", "The lighthouse opens at 9am, and a ticket costs £24.")
    build()
    behave(backends["hosted"], answer=HOSTILE)
    visitor.page.goto(visitor.address)
    return visitor.page


def chat(page: Page):
    return page.locator("finetune-chat")


def field(page: Page):
    return chat(page).locator("#question")


def ask(page: Page, question: str = "When does the lighthouse open?") -> None:
    field(page).fill(question)
    page.keyboard.press("Enter")


def test_asks_by_keyboard_and_reads_a_checked_answer_with_its_pages(lighthouse):
    page = lighthouse
    field(page).focus()
    page.keyboard.type("When does the lighthouse open?")
    page.keyboard.press("Tab")
    expect(chat(page).get_by_role("button", name="Ask")).to_be_focused()
    page.keyboard.press("Enter")

    text = chat(page).locator(".text")
    expect(text).to_contain_text("Bye.")
    expect(text).to_contain_text("It opens at nine. [1]")
    expect(text).to_contain_text("Please look this up on the page itself. [1]")
    expect(text).not_to_contain_text("£7")
    # What a model writes stays text.
    expect(text).to_contain_text('<img src="x"')
    assert chat(page).locator("img").count() == 0
    hrefs = chat(page).locator("section a").evaluate_all("links => links.map((a) => a.href)")
    assert len(hrefs) == 3
    assert {href.removeprefix(page.url.rstrip("/")) for href in hrefs} == {"/lighthouse/"}
    expect(chat(page).get_by_role("status")).to_have_text(f"Answer: {text.text_content()}")

    expect(chat(page).get_by_role("button", name="Start again")).to_be_visible()
    expect(field(page)).to_be_focused()
    for name in ("Copy", "Helpful", "Not helpful"):
        expect(chat(page).get_by_role("button", name=name, exact=True)).to_be_visible()


def test_pages_come_at_once_and_the_answer_can_be_stopped(lighthouse, backends, behave):
    behave(backends["hosted"], **SLOW)
    page = lighthouse
    ask(page)
    expect(chat(page).get_by_role("link", name="Lighthouse")).to_be_visible()
    expect(chat(page).locator(".text")).to_contain_text("Ahoy. Ahoy. Ahoy.")
    expect(chat(page).get_by_role("status")).to_have_text("Looking for an answer …")

    chat(page).get_by_role("button", name="Stop").focus()
    page.keyboard.press("Enter")

    expect(chat(page).locator(".error")).to_have_text("The answer was stopped.")
    expect(field(page)).to_be_focused()
    expect(chat(page).locator(".text")).to_contain_text("Ahoy. Ahoy. Ahoy.")
    expect(chat(page).get_by_role("button", name="Helpful")).to_have_count(0)
    for _attempt in range(50):
        if Exchange.objects.get().outcome == Outcome.CANCELLED:
            break
        page.wait_for_timeout(100)
    assert Exchange.objects.get().outcome == Outcome.CANCELLED

    behave(backends["hosted"], answer="It opens at nine. [1]")
    chat(page).get_by_role("button", name="Ask again").click()
    expect(chat(page).locator(".text")).to_have_text("It opens at nine. [1]")
    expect(chat(page).get_by_role("heading", level=2)).to_have_count(1)


def test_axe_finds_nothing_in_any_state(lighthouse, backends, behave):
    page, found = lighthouse, []
    found += look(page, "empty")
    ask(page)
    expect(chat(page).get_by_role("button", name="Start again")).to_be_visible()
    found += look(page, "answered")
    behave(backends["hosted"], fault="unauthorized")
    ask(page)
    expect(chat(page).locator(".error")).to_be_visible()
    found += look(page, "failed")
    behave(backends["hosted"], **SLOW)
    ask(page)
    expect(chat(page).locator(".text")).to_contain_text("Ahoy. Ahoy. Ahoy.")
    found += look(page, "answering")
    chat(page).get_by_role("button", name="Stop").click()
    page.goto(page.url.rstrip("/") + reverse("finetune_visitors:search") + "?q=lighthouse")
    found += look(page, "search page")
    assert found == []


def look(page: Page, state: str) -> list[str]:
    found = []
    for width, scheme in itertools.product((320, 1280), ("light", "dark")):
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        wide = page.evaluate("document.documentElement.scrollWidth")
        found += [f"{state}, {width} px: {wide} px wide"] * (wide > width)
        response = Axe().run(page, options={"resultTypes": ["violations"]}).response
        found += [
            f"{state}, {width} px, {scheme}: {violation['id']}: {node['html'][:160]}"
            for violation in response["violations"]
            for node in violation["nodes"]
        ]
    return found


def test_without_a_script_it_is_a_form(browser, live_server, lighthouse):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(live_server.url)
    page.locator("finetune-chat input").fill("When does the lighthouse open?")
    page.locator("finetune-chat button").click()
    expect(page.get_by_role("heading", name="Answer")).to_be_visible()
    expect(page.locator(".finetune-answer")).to_contain_text("It opens at nine. [1]")
    expect(page.locator("main")).not_to_contain_text("£7")
    expect(page.get_by_role("heading", name="1 page")).to_be_visible()
    context.close()
