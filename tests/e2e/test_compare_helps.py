"""What the page Compare does beside asking: suggestions, differences, and marks in the answers."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from finetune_switch.models import ChatBackend, Question, Switch
from tests.index_helpers import build

from .comparing import QUESTION, address, column, is_answered

pytestmark = pytest.mark.thorough


def suggestions(page):
    return page.locator(".finetune-examples li")


def test_suggestions_while_one_types(lead, scene):
    scene.answered(question="How much is a family ticket?")
    saved = Question.objects.create(text="Is there a lift?")
    lead.go("finetune/compare/")
    page = lead.page
    expect(suggestions(page)).to_have_count(2)

    page.get_by_label("Ask what a visitor would ask").press_sequentially("lift")
    expect(suggestions(page)).to_have_text(["Is there a lift?"])
    page.get_by_label("Ask what a visitor would ask").fill("nothing like it")
    expect(page.locator(".finetune-examples")).to_be_hidden()
    page.get_by_label("Ask what a visitor would ask").fill("lift")
    lead.press("Is there a lift?")
    expect(page.get_by_label("Ask what a visitor would ask")).to_have_value("Is there a lift?")
    expect(page.locator("[name=saved_question]")).to_have_value(str(saved.pk))


def test_suggested_text_stays_text(lead, scene):
    Question.objects.create(text="<img src=x onerror=alert(1)>lift")
    lead.go("finetune/compare/")
    lead.page.get_by_label("Ask what a visitor would ask").press_sequentially("lift")
    expect(suggestions(lead.page)).to_have_text(["<img src=x onerror=alert(1)>lift"])
    expect(suggestions(lead.page).locator("img")).to_have_count(0)


def test_untuned_model_is_added_with_one_press(lead, scene, backends):
    tuned, page = backends["tuned"], lead.page
    tuned.base_model = "standin-base:latest"
    tuned.save()
    lead.go("finetune/compare/")
    control = page.locator(".finetune-control")
    expect(control).to_be_visible()
    expect(control.get_by_role("link")).to_contain_text("Add it as a chat backend")

    [*_others, base] = scene.more_backends(3)
    ChatBackend.objects.filter(pk=base.pk).update(
        connection="ollama", model_name="standin-base", label="The untuned model"
    )
    page.reload()
    box = page.get_by_label("The untuned model")
    # Only as long as its fine-tune is compared, or answers on the site.
    page.get_by_label("Our fine-tune").uncheck()
    expect(control).to_be_hidden()
    page.get_by_label("Our fine-tune").check()
    control.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(box).to_be_checked()
    expect(box).to_be_focused()
    expect(control).to_be_hidden()
    page.keyboard.press("Space")
    expect(control).to_be_visible()

    Switch.objects.update(active=tuned)
    page.reload()
    page.get_by_label("Our fine-tune").uncheck()
    expect(control).to_be_visible()


def test_instructions_begin_with_a_wording_that_exists(lead, scene, standin, backends, behave):
    backends["tuned"].system_prompt = "Ahoy.\n\nBe brief."
    backends["tuned"].save()
    for row in backends.values():
        behave(row, answer="Nine.")
    build()
    page = lead.page
    lead.go("finetune/compare/")
    page.get_by_label("Ask what a visitor would ask").fill(QUESTION)
    page.get_by_text("More", exact=True).focus()
    page.keyboard.press("Enter")
    field = page.get_by_label("Other instructions for this comparison")
    wordings = page.get_by_label("Start from existing instructions")
    field.fill("My own.")
    wordings.focus()
    # With the arrows of the keyboard, past one wording to the other and back.
    seen = []
    for key in ("ArrowDown", "ArrowDown", "ArrowUp", "ArrowUp"):
        page.keyboard.press(key)
        seen.append(field.input_value())
    assert seen[0] == seen[2] == "Ahoy.\n\nBe brief."
    assert seen[1].startswith("You answer visitors' questions")
    # What somebody wrote is not lost with it.
    assert seen[3] == "My own."

    page.keyboard.press("ArrowDown")
    field.press("End")
    field.press_sequentially("!")
    lead.press("Compare")
    is_answered(page, "A", "B")
    told = [request.json["messages"][0]["content"] for request in standin.requests]
    assert [text.partition("\nIf")[0] for text in told] == ["Ahoy.\n\nBe brief.!"] * 2
    page.get_by_text("These instructions in place of their own").click()
    expect(page.locator(".finetune-prompt")).to_have_text("Ahoy.\n\nBe brief.!")


def test_question_is_saved_while_another_answers(lead, scene, standin, backends, behave):
    behave(backends["hosted"], answer="The harbour opens at nine. [1]")
    behave(backends["tuned"], answer="word " * 60, tokens_per_second=10)
    page = lead.page
    comparison = scene.compare()
    lead.go(address(comparison))
    is_answered(page, "A")
    page.keyboard.press("1")
    expect(column(page, "A")).to_contain_text("Saved. Undo")
    page.get_by_role("button", name="Save as question").focus()
    page.keyboard.press("Enter")
    link = page.get_by_role("link", name="Edit it")
    # The keyboard is where it was, and nothing was broken off.
    expect(link).to_be_focused()
    expect(page.locator(".finetune-comparison > [role=status]")).to_have_text("Saved.")
    is_answered(page, "B")
    page.keyboard.press("Enter")
    expect(page.locator("[name=text]")).to_have_value(QUESTION)
    expect(page.locator("[name=reference_answer]")).to_have_value("The harbour opens at nine.")
    lead.sees("Opening hours, part 1")
    assert standin.disconnects == []


def test_differences(lead, scene):
    comparison = scene.answered(
        "The harbour opens at nine. [1]", "The harbour opens when somebody rings. [2]"
    )
    lead.go(address(comparison))
    page = lead.page
    marked = page.locator(".finetune-different")
    expect(marked).to_have_count(0)

    toggle = page.get_by_role("button", name="Differences")
    toggle.click()
    expect(toggle).to_have_attribute("aria-pressed", "true")
    expect(column(page, "A").locator(".finetune-different")).to_have_text(["at nine"])
    expect(column(page, "B").locator(".finetune-different")).to_have_text(["when somebody rings"])
    # A grade gives the column anew, and the marks stay.
    page.keyboard.press("1")
    expect(column(page, "A")).to_contain_text("Saved. Undo")
    expect(column(page, "A").locator(".finetune-different")).to_have_text(["at nine"])

    toggle.click()
    expect(marked).to_have_count(0)
    expect(column(page, "A").locator(".finetune-answer")).to_have_text(
        "The harbour opens at nine. [1]"
    )


def test_what_stands_in_no_passage(lead, scene):
    comparison = scene.answered(
        "The harbour opens at nine on every day of the week. [1] A boat costs £7.35.",
        "On Saturdays the old tender sails at eleven. [2] Ring 020 7946 0000 first.",
    )
    lead.go(address(comparison))
    a, b = (column(lead.page, letter) for letter in "AB")
    expect(a.locator(".finetune-unfounded")).to_have_text(["£7.35"])
    expect(b.locator(".finetune-unfounded")).to_have_text(["020 7946 0000"])
    expect(a.locator(".finetune-sentence--unsupported")).to_have_text(["A boat costs £7.35."])

    a.locator(".finetune-sentence").first.hover()
    lit = lead.page.locator(".finetune-passage--lit")
    expect(lit).to_have_count(1)
    expect(lit).to_have_attribute("data-number", "1")
    b.locator(".finetune-sentence").first.hover()
    expect(lit).to_have_attribute("data-number", "2")
