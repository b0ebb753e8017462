"""``manage.py finetune_switch evaluate``: its table, its JSON, its exit codes and Ctrl-C."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model

from finetune_switch.evaluation import running
from finetune_switch.models import Exchange, Run
from tests.evaluation_helpers import finished_run, grade_run, make_set
from tests.helpers import make_backend, manage

pytestmark = pytest.mark.django_db


@pytest.fixture
def backends(site, connections):
    return [
        make_backend("openai", alias="hosted", label="Hosted"),
        make_backend("ollama", alias="tuned", label="Tuned"),
    ]


@pytest.fixture
def ten(site):
    return make_set(*(f"Question {number}?" for number in range(10)))


@pytest.fixture
def graded(ten, backends, django_user_model):
    """The table that the project starts from: gpt-4o-mini and the fine-tune."""
    judge = get_user_model().objects.create_superuser("nell", "nell@example.org")
    run = finished_run(ten, backends)
    grade_run(run, judge, "cccccddddd", "ppppwwwwww")
    return run


def evaluate(*arguments):
    return manage("evaluate", *arguments)


BOTH = ("--backend", "hosted", "--backend", "tuned", "--condition", "no_retrieval")


class TestAsking:
    def test_a_set_and_two_backends(self, ten, backends):
        ran = evaluate("Ten questions", *BOTH)
        assert ran.code == 0
        assert Exchange.objects.count() == 20
        assert Run.objects.get().status == Run.Status.FINISHED
        assert "Ten questions, 10 questions" in ran.out
        assert "Hosted, without passages" in ran.out
        assert "No question has been graded for both yet." in ran.out

    def test_json(self, ten, backends):
        ran = evaluate(str(ten.pk), *BOTH, "--json")
        told = ran.json
        assert told["questions"] == 10
        assert [row["backend"] for row in told["contenders"]] == ["hosted", "tuned"]
        assert [row["ungraded"] for row in told["contenders"]] == [10, 10]
        assert told["verdicts"][0]["decided"] == {"wrong": False, "right": False}

    def test_failed_rows_are_told_and_asked_again(self, ten, backends, connections):
        address = connections["ollama"]["API_BASE"]
        connections["ollama"]["API_BASE"] = "http://127.0.0.1:9"
        ran = evaluate("Ten questions", *BOTH)
        assert "10 rows failed. Ask them again" in ran.err
        connections["ollama"]["API_BASE"] = address
        again = evaluate("--run", str(Run.objects.get().pk), "--again")
        assert "failed" not in again.err
        assert Run.objects.get().items.filter(status="done").count() == 20

    def test_ctrl_c_leaves_a_run_that_goes_on(self, ten, backends, monkeypatch):
        ask, asked = running.ask, []

        def interrupt_third(run, item, *args):
            asked.append(item)
            if len(asked) == 3:
                item.release()
                raise KeyboardInterrupt
            ask(run, item, *args)

        monkeypatch.setattr(running, "ask", interrupt_third)
        ran = evaluate("Ten questions", *BOTH)
        run = Run.objects.get()
        assert ran.code == 130
        assert f"evaluate --run {run.pk}" in ran.err
        assert run.status == Run.Status.PAUSED
        assert run.items.filter(status="done").count() == 2
        monkeypatch.undo()
        assert evaluate("--run", str(run.pk)).code == 0
        assert Exchange.objects.count() == 20


class TestLimits:
    def test_the_table_of_the_case(self, graded):
        ran = evaluate("--run", str(graded.pk))
        lines = ran.out.splitlines()
        assert lines[1].split()[:3] == ["Backend", "Correct", "Partly"]
        assert lines[2].split()[:5] == ["Hosted", "5", "0", "5", "0"]
        assert lines[3].split()[:5] == ["Tuned", "0", "4", "0", "6"]
        assert "10 questions decide nothing." in ran.out

    def test_within(self, graded):
        ran = evaluate("--run", str(graded.pk), "--fail-under", "dont_know=0")
        assert ran.code == 0
        assert evaluate("--run", str(graded.pk), "--fail-over", "wrong=0.6").code == 0

    def test_beyond(self, graded):
        ran = evaluate(
            "--run", str(graded.pk), "--fail-under", "correct=0.5", "--fail-over", "wrong=0.05"
        )
        assert ran.code == 1
        assert "Tuned: correct is 0.000, under 0.5." in ran.err
        assert "Tuned: wrong is 0.600, over 0.05." in ran.err
        assert "Hosted" not in ran.err

    def test_ungraded_answers_meet_no_limit(self, ten, backends):
        ran = evaluate("Ten questions", *BOTH, "--fail-over", "wrong=0.05")
        assert ran.code == 1
        assert "Hosted, without passages: no answer is graded" in ran.err

    def test_limits_in_json(self, graded):
        ran = evaluate("--run", str(graded.pk), "--json", "--fail-under", "correct=0.8")
        assert ran.code == 1
        assert len(ran.json["beyond_limits"]) == 2


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ((), "Name a question set, or a run with --run."),
            (("Nine", *BOTH), 'There is no question set "Nine". Available sets: Ten questions.'),
            (("Ten questions", "--backend", "hosted"), "1 were chosen"),
            (("Ten questions", "--backend", "nobody"), 'There is no backend "nobody"'),
            (("Ten questions", *BOTH, "--repeat", "101"), "not 101"),
            (("--run", "99999"), "There is no run 99999."),
            (("Ten questions", *BOTH, "--fail-under", "good=0.5"), '"good=0.5" is no limit'),
            (("Ten questions", *BOTH, "--fail-over", "wrong=5%"), '"wrong=5%" is no limit'),
            (("Ten questions", *BOTH, "--fail-over", "wrong"), '"wrong" is no limit'),
        ],
    )
    def test_each_has_its_sentence(self, ten, backends, arguments, said):
        ran = evaluate(*arguments)
        assert ran.code == 2
        assert said in ran.err
        assert not Run.objects.exists()
