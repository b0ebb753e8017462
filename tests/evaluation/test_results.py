"""Figures and verdicts of a run, added up from real rows."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model

from finetune_switch.evaluation.results import results_of
from finetune_switch.models import Question, Run, RunItem, RunQuestion
from tests.evaluation_helpers import (
    WORDS,
    finished_run,
    grade_item,
    grade_run,
    make_set,
)
from tests.helpers import make_backend

pytestmark = pytest.mark.django_db


@pytest.fixture
def judges(db):
    users = get_user_model().objects
    return [users.create_superuser(name, f"{name}@example.org") for name in ("nell", "sam", "kit")]


@pytest.fixture
def backends(site, connections):
    return [make_backend("openai", label="Hosted"), make_backend("ollama", label="Tuned")]


def questions(count):
    return make_set(*(f"Question {number}?" for number in range(count)))


class TestFigures:
    def test_the_table_of_the_case(self, backends, judges):
        run = finished_run(questions(10), backends)
        grade_run(run, judges[0], "cccccddddd", "ppppwwwwww")
        hosted, tuned = results_of(run).figures
        assert [count for _label, count, _share, _interval in hosted.shares] == [5, 0, 5, 0]
        assert [count for _label, count, _share, _interval in tuned.shares] == [0, 4, 0, 6]
        _label, _count, share, interval = tuned.shares[3]
        assert share == 0.6
        # Wilson's interval of 6 in 10.
        assert interval == pytest.approx((0.3127, 0.8318), abs=5e-4)
        assert (hosted.ungraded, hosted.failed, hosted.median_seconds) == (0, 0, 2.0)
        assert hosted.total_cost == pytest.approx(0.0012)

    def test_dont_know_is_right_where_no_page_answers(self, backends, judges):
        run = finished_run(questions(3), backends)
        run.questions.filter(position=0).update(expects=Question.Expects.NO_PAGE)
        run.questions.filter(position=1).update(expects=Question.Expects.OUTSIDE)
        grade_run(run, judges[0], "ddd", "ccc")
        hosted, tuned = results_of(run).figures
        assert (hosted.right, tuned.right) == (2, 3)

    def test_a_question_is_counted_once_though_asked_twice(self, backends, judges):
        run = finished_run(questions(2), backends, repeat_percent=100)
        for item in run.items.select_related("exchange", "contender"):
            wrong = item.repetition and item.contender.position
            grade_item(item, judges[0], "wrong" if wrong else "correct")
        hosted, tuned = results_of(run).figures
        assert (hosted.graded, tuned.graded) == (2, 2)
        assert (hosted.repeated, hosted.changed) == (2, 0)
        assert (tuned.repeated, tuned.changed) == (2, 2)
        verdict = results_of(run).verdicts[0]
        assert verdict.wrong.asked == 2

    def test_failures_count_for_nobody(self, backends, judges):
        run = finished_run(questions(3), backends)
        failed = run.items.filter(contender__position=1, question__position=2)
        failed.update(status=RunItem.Status.FAILED)
        for item in run.items.exclude(status=RunItem.Status.FAILED).select_related("exchange"):
            grade_item(item, judges[0], "correct")
        results = results_of(run)
        assert results.failed == 1
        assert [row.failed for row in results.figures] == [0, 1]
        assert results.figures[1].shares[0][2] == 1.0
        verdict = results.verdicts[0]
        assert (verdict.failed, verdict.right.asked) == (1, 2)
        assert verdict.sentences()[-1].startswith("1 question is left out")

    def test_by_tag(self, backends, judges):
        run = finished_run(questions(2), backends)
        RunQuestion.objects.filter(position=0).update(tags=["dogs", "visiting"])
        RunQuestion.objects.filter(position=1).update(tags=["visiting"])
        grade_run(run, judges[0], "cw", "ww")
        tags = dict(results_of(run).by_tag)
        assert list(tags) == ["dogs", "visiting"]
        assert [row.grades["correct"] for row in tags["dogs"]] == [1, 0]
        assert [row.graded for row in tags["visiting"]] == [2, 2]


class TestVerdicts:
    def test_nine_to_none_is_not_luck(self, backends, judges):
        run = finished_run(questions(20), backends)
        grade_run(run, judges[0], "p" * 20, "w" * 9 + "p" * 11)
        verdict = results_of(run).verdicts[0]
        assert verdict.is_wrong_decided
        assert verdict.sentences()[0] == (
            "Tuned was wrong 9 times, Hosted never: that is not luck."
        )

    def test_only_the_pairs_named_before(self, backends, judges):
        third = make_backend("openai", label="Base")
        run = finished_run(questions(10), [*backends, third])
        verdicts = results_of(run).verdicts
        assert [(v.first, v.second, v.pairs) for v in verdicts] == [
            ("Hosted", "Tuned", 2),
            ("Hosted", "Base", 2),
        ]

    def test_a_question_graded_for_one_only_is_not_paired(self, backends, judges):
        run = finished_run(questions(2), backends)
        grade_item(run.items.select_related("exchange")[0], judges[0], "wrong")
        assert results_of(run).verdicts[0].wrong.asked == 0


class TestSeveralGraders:
    @pytest.fixture
    def run(self, backends):
        return finished_run(questions(1), backends)

    def test_two_that_disagree_leave_it_open_and_a_third_decides(self, run, judges):
        item = run.items.select_related("exchange").first()
        grade_item(item, judges[0], "correct")
        item.refresh_from_db()
        assert (item.grade, item.is_disputed) == ("correct", False)
        grade_item(item, judges[1], "wrong")
        item.refresh_from_db()
        assert (item.grade, item.is_disputed, item.graded_by) == ("", True, 2)
        assert results_of(run).figures[0].disputed == 1
        grade_item(item, judges[2], "wrong")
        item.refresh_from_db()
        assert (item.grade, item.is_disputed) == ("wrong", False)

    def test_agreement(self, backends, judges):
        run = finished_run(questions(10), backends)
        rows = list(run.items.filter(contender__position=0).select_related("exchange"))
        for item, one, other in zip(rows, "wwwwcccccd", "wwwcccccpd", strict=True):
            grade_item(item, judges[0], WORDS[one])
            grade_item(item, judges[1], WORDS[other])
        agreement = results_of(run).agreement
        assert (agreement.answers, agreement.same) == (10, 8)
        assert (agreement.wrong, agreement.both_wrong) == (4, 3)
        # Observed .8; expected .4·.3 + .5·.5 + .1·.1 = .38.
        assert agreement.kappa == pytest.approx((0.8 - 0.38) / 0.62)

    def test_one_grader_agrees_with_nobody(self, run, judges):
        grade_item(run.items.select_related("exchange").first(), judges[0], "wrong")
        assert results_of(run).agreement is None


def test_a_thousand_questions_take_few_queries(backends, judges, django_assert_max_num_queries):
    run = finished_run(questions(30), backends)
    grade_run(run, judges[0], "c" * 30, "w" * 30)
    run = Run.objects.get(pk=run.pk)
    with django_assert_max_num_queries(6):
        results_of(run)
