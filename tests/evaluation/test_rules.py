"""Rules propose grades; people decide, unless the run lets rules decide alone."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model

from finetune_switch.evaluation.grading import grade_by_rules, to_grade
from finetune_switch.evaluation.results import results_of
from finetune_switch.evaluation.rules import InvalidRule, Rule, judge_by_rules, read_rules
from finetune_switch.models import Exchange, Grade, Outcome, Question, Run
from tests.evaluation_helpers import finished_run, grade_item, make_set
from tests.helpers import make_backend, make_passages, manage

ANSWER = "A family ticket is £24.00, valid for\n12 months. [1]"


def said(answer=ANSWER, **values):
    passages = [passage.as_dict() for passage in make_passages()]
    return Exchange(answer=answer, passages=passages, citations=[1], **values)


class TestRules:
    @pytest.mark.parametrize(
        ("line", "holds"),
        [
            ("contains: family TICKET", True),
            ("contains: for 12 months", True),
            ("contains: adult", False),
            ("lacks: £12", True),
            ("lacks: £24", False),
            ("matches: £\\d+\\.\\d\\d", True),
            ("matches: ^yes", False),
            ("number: 24", True),
            ("number: 25", False),
            ("number: 25 ± 1", True),
            ("number: 25 +- 0.5", False),
            ("don’t know", False),
        ],
    )
    def test_hold(self, line, holds):
        (rule,) = read_rules(line)
        assert rule.holds(said()) is holds

    def test_thousands(self):
        assert Rule("number", "1,250").holds(said("It holds 1,250 people."))

    def test_cites(self, db):
        exchange = said()
        exchange.passages[0]["source"]["model"] = "wagtailcore.page"
        assert Rule("cites", "1").holds(exchange)
        exchange.citations = []
        assert not Rule("cites", "1").holds(exchange)

    @pytest.mark.parametrize(
        "line", ["£24", "contains:", "says: x", "matches: (", "number: many", "cites: home"]
    )
    def test_bad_lines_are_quoted(self, line):
        with pytest.raises(InvalidRule) as caught:
            read_rules(f"contains: x\n\n{line}")
        assert f"“{line}”" in str(caught.value)


class TestGrades:
    @pytest.mark.parametrize(
        ("rules", "grade"),
        [
            ("contains: £24\nnumber: 12", "correct"),
            ("contains: £24\nnumber: 13", "partly_correct"),
            ("contains: £25\nnumber: 13", "wrong"),
            ("contains: £24\nlacks: 12 months", "wrong"),
            ("don't know", "wrong"),
        ],
    )
    def test_of_an_answer(self, rules, grade):
        assert judge_by_rules(read_rules(rules), said())[0] == grade

    def test_of_an_i_dont_know(self):
        exchange = said("I don't know.", outcome=Outcome.NO_ANSWER)
        assert judge_by_rules(read_rules("contains: £24"), exchange) == ("dont_know", "")

    def test_the_note_says_which_are_broken(self):
        assert judge_by_rules(read_rules("contains: £25\nnumber: 12"), said())[1] == (
            "Broken: contains: £25"
        )


@pytest.mark.django_db
class TestProposals:
    @pytest.fixture
    def run(self, site, connections):
        asked = make_set("When?")
        asked.questions.update(rules="contains: answer of 0")
        run = finished_run(asked, [make_backend(), make_backend("ollama")], site=site)
        for item in run.items.all():
            grade_by_rules(item)
        return run

    def test_nobody_has_decided(self, run):
        assert set(Grade.objects.values_list("source", flat=True)) == {"rule"}
        assert [row.graded for row in results_of(run).figures] == [0, 0]
        user = get_user_model().objects.create_superuser("nell")
        assert to_grade(run, user).count() == 2

    def test_rules_may_decide_alone(self, run):
        Run.objects.update(rules_decide=True)
        run.refresh_from_db()
        for item in run.items.all():
            grade_by_rules(item)
        first, second = results_of(run).figures
        assert (first.grades["correct"], second.grades["wrong"]) == (1, 1)
        user = get_user_model().objects.create_superuser("nell")
        assert not to_grade(run, user).exists()
        item = run.items.select_related("exchange").first()
        grade_item(item, user, "partly_correct")
        item.refresh_from_db()
        assert item.grade == "partly_correct", "a person's grade counts more"

    def test_grading_again_replaces_the_proposal(self, run):
        for item in run.items.all():
            grade_by_rules(item)
        assert Grade.objects.count() == 2

    def test_on_the_command_line_a_limit_can_be_met(self, site, connections):
        from demo_site.standin.behaviours import TEST_ANSWER

        make_backend(alias="one")
        make_backend("ollama", alias="two")
        asked = make_set("When?")
        Question.objects.update(rules=f"contains: {TEST_ANSWER[:12]}")
        arguments = ["evaluate", asked.name, "--backend", "one", "--backend", "two"]
        arguments += ["--condition", "no_retrieval", "--rules-decide"]
        assert manage(*arguments, "--fail-under", "correct=1").code == 0
        Question.objects.update(rules="contains: nothing of the kind")
        assert manage(*arguments, "--fail-over", "wrong=0.5").code == 1

    def test_the_form_names_a_bad_line(self, admin):
        page = admin.post("questions:add", text="Why?", tags="", rules="contains £24")
        assert "“contains £24” is no rule." in page.text
        admin.post("questions:add", text="Why?", tags="", rules="contains: £24")
        assert Question.objects.get(text="Why?").rules == "contains: £24"

    def test_the_grader_sees_the_proposal(self, admin, run):
        assert "The rules say: " in admin.get("runs:grade", run.pk).text
