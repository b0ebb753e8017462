"""What the page Compare does beside asking: suggestions, differences, and marks in the answers."""

from __future__ import annotations

from playwright.sync_api import expect

from finetune_switch.models import Question

from .comparing import address, column


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
