"""The search page: with a script the results do not wait; without one they come with the answer."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from finetune_switch.models import Exchange

from .chatting import QUESTION, SAID, SLOW, ask, button, chat, is_answered
from .looking import look


def search(page: Page, address: str, question: str = QUESTION) -> None:
    page.goto(f"{address}/answers/search/")
    page.get_by_label("Your question").fill(question)
    page.keyboard.press("Enter")


def test_the_results_do_not_wait_for_the_answer(visitor, lighthouse, backends, behave):
    behave(backends["hosted"], **SLOW)
    page = lighthouse
    search(page, visitor.address)
    expect(page.get_by_role("heading", name="1 page")).to_be_visible()
    expect(page.locator(".finetune-results")).to_contain_text("Lighthouse")
    expect(chat(page).locator(".text")).to_contain_text("Ahoy. Ahoy. Ahoy.")
    expect(button(page, "Stop")).to_be_visible()
    # Who opens a page does not want the focus to move by itself.
    assert page.evaluate("document.activeElement === document.body")
    button(page, "Stop").click()


def test_the_answer_is_a_conversation_and_asked_for_once(visitor, lighthouse):
    page = lighthouse
    search(page, visitor.address)
    is_answered(page)
    ask(page, "And what does a ticket to the lighthouse cost?")
    is_answered(page, 2)
    page.locator(".finetune-results").get_by_role("link", name="Lighthouse").click()
    page.wait_for_url("**/lighthouse/")
    page.go_back()
    is_answered(page, 2)
    assert Exchange.objects.count() == 2
    # Another question is another conversation; the way back leads to the first one's results.
    page.get_by_label("Your question", exact=True).first.fill("Is the lighthouse open on Sundays?")
    page.keyboard.press("Enter")
    expect(chat(page).locator("[part=question]")).to_have_text("Is the lighthouse open on Sundays?")
    is_answered(page)
    page.go_back()
    expect(chat(page).locator("[part=question]")).to_have_text(QUESTION)


def test_everybody_can_use_it(visitor, lighthouse, browser):
    page, found = lighthouse, []
    search(page, visitor.address)
    is_answered(page)
    found += look(page)
    # As it is served to those without a script.
    page.goto(page.url.replace("&answer=later", ""))
    expect(page.locator(".finetune-answer")).to_contain_text(SAID)
    found += look(page)
    assert found == []


def test_without_a_script_it_answers_turns_pages_and_says_what_failed(
    browser, visitor, lighthouse, make_page, backends, behave
):
    from tests.index_helpers import build

    for number in range(11):
        make_page(f"Lighthouse {number}", f"The lighthouse opens at {number}.")
    build()
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    search(page, visitor.address)
    expect(page.locator(".finetune-answer")).to_contain_text(SAID)
    expect(page.locator(".finetune-answer").get_by_role("link").first).to_be_visible()
    expect(page.locator(".finetune-results li")).to_have_count(10)
    page.get_by_role("link", name="Next").click()
    expect(page.locator(".finetune-results li")).to_have_count(2)
    expect(page.locator(".finetune-answer")).to_have_count(0)
    # An address that somebody with a script sent on.
    page.goto(f"{visitor.address}/answers/search/?q=When+does+the+lighthouse+open&answer=later")
    expect(page.locator(".finetune-results li").first).to_be_visible()
    behave(backends["hosted"], fault="unauthorized")
    page.get_by_role("link", name="Show the answer").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.locator(".finetune-results li").first).to_be_visible()
    context.close()
