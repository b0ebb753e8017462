"""Comparing, as somebody does it: ask, watch, grade, choose, reveal; with what can go wrong."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from finetune_switch.models import Comparison, Grade, Preference, Question, Switch
from tests.index_helpers import build

from .comparing import (
    ANSWERS,
    QUESTION,
    address,
    answer,
    column,
    is_answered,
    is_pressed,
    judged,
    status,
    times_asked,
)
from .person import tab_to


def chosen(page, value: str):
    return page.locator(f"#finetune-choice-{value}")


def test_from_the_question_to_the_switch(lead, scene, standin, backends, behave, site):
    names = [
        behave(row, answer=said) for row, said in zip(backends.values(), ANSWERS[:2], strict=True)
    ]
    build()
    page = lead.page
    lead.go("finetune/compare/")
    page.get_by_label("Ask what a visitor would ask").fill(QUESTION)
    # The active one is chosen, and one beside it.
    expect(page.get_by_label("The hosted model")).to_be_checked()
    expect(page.get_by_label("Our fine-tune")).to_be_checked()
    expect(page.get_by_label("Judge blind")).to_be_checked()
    lead.press("Compare")

    is_answered(page, "A", "B")
    assert [times_asked(standin, name) for name in names] == [1, 1]
    said = {letter: answer(page, letter).text_content() for letter in "AB"}
    assert sorted(said.values()) == sorted(ANSWERS[:2])
    expect(page.locator(".finetune-passage")).not_to_have_count(0)
    main = page.locator("main")
    expect(main).not_to_contain_text("The hosted model")
    expect(main).not_to_contain_text("Details")
    expect(page.get_by_role("button", name="Reveal")).to_have_count(0)

    page.keyboard.press("1")
    is_pressed(column(page, "A").locator("[data-key='1']"))
    page.keyboard.press("4")
    is_pressed(column(page, "B").locator("[data-key='4']"))
    column(page, "B").get_by_role("button", name="Nearly").click()
    is_pressed(column(page, "B").get_by_role("button", name="Nearly"))
    is_pressed(column(page, "B").locator("[data-key='4']"))
    expect(column(page, "B")).to_contain_text("Saved. Undo")
    column(page, "B").get_by_role("button", name="Undo").click()
    expect(column(page, "B").get_by_role("button", name="Nearly")).to_have_attribute(
        "aria-pressed", "false"
    )
    is_pressed(column(page, "B").locator("[data-key='4']"))

    bar = page.locator(".finetune-verdict")
    page.keyboard.press("ArrowRight")
    is_pressed(chosen(page, "B"))
    expect(bar).to_contain_text("Saved. Undo")
    bar.get_by_role("button", name="Undo").click()
    expect(bar).not_to_contain_text("Saved.")
    expect(page.get_by_role("button", name="Reveal")).to_have_count(0)
    page.keyboard.press("ArrowLeft")
    is_pressed(chosen(page, "A"))

    page.get_by_role("button", name="Reveal").click()
    expect(bar).to_contain_text(re.compile(r"So far: .* 1, .* 0, all are good 0, none is good 0"))
    comparison = Comparison.objects.get()
    for row in comparison.columns.select_related("backend"):
        expect(column(page, row.letter).get_by_role("heading")).to_have_text(
            f"{row.letter} {row.backend}"
        )
        column(page, row.letter).get_by_text("Details").click()
        expect(column(page, row.letter)).to_contain_text("Whole answer in")
        expect(column(page, row.letter)).to_contain_text(row.backend.data_destination)
    assert {answer(page, letter).text_content() for letter in "AB"} == set(said.values())
    assert sorted(Grade.objects.filter(is_current=True).values_list("value", "tone")) == [
        ("correct", ""),
        ("wrong", ""),
    ]
    assert Preference.objects.get(is_current=True).was_blind

    # What answers on the site already cannot be switched to.
    expect(page.get_by_role("button", name="Use The hosted model on site")).to_have_count(0)
    page.get_by_role("button", name="Use Our fine-tune on site").click()
    lead.sees_active("Our fine-tune")
    assert Switch.objects.get(site=site).active == backends["tuned"]


def test_with_the_keyboard_alone(lead, scene, backends, behave, site):
    for row, said in zip(backends.values(), ANSWERS[:2], strict=True):
        behave(row, answer=said)
    build()
    page = lead.page
    lead.go("finetune/compare/")
    for _press in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "question":
            break
    page.keyboard.type(QUESTION)
    tab_to(page, "Compare")
    page.keyboard.press("Enter")
    is_answered(page, "A", "B")

    page.keyboard.press("2")
    is_pressed(column(page, "A").locator("[data-key='2']"))
    tab_to(page, "4 Wrong")
    tab_to(page, "4 Wrong")
    page.keyboard.press("Enter")
    is_pressed(column(page, "B").locator("[data-key='4']"))
    # The keyboard is where it was, in the part of the page that came anew.
    assert page.evaluate("document.activeElement.id") == "finetune-value-1-4"
    page.keyboard.press("1")
    is_pressed(column(page, "B").locator("[data-key='1']"))
    page.keyboard.press("ArrowLeft")
    is_pressed(chosen(page, "A"))
    tab_to(page, "Reveal")
    page.keyboard.press("Enter")
    expect(page.locator("#finetune-wins")).to_be_focused()
    tab_to(page, "Use Our fine-tune on site")
    page.keyboard.press("Enter")
    lead.sees_active("Our fine-tune")


def test_keys_are_letters_where_somebody_writes(lead, scene):
    comparison = scene.answered()
    page = lead.page
    lead.go(address(comparison))
    first = column(page, "A")
    first.get_by_text("Correct it, or leave a note").click()
    first.get_by_label("Note").fill("At ")
    page.keyboard.type("14")
    page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(300)
    assert not Grade.objects.exists()
    assert not Preference.objects.exists()
    # What nobody saved yet outlasts a grade, and its own part of the page.
    first.locator("[data-key='2']").click()
    is_pressed(first.locator("[data-key='2']"))
    expect(first.get_by_label("Note")).to_have_value("At 14")
    first.get_by_label("As it should have been").fill("It opens at nine.")
    with page.expect_response("**/grade/"):
        first.get_by_role("button", name="Save").click()
    expect(status(page, "A")).to_have_text("Saved.")
    grade = Grade.objects.get(is_current=True)
    assert (grade.value, grade.note) == ("partly_correct", "At 14")
    assert grade.correction == "It opens at nine."


def test_note_alone_is_no_correction(lead, scene):
    lead.go(address(scene.answered("One.\n\nTwo.", "Three.")))
    first = column(lead.page, "A")
    first.get_by_text("Correct it, or leave a note").click()
    first.get_by_label("Note").fill("Too long.")
    first.get_by_role("button", name="Save").click()
    expect(first).to_contain_text("Saved.")
    assert Grade.objects.get().correction == ""


def test_colleague_sees_the_verdict_of_the_other_only_after_their_own(lead, scene):
    comparison = judged(scene.answered(), scene.colleague(), "B")
    page = lead.page
    lead.go(address(comparison))
    expect(page.locator("main")).not_to_contain_text("Sam")
    chosen(page, "A").click()
    expect(page.locator(".finetune-verdict")).to_contain_text("Sam chose B.")
    page.keyboard.press("1")
    expect(column(page, "A")).to_contain_text("Sam: Correct")
    # Whoever takes their own back sees the other's no more.
    page.locator(".finetune-verdict").get_by_role("button", name="Undo").click()
    expect(page.locator(".finetune-verdict")).not_to_contain_text("Sam")


def test_questions_to_try(lead, scene):
    Question.objects.create(text="Is there a lift?")
    lead.go("finetune/compare/")
    page = lead.page
    lead.sees("Questions to try")
    lead.press("Is there a lift?")
    field = page.get_by_label("Ask what a visitor would ask")
    expect(field).to_have_value("Is there a lift?")
    expect(field).to_be_focused()
    # Nothing is asked of one model alone.
    page.get_by_label("Our fine-tune").uncheck()
    lead.press("Compare")
    lead.sees("Choose 2 to 4 models to compare; 1 were chosen.")
    expect(page.get_by_label("Ask what a visitor would ask")).to_have_value("Is there a lift?")
    assert not Comparison.objects.exists()


def test_question_from_a_list_that_was_written_over(lead, scene, backends, behave):
    for row in backends.values():
        behave(row, answer=ANSWERS[0])
    saved = Question.objects.create(text="Is there a lift?")
    for text, kept in (("Is there a lift?", saved), ("Is there a ramp?", None)):
        lead.go(f"finetune/compare/?saved={saved.pk}")
        field = lead.page.get_by_label("Ask what a visitor would ask")
        expect(field).to_have_value("Is there a lift?")
        field.fill(text)
        lead.press("Compare")
        expect(lead.page.locator("#header-title")).to_have_text(text)
        assert Comparison.objects.first().saved_question == kept


def test_what_a_screen_reader_hears(lead, scene, backends, behave):
    behave(backends["hosted"], answer=ANSWERS[0], tokens_per_second=20)
    behave(backends["tuned"], fault="unauthorized")
    page = lead.page
    heard = []
    page.expose_function("hear", lambda text: heard.append(text))
    page.add_init_script(
        """new MutationObserver((changes) => {
             for (const { target } of changes) {
               const status = target.closest?.('.finetune-comparison [role=status]');
               if (status && status.textContent) window.hear(status.textContent);
             }
           }).observe(document, { childList: true, subtree: true });"""
    )
    lead.go(address(scene.compare()))
    is_answered(page, "A")
    expect(column(page, "B")).to_contain_text("B didn't answer")
    page.wait_for_timeout(300)
    assert [text for text in heard if text.startswith("A")] == [
        "A is answering",
        f"A: {ANSWERS[0]}",
    ]
    assert [text for text in heard if text.startswith("B")] == [
        "B is answering",
        "B didn't answer: The model server did not accept our key.",
    ]
    loud = page.locator("main .finetune-answer[aria-live], main [aria-live] .finetune-answer")
    expect(loud).to_have_count(0)
    heard.clear()
    page.keyboard.press("ArrowLeft")
    page.get_by_role("button", name="Reveal").click()
    expect(page.locator("#finetune-wins")).to_be_focused()
    expect(column(page, "A")).to_contain_text("Details")
    page.wait_for_timeout(300)
    assert not any(ANSWERS[0] in text for text in heard)


def test_keys_pressed_one_right_after_another(lead, scene):
    comparison = scene.answered(*ANSWERS)
    lead.go(address(comparison))
    for key in "1243":
        lead.page.keyboard.press(key)
    for letter, key in zip("ABCD", "1243", strict=True):
        is_pressed(column(lead.page, letter).locator(f"[data-key='{key}']"))
        expect(column(lead.page, letter)).to_contain_text("Saved.")
    grades = Grade.objects.filter(is_current=True).order_by("pk").values_list("value", flat=True)
    assert list(grades) == ["correct", "partly_correct", "wrong", "dont_know"]
    # Three or four have no left and right.
    lead.page.keyboard.press("ArrowLeft")
    lead.page.wait_for_timeout(300)
    assert not Preference.objects.exists()
