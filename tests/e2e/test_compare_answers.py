"""Answers that are late, lost, stopped, refused or somebody else's: each column in its place."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from finetune_switch.models import Exchange, Outcome

from .comparing import (
    ANSWERS,
    address,
    answer,
    column,
    exchange,
    is_answered,
    is_pressed,
    show_deleted,
    show_no_passages,
    status,
    times_asked,
)

SLOW = {"answer": " ".join(f"word{number}" for number in range(200)), "tokens_per_second": 8}


def test_reload_while_they_answer_and_after(lead, scene, standin, backends, behave):
    text = " ".join(f"word{number}" for number in range(40))
    slow = behave(backends["hosted"], answer=text, tokens_per_second=8)
    quick = behave(backends["tuned"], answer=ANSWERS[0])
    page = lead.page
    comparison = scene.compare()
    lead.go(address(comparison))
    is_answered(page, "B")
    expect(answer(page, "A")).to_contain_text("word3")

    page.reload()

    expect(answer(page, "B")).to_have_text(ANSWERS[0])
    # It was finished in the background.
    is_answered(page, "A")
    expect(answer(page, "A")).to_have_text(text)
    page.reload()
    expect(answer(page, "A")).to_have_text(text)
    assert (times_asked(standin, slow), times_asked(standin, quick)) == (1, 1)


def test_nothing_is_better_than_an_answer_to_come(lead, scene, backends, behave):
    behave(backends["hosted"], **SLOW)
    behave(backends["tuned"], answer=ANSWERS[0])
    page = lead.page
    lead.go(address(scene.compare()))
    is_answered(page, "B")
    choices = page.get_by_role("group", name="Which is better?").get_by_role("button")
    for choice in choices.all():
        expect(choice).to_be_disabled()
    page.keyboard.press("ArrowRight")
    column(page, "A").get_by_role("button", name="Stop").click()
    expect(choices.last).to_be_enabled()
    expect(choices.last).to_have_attribute("aria-pressed", "false")
    # What was broken off cannot be judged.
    for choice in choices.all()[:-1]:
        expect(choice).to_be_disabled()
    page.keyboard.press("ArrowRight")
    is_pressed(choices.last)


def test_connection_that_is_lost(lead, scene, standin, backends, behave):
    name = behave(backends["hosted"], **SLOW)
    behave(backends["tuned"], answer=ANSWERS[0])
    page = lead.page
    lead.go(address(scene.compare()))
    is_answered(page, "B")
    expect(answer(page, "A")).to_contain_text("word3")

    page.context.set_offline(True)
    column(page, "A").get_by_role("button", name="Stop").click()
    alert = column(page, "A").get_by_role("alert")
    expect(alert).to_contain_text("The site did not answer. Nothing was lost: try again.")
    expect(answer(page, "A")).to_contain_text("word3")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".finetune-comparison > [role=alert]")).to_be_visible()
    lead.complaints.clear()

    page.context.set_offline(False)
    alert.get_by_role("button", name="Look again").click()
    expect(column(page, "A")).to_contain_text("A was stopped.")
    expect(alert).to_be_hidden()
    assert "word3" in answer(page, "A").text_content()
    assert times_asked(standin, name) == 1


def test_failed_column_is_tried_again(lead, scene, standin, backends, behave):
    behave(backends["hosted"], answer=ANSWERS[0])
    name = behave(backends["tuned"], answer=ANSWERS[1], fault="load-failure", once=True)
    # The first failure is tried again without a word, where the backend says so.
    standin.add_model(name, answer=ANSWERS[1], fault="unauthorized", once=True, listed=False)
    page = lead.page
    lead.go(address(scene.compare()))
    failed = column(page, "B")
    expect(failed).to_contain_text("B didn't answer: The model server did not accept our key.")
    is_answered(page, "A")
    expect(status(page, "B")).to_contain_text("B didn't answer: ")
    failed.get_by_role("button", name="Try B again").click()
    is_answered(page, "B")
    expect(answer(page, "B")).to_have_text(ANSWERS[1])
    expect(failed).not_to_contain_text("didn't answer")
    assert times_asked(standin, name) == 2
    assert Exchange.objects.filter(outcome=Outcome.FAILED).count() == 1


def test_stop_one_and_stop_all(lead, scene, standin, backends, behave):
    for row in backends.values():
        behave(row, **SLOW)
    page = lead.page
    lead.go(address(scene.compare()))
    for letter in "AB":
        expect(answer(page, letter)).to_contain_text("word2")
    expect(page.get_by_role("button", name="Stop all")).to_be_visible()
    standin.clear()

    column(page, "A").get_by_role("button", name="Stop").focus()
    page.keyboard.press("Enter")
    expect(column(page, "A")).to_contain_text("A was stopped.")
    standin.wait_for(lambda: len(standin.disconnects) == 1)
    # The keyboard is not lost with the button.
    assert page.evaluate("document.activeElement.textContent.trim()") == "Try A again"
    expect(column(page, "B").get_by_role("button", name="Stop")).to_be_visible()

    column(page, "A").get_by_role("button", name="Try A again").click()
    expect(column(page, "A")).not_to_contain_text("A was stopped.")
    expect(answer(page, "A")).to_contain_text("word2")
    page.get_by_role("button", name="Stop all").click()
    for letter in "AB":
        expect(column(page, letter)).to_contain_text(f"{letter} was stopped.")
        expect(answer(page, letter)).to_contain_text("word2")
    standin.wait_for(lambda: len(standin.disconnects) == 3)
    expect(page.get_by_role("button", name="Stop all")).to_be_hidden()
    outcomes = list(Exchange.objects.values_list("outcome", flat=True))
    assert outcomes == [Outcome.CANCELLED] * 3


def test_model_that_is_asleep(lead, scene, backends, behave):
    behave(backends["hosted"], answer=ANSWERS[0], first_token_seconds=6)
    behave(backends["tuned"], answer=ANSWERS[1])
    page = lead.page
    lead.go(address(scene.compare()))
    expect(column(page, "A")).to_contain_text("A is answering")
    is_answered(page, "B")
    sentence = "Waking A, usually within a minute."
    expect(column(page, "A")).to_contain_text(f"{sentence} Judge B meanwhile.")
    expect(status(page, "A")).to_have_text(f"{sentence} Judge B meanwhile.")
    # Which there is time for, once.
    page.keyboard.press("3")
    is_pressed(column(page, "B").locator("[data-key='3']"))
    expect(status(page, "A")).to_have_text(sentence)
    is_answered(page, "A")
    expect(column(page, "A")).not_to_contain_text("Waking")


def test_models_that_are_asleep_together(lead, scene, backends, behave):
    for row, seconds in zip(backends.values(), (12, 6), strict=True):
        behave(row, answer=ANSWERS[0], first_token_seconds=seconds)
    seen = scene.answered(is_blind=False)
    for asked in seen.columns.select_related("exchange", "backend"):
        asked.exchange.load_seconds = 40 + asked.position
        asked.exchange.backend_state = asked.backend.snapshot()
        asked.exchange.save()
    page = lead.page
    lead.go(address(scene.compare(is_blind=False)))
    # There is nothing to judge yet.
    for letter, seconds in (("A", 40), ("B", 41)):
        expect(status(page, letter)).to_have_text(f"Waking {letter}, usually {seconds} s.")
    is_answered(page, "B")
    expect(status(page, "A")).to_have_text("Waking A, usually 40 s. Judge B meanwhile.")
    column(page, "A").get_by_role("button", name="Stop").click()
    expect(column(page, "A")).not_to_contain_text("Waking")


def test_comparison_of_a_colleague_asks_nobody_by_itself(lead, scene, standin, backends, behave):
    for row in backends.values():
        behave(row, answer=ANSWERS[0])
    page = lead.page
    lead.go(address(scene.compare(user=scene.colleague())))
    ask = page.get_by_role("button", name="Ask B")
    expect(ask).to_be_visible()
    page.wait_for_timeout(500)
    assert standin.requests == []
    ask.focus()
    page.keyboard.press("Enter")
    is_answered(page, "B")
    expect(page.get_by_role("button", name="Ask A")).to_be_visible()


def test_answer_of_another_window_comes_in_here(lead, scene):
    comparison = scene.compare()
    row = exchange(comparison.columns.get(position=0), outcome=Outcome.OPEN)
    exchange(comparison.columns.get(position=1), answer=ANSWERS[1])
    lead.go(address(comparison))
    expect(column(lead.page, "A")).to_contain_text("A is being asked in another window.")
    row.close(Outcome.COMPLETE, answer=ANSWERS[0])
    expect(answer(lead.page, "A")).to_have_text(ANSWERS[0])
    is_answered(lead.page, "A")


def test_no_passages_and_a_deleted_backend(lead, scene):
    lead.go(show_no_passages(scene))
    lead.sees("No page covers this.")
    lead.follow("Create a page")
    expect(lead.page).to_have_url(re.compile("/admin/pages/"))
    lead.go(show_deleted(scene))
    expect(column(lead.page, "B")).to_contain_text("B's backend was deleted before it was asked.")
    expect(column(lead.page, "B").get_by_role("button")).to_have_count(0)
    is_answered(lead.page, "A")
