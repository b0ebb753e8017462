"""An evaluation from beginning to end: set up, run, graded by keyboard, and read."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from playwright.sync_api import expect

from finetune_switch.evaluation.running import execute
from finetune_switch.evaluation.starting import start_run
from finetune_switch.models import Grade, Run, RunItem
from tests.evaluation_helpers import finished_run, grade_run, make_set

from .looking import look


@pytest.fixture
def asked(site):
    return make_set("When do you open?", "What does it cost?", "Are dogs welcome?")


@pytest.fixture
def run(site, backends, asked):
    return finished_run(
        asked, [backends["hosted"], backends["tuned"]], site=site, pages=[site.root_page]
    )


def card(lead):
    return lead.page.locator("[data-finetune-grading-target=body]")


def pace(lead):
    return card(lead).locator(".finetune-pace p")


class TestSettingUp:
    def test_the_estimate_comes_before_anything_is_asked(self, lead, asked, backends):
        lead.go("finetune/evaluations/")
        lead.page.get_by_role("link", name="New evaluation").click()
        expect(lead.page.get_by_label("Question set")).to_have_value(str(asked.pk))
        # The active backend is chosen already.
        expect(lead.page.get_by_label("The hosted model", exact=False).first).to_be_checked()
        lead.page.get_by_role("checkbox", name="Our fine-tune").check()
        assert look(lead.page) == []
        lead.press("What will it cost?")
        lead.sees("6 answers")
        lead.sees("3 questions go to: a test of OpenAI.")
        assert not Run.objects.exists()
        assert look(lead.page) == []
        lead.press("Start")
        lead.sees_message("The evaluation was started.")
        assert Run.objects.get().items.count() == 6

    def test_progress_moves_and_ends(self, lead, asked, backends, site):
        run = start_run(asked, [backends["hosted"], backends["tuned"]], site=site, locale="en")
        run.questions.update(searched_at=run.created_at)
        run.begin()
        lead.go(f"finetune/evaluations/{run.pk}/")
        bar = lead.page.get_by_role("progressbar")
        expect(bar).to_have_js_property("value", 0)
        RunItem.objects.filter(contender__position=0).update(status="done")
        expect(bar).to_have_js_property("value", 3)
        lead.sees("3 of 6 answers")
        RunItem.objects.update(status="waiting")
        execute(run)
        expect(bar).to_have_count(0)
        lead.sees("Grade 6 answers")


class TestGrading:
    def test_by_keyboard(self, lead, run):
        lead.go(f"finetune/evaluations/{run.pk}/grade/")
        expect(pace(lead)).to_contain_text("0 graded, 6 to go")
        for graded in range(1, 4):
            lead.page.keyboard.press("4")
            lead.page.keyboard.press("6")
            expect(pace(lead)).to_contain_text(f"{graded} graded, {6 - graded} to go")
        lead.page.keyboard.press("1")
        lead.page.keyboard.press("Control+Enter")
        expect(pace(lead)).to_contain_text("4 graded, 2 to go")
        assert sorted(Grade.objects.values_list("value", "tone")) == [
            ("correct", ""),
            ("wrong", "nearly"),
            ("wrong", "nearly"),
            ("wrong", "nearly"),
        ]

    @pytest.mark.thorough
    def test_undo(self, lead, run):
        lead.go(f"finetune/evaluations/{run.pk}/grade/")
        first = card(lead).locator(".finetune-answer").inner_text()
        lead.page.keyboard.press("4")
        lead.page.keyboard.press("Control+Enter")
        expect(pace(lead)).to_contain_text("1 graded, 5 to go")
        lead.page.keyboard.press("u")
        expect(pace(lead)).to_contain_text("0 graded, 6 to go")
        expect(card(lead).locator(".finetune-answer")).to_have_text(first)

    @pytest.mark.thorough
    def test_fast_fingers_lose_nothing(self, lead, run):
        lead.go(f"finetune/evaluations/{run.pk}/grade/")
        expect(pace(lead)).to_contain_text("0 graded")
        for number in range(6):
            item = card(lead).locator("[name=item]").first.input_value()
            lead.page.keyboard.press("4")
            lead.page.keyboard.press("5")
            if number < 5:
                expect(card(lead).locator("[name=item]").first).not_to_have_value(item)
        lead.sees("All answers are graded.")
        assert Grade.objects.count() == 6

    @pytest.mark.thorough
    def test_the_list_of_keys(self, lead, run):
        lead.go(f"finetune/evaluations/{run.pk}/grade/")
        lead.page.keyboard.press("?")
        expect(lead.page.get_by_role("dialog", name="Keys")).to_be_visible()
        lead.page.keyboard.press("4")
        lead.page.keyboard.press("Escape")
        expect(lead.page.get_by_role("dialog", name="Keys")).to_be_hidden()
        assert card(lead).locator("input:checked").count() == 0

    @pytest.mark.thorough
    def test_keys_write_in_a_note(self, lead, run):
        lead.go(f"finetune/evaluations/{run.pk}/grade/")
        lead.page.get_by_text("Leave a note").click()
        lead.page.get_by_label("Note").fill("")
        lead.page.get_by_label("Note").type("4 u ?")
        expect(lead.page.get_by_label("Note")).to_have_value("4 u ?")
        lead.page.keyboard.press("Control+Enter")
        assert not Grade.objects.exists(), "no grade was chosen"


class TestLooks:
    @pytest.mark.thorough
    @pytest.mark.parametrize("path", ["", "grade/", "0/"])
    def test_nothing_is_wrong(self, lead, run, path):
        if path == "":
            grade_run(run, get_user_model().objects.get(username="nell"), "cpd", "wwc")
        lead.go(f"finetune/evaluations/{run.pk}/{path}")
        assert look(lead.page) == []

    @pytest.mark.thorough
    def test_on_a_telephone_the_answer_comes_first(self, lead, run):
        lead.page.set_viewport_size({"width": 375, "height": 812})
        for path in ("grade/", "0/"):
            lead.go(f"finetune/evaluations/{run.pk}/{path}")
            answer = lead.page.locator(".finetune-answer").first
            expect(answer).to_be_visible()
            reference = lead.page.get_by_text("Reference answer", exact=True)
            assert answer.bounding_box()["y"] < reference.bounding_box()["y"]

    @pytest.mark.thorough
    def test_on_a_telephone_the_set_can_be_read(self, lead, asked):
        lead.page.set_viewport_size({"width": 375, "height": 812})
        lead.go("finetune/evaluations/new/")
        assert lead.page.get_by_label("Question set").bounding_box()["width"] > 250

    @pytest.mark.thorough
    def test_the_list(self, lead, run):
        lead.go("finetune/evaluations/")
        assert look(lead.page) == []
