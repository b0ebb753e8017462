"""A visitor asks on a page of the site: by keyboard, in a dialog, and when something fails."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone
from playwright.sync_api import Page, expect

from finetune_switch.models import Exchange, Feedback, Outcome, Switch

from .chatting import QUESTION, SAID, SLOW, ask, button, chat, field, is_answered
from .conftest import log_in

HOSTILE = (
    'It opens at nine. [1] <img src="x" onerror="alert()"> [Here](javascript:alert()) you are. '
    "A dog pays £7. [1] Bye."
)

ABOUT = "**/answers/about/**"
REFUSAL = {"message": "Not now.", "code": "too_many"}
ABOUT_FAILURES = {
    "network error": lambda route: route.abort(),
    "500": lambda route: route.fulfill(status=500, content_type="text/html", body="<h1>500</h1>"),
    "503": lambda route: route.fulfill(status=503, json=REFUSAL),
    "429": lambda route: route.fulfill(status=429, json=REFUSAL),
    "HTML": lambda route: route.fulfill(content_type="text/html", body="<h1>Log in</h1>"),
    "other JSON": lambda route: route.fulfill(json={"error": "maintenance"}),
    "timeout": lambda route: None,
}
COME_BACK = "dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))"


def is_cancelled(page: Page) -> None:
    """The server has noticed that nobody reads any more."""
    for _attempt in range(50):
        if Exchange.objects.get().outcome == Outcome.CANCELLED:
            return
        page.wait_for_timeout(100)
    pytest.fail(f"it reads {Exchange.objects.get().outcome}")


def test_asks_by_keyboard_and_reads_a_checked_answer_with_its_pages(lighthouse, backends, behave):
    behave(backends["hosted"], answer=HOSTILE)
    page = lighthouse
    field(page).focus()
    expect(chat(page).locator("[part=notice]")).to_contain_text("Your question goes to")
    page.keyboard.type(QUESTION)
    page.keyboard.press("Tab")
    expect(button(page, "Ask")).to_be_focused()
    page.keyboard.press("Enter")

    text = chat(page).locator(".text")
    expect(text).to_contain_text("Bye.")
    expect(text).to_contain_text("It opens at nine. [1]")
    expect(text).to_contain_text("Please look this up on the page itself. [1]")
    expect(text).not_to_contain_text("£7")
    # What a model writes stays text.
    expect(text).to_contain_text('<img src="x"')
    assert chat(page).locator("img").count() == 0
    hrefs = chat(page).locator("article a").evaluate_all("links => links.map((a) => a.href)")
    assert len(hrefs) == 3
    assert {href.removeprefix(page.url.rstrip("/")) for href in hrefs} == {"/lighthouse/"}
    expect(chat(page).get_by_role("status")).to_have_text(f"Answer: {text.text_content()}")
    expect(field(page)).to_be_focused()


def test_names_the_closest_pages_where_nothing_was_found(lighthouse):
    page = lighthouse
    ask(page, "Who won the chess championship?")
    expect(chat(page).locator(".text")).to_have_text("I don't know.")
    expect(chat(page).get_by_role("link", name="Lighthouse")).to_be_visible()
    expect(chat(page).get_by_role("heading", name="The best pages for this")).to_be_visible()


def test_questions_follow_each_other_until_one_starts_again(lighthouse, standin):
    page = lighthouse
    ask(page)
    is_answered(page)
    expect(chat(page).get_by_label("Ask a follow-up question")).to_be_focused()
    ask(page, "And what does a ticket to the lighthouse cost?")
    is_answered(page, 2)
    expect(chat(page).locator("h3[part=question]")).to_have_text(
        [QUESTION, "And what does a ticket to the lighthouse cost?"]
    )
    first, second = Exchange.objects.order_by("opened_at")
    assert first.conversation == second.conversation is not None
    # The field for the next question is below the latest answer.
    below = field(page).bounding_box()["y"]
    assert below > chat(page).locator("article").last.bounding_box()["y"]

    # Who follows a source and comes back goes on where they were, and so does the next page.
    chat(page).get_by_role("link", name="Lighthouse").last.click()
    page.wait_for_url("**/lighthouse/")
    button(page, "Ask a question").click()
    is_answered(page, 2)
    page.go_back()
    is_answered(page, 2)
    ask(page, "Is the lighthouse open on Sundays?")
    is_answered(page, 3)
    assert Exchange.objects.filter(conversation=first.conversation).count() == 3

    button(page, "Start again").click()
    expect(field(page)).to_be_focused()
    expect(chat(page).locator("article")).to_have_count(0)
    page.reload()
    expect(chat(page).get_by_label("Your question")).to_be_visible()
    expect(chat(page).locator("article")).to_have_count(0)


def test_who_logs_out_leaves_no_conversation_behind(visitor, lighthouse):
    page = lighthouse
    log_in(page, visitor.address, get_user_model().objects.create_user("ada"))
    page.reload()
    ask(page)
    is_answered(page)
    page.reload()
    is_answered(page)
    page.context.clear_cookies()
    page.reload()
    field(page).focus()
    expect(chat(page).locator("[part=notice]")).to_be_visible()
    expect(chat(page).locator("article")).to_have_count(0)


@pytest.mark.parametrize("failure", ABOUT_FAILURES)
def test_a_failed_look_up_leaves_the_conversation(visitor, lighthouse, failure):
    page = lighthouse
    log_in(page, visitor.address, get_user_model().objects.create_user("ada"))
    page.reload()
    ask(page)
    is_answered(page)

    page.route(ABOUT, ABOUT_FAILURES[failure])
    page.evaluate(COME_BACK)
    page.wait_for_timeout(6000 if failure == "timeout" else 500)
    is_answered(page)
    page.reload()
    is_answered(page)
    ask(page, "And what does a ticket to the lighthouse cost?")
    is_answered(page, 2)

    page.unroute(ABOUT)
    page.reload()
    is_answered(page, 2)
    page.context.clear_cookies()
    page.evaluate(COME_BACK)
    expect(chat(page).locator("article")).to_have_count(0)
    page.reload()
    expect(chat(page).get_by_label("Your question")).to_be_visible()
    expect(chat(page).locator("article")).to_have_count(0)
    visitor.complaints.clear()


def test_who_logged_out_is_noticed_after_a_failed_look_up(visitor, lighthouse):
    page = lighthouse
    log_in(page, visitor.address, get_user_model().objects.create_user("ada"))
    page.reload()
    ask(page)
    is_answered(page)
    page.context.clear_cookies()
    page.route(ABOUT, ABOUT_FAILURES["network error"], times=1)
    page.reload()
    field(page).focus()
    expect(chat(page).locator("[part=notice]")).to_be_visible()
    expect(chat(page).locator("article")).to_have_count(0)
    visitor.complaints.clear()


def test_pages_come_at_once_and_the_answer_can_be_stopped(lighthouse, backends, behave):
    behave(backends["hosted"], **SLOW)
    page = lighthouse
    ask(page)
    expect(chat(page).get_by_role("link", name="Lighthouse")).to_be_visible()
    expect(chat(page).locator(".text")).to_contain_text("Ahoy. Ahoy. Ahoy.")
    expect(chat(page).get_by_role("status")).to_have_text("Looking for an answer …")

    button(page, "Stop").focus()
    page.keyboard.press("Enter")

    expect(chat(page).locator(".error")).to_have_text("The answer was stopped.")
    expect(field(page)).to_be_focused()
    expect(chat(page).locator(".text")).to_contain_text("Ahoy. Ahoy. Ahoy.")
    expect(button(page, "Helpful")).to_be_hidden()
    is_cancelled(page)

    behave(backends["hosted"], answer=SAID)
    button(page, "Ask again").click()
    is_answered(page)
    expect(chat(page).locator("article")).to_have_count(1)


def test_who_leaves_in_the_middle_finds_the_question_again(lighthouse, backends, behave):
    behave(backends["hosted"], **SLOW)
    page = lighthouse
    ask(page)
    expect(chat(page).locator(".text")).to_contain_text("Ahoy. Ahoy. Ahoy.")
    chat(page).get_by_role("link", name="Lighthouse").click()
    page.wait_for_url("**/lighthouse/")
    behave(backends["hosted"], answer=SAID)
    page.go_back()
    expect(chat(page).locator(".text")).to_contain_text("Ahoy. Ahoy. Ahoy.")
    expect(chat(page).locator(".error")).to_be_visible()
    button(page, "Ask again").click()
    is_answered(page)
    expect(chat(page).locator(".error")).to_be_hidden()
    expect(chat(page).locator("article")).to_have_count(1)


def test_an_answer_that_is_still_under_way_is_waited_for(lighthouse, backends, behave, standin):
    """It takes the server a moment to notice that a reader left, or it gives the answer whole."""
    behave(backends["hosted"], **SLOW)
    page = lighthouse
    ask(page)
    expect(chat(page).locator(".text")).to_contain_text("Ahoy.")
    page.goto("about:blank")
    is_cancelled(page)
    later = timezone.now() + timedelta(minutes=1)
    Exchange.objects.update(outcome=Outcome.OPEN, deadline_at=later)
    standin.clear()
    page.go_back()
    with page.expect_response("**/answers/ask/"):
        button(page, "Ask again").click()
    expect(chat(page).get_by_role("status")).to_have_text("Looking for an answer …")
    expect(chat(page).locator(".error")).to_be_hidden()

    Exchange.objects.update(outcome=Outcome.COMPLETE, answer=SAID, shown_text=SAID)

    is_answered(page)
    assert Exchange.objects.count() == 1
    assert [request for request in standin.requests if "chat" in request.path] == []


def test_says_whether_it_helped_and_why(lighthouse):
    page = lighthouse
    ask(page)
    up, down = button(page, "Helpful"), button(page, "Not helpful")
    down.focus()
    page.keyboard.press("Space")
    expect(down).to_have_attribute("aria-pressed", "true")
    expect(chat(page).get_by_role("status")).to_have_text("Thank you.")
    assert Feedback.objects.get().is_helpful is False

    why = chat(page).get_by_label("What was wrong with it? (optional)")
    why.fill("Too short.")
    page.keyboard.press("Enter")
    expect(why).to_be_hidden()
    expect(down).to_be_focused()
    assert Feedback.objects.get().comment == "Too short."

    up.click()
    expect(up).to_have_attribute("aria-pressed", "true")
    expect(down).to_have_attribute("aria-pressed", "false")
    expect(chat(page).get_by_label("What was good about it? (optional)")).to_be_visible()
    assert Feedback.objects.get().is_helpful is True
    up.click()
    expect(up).to_have_attribute("aria-pressed", "false")
    expect(chat(page).get_by_role("status")).to_have_text("Taken back.")
    assert not Feedback.objects.exists()


def test_there_are_no_thumbs_where_nothing_is_kept(lighthouse, settings):
    settings.FINETUNE_SWITCH = {**settings.FINETUNE_SWITCH, "RECORD_VISITOR_QUESTIONS": False}
    page = lighthouse
    ask(page)
    is_answered(page)
    expect(button(page, "Copy")).to_be_visible()
    expect(button(page, "Helpful")).to_be_hidden()


@pytest.mark.parametrize("is_allowed", [True, False])
def test_copies_the_answer_with_its_sources(lighthouse, is_allowed):
    page = lighthouse
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    if not is_allowed:
        # As on a page over plain HTTP.
        page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(); }")
    ask(page)
    is_answered(page)
    button(page, "Copy").click()
    expect(chat(page).get_by_role("status")).to_have_text("Copied.")
    expect(button(page, "Copy")).to_be_focused()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"{SAID}\n\n[1] Lighthouse – {page.url.rstrip('/')}/lighthouse/"


def test_what_fails_is_a_sentence_and_a_way_on(visitor, lighthouse, backends, behave):
    behave(backends["hosted"], fault="unauthorized")
    page = lighthouse
    ask(page)
    error = chat(page).locator(".error")
    search = error.get_by_role("link", name="Search the pages")
    expect(search).to_be_visible()
    expect(chat(page).get_by_role("link", name="Lighthouse")).to_be_visible()

    button(page, "Start again").click()
    page.context.set_offline(True)
    ask(page)
    expect(error).to_contain_text("The connection was lost. Ask again.")
    page.context.set_offline(False)
    search.click()
    expect(page.get_by_role("heading", name="1 page")).to_be_visible()
    assert all("ERR_INTERNET_DISCONNECTED" in text for text in visitor.complaints)
    visitor.complaints.clear()


def test_a_lost_answer_is_not_asked_for_twice(lighthouse, standin):
    page, ids = lighthouse, []

    def lose(route):
        """The answer is made, and does not arrive."""
        ids.append(route.request.post_data)
        response = route.fetch()
        body = response.text().partition("event: done")[0]
        route.fulfill(response=response, body=body)

    page.route("**/answers/ask/", lose, times=1)
    ask(page)
    expect(chat(page).locator(".error")).to_contain_text("The connection was lost.")
    asked = len(standin.requests)
    button(page, "Ask again").click()
    is_answered(page)
    expect(chat(page).locator(".error")).to_be_hidden()
    assert len(standin.requests) == asked
    assert Exchange.objects.count() == 1


def test_who_asks_too_much_is_told_so_and_shown_the_pages(lighthouse, settings, quiet_minute):
    limits = {"QUESTIONS_A_MINUTE": 1}
    settings.FINETUNE_SWITCH = {**settings.FINETUNE_SWITCH, "VISITORS": limits}
    page = lighthouse
    ask(page)
    is_answered(page)
    ask(page, "Is the lighthouse open on Sundays?")
    error = chat(page).locator(".error").last
    expect(error).to_contain_text("You have asked many questions in a short time.")
    expect(error.get_by_role("link", name="Search the pages")).to_be_visible()
    refused = chat(page).locator("article").last
    expect(refused.get_by_role("link", name="Lighthouse")).to_be_visible()


def test_where_answers_are_off_it_searches(lighthouse, site):
    Switch.objects.filter(site=site).update(answers_visitors=False)
    page = lighthouse
    field(page).focus()
    expect(chat(page).locator("[part=notice]")).to_have_text(
        "Questions are not answered at the moment. You can search the pages."
    )
    ask(page)
    page.wait_for_url("**/answers/search/**")
    expect(page.get_by_role("heading", name="1 page")).to_be_visible()
    expect(page.get_by_role("heading", name="Answer")).to_have_count(0)


def test_the_dialog_keeps_the_focus_and_gives_it_back(visitor, lighthouse):
    page = lighthouse
    page.goto(f"{visitor.address}/lighthouse/")
    opener = button(page, "Ask a question")
    opener.focus()
    page.keyboard.press("Enter")
    dialog = chat(page).get_by_role("dialog", name="Ask a question")
    expect(dialog).to_be_visible()
    expect(field(page)).to_be_focused()
    ask(page)
    is_answered(page)
    # Around once and again: nothing of the page behind can be reached.
    inside = "document.activeElement === document.querySelector('finetune-chat')"
    for _step in range(24):
        page.keyboard.press("Tab")
        assert page.evaluate(f"{inside} || document.activeElement === document.body")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(opener).to_be_focused()
    page.keyboard.press("Enter")
    is_answered(page)
    expect(field(page)).to_be_focused()
    button(page, "Close").click()
    expect(opener).to_be_focused()
