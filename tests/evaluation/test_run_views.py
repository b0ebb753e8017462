"""The pages of an evaluation: the list, the form, one run, its questions, and grading."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from finetune_switch.evaluation.grading import to_grade
from finetune_switch.evaluation.starting import start_run
from finetune_switch.models import (
    Exchange,
    Grade,
    Outcome,
    Question,
    QuestionSet,
    Run,
    RunItem,
)
from tests.comparison_helpers import bar
from tests.evaluation_helpers import finished_run, grade_item, grade_run, make_set
from tests.pages import inline_in
from tests.roles import grant

pytestmark = pytest.mark.django_db

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def run(site, hosted, tuned):
    return finished_run(make_set("When?", "Why?"), [hosted, tuned], site=site)


@pytest.fixture
def form(site, hosted, tuned):
    return {
        "question_set": make_set().pk,
        "backends": [hosted.pk, tuned.pk],
        "conditions": ["site"],
        "repeat_percent": "0",
        "graders": "1",
        "site": site.pk,
    }


class TestList:
    def test_empty(self, admin):
        page = admin.get("runs:index")
        assert "No set of questions has been put to backends yet." in page.text

    def test_a_row(self, admin, run):
        grade_item(run.items.select_related("exchange")[0], admin.user, "correct")
        text = admin.get("runs:index").text
        assert "Ten questions" in text
        assert "The hosted model, Our fine-tune" in text
        assert "1 of 4" in text
        assert "Finished" in text

    def test_queries_do_not_grow(self, admin, run, site, hosted, tuned):
        admin.get("runs:index")
        with CaptureQueriesContext(connection) as few:
            admin.get("runs:index")
        for number in range(5):
            finished_run(make_set("Who?", name=f"Set {number}"), [hosted, tuned], site=site)
        with CaptureQueriesContext(connection) as many:
            admin.get("runs:index")
        assert len(many) == len(few)


class TestForm:
    def test_it_says_first_what_it_costs(self, admin, form):
        page = admin.post("runs:start", **form)
        assert page.status == 200
        assert "4 answers" in page.text
        assert "2 questions go to: a test of OpenAI." in page.text
        assert "2 questions go to: a test of Ollama." in page.text
        assert "Without the time of Our fine-tune, The hosted model" in page.text
        assert "have no answer on the pages" in page.text
        assert not Run.objects.exists()

    def test_the_estimate_is_made_from_past_answers(self, admin, form, hosted, tuned):
        for backend, seconds, cost in ((hosted, 60, "0.5"), (tuned, 30, "0.25")):
            Exchange.objects.create(
                origin="site",
                question="When?",
                backend=backend,
                backend_state=backend.snapshot(),
                outcome=Outcome.COMPLETE,
                duration_seconds=seconds,
                cost=cost,
                deadline_at=timezone.now(),
            )
        page = admin.post("runs:start", **form)
        # Two questions: 2 × (0.50 + 0.25) dollars, and 2 × 30 s on Ollama, one after another.
        assert "About $ 1.50 and 1 minute." in page.text

    def test_start(self, admin, form, monkeypatch, django_capture_on_commit_callbacks):
        from finetune_switch.evaluation.views import starting

        given = []
        monkeypatch.setattr(starting, "enqueue_run", given.append)
        with django_capture_on_commit_callbacks(execute=True):
            page = admin.post("runs:start", **form, start="1")
        run = Run.objects.get()
        assert page.message == "The evaluation was started."
        assert run.started_by == admin.user
        assert run.items.count() == 4
        assert given == [run]

    def test_without_a_worker_the_page_names_the_command(self, admin, form, monkeypatch):
        from finetune_switch.evaluation.views import runs, starting

        for module in (runs, starting):
            monkeypatch.setattr(module, "runs_inside_the_request", lambda: True)
        monkeypatch.setattr(starting, "enqueue_run", lambda run: pytest.fail("it was enqueued"))
        page = admin.post("runs:start", **form, start="1")
        run = Run.objects.get()
        assert "no worker for background tasks" in page.text
        assert f"evaluate --run {run.pk}" in page.text

    def test_an_expensive_one_asks_first(self, admin, form, hosted):
        Exchange.objects.create(
            origin="site",
            question="When?",
            backend=hosted,
            backend_state=hosted.snapshot(),
            outcome=Outcome.COMPLETE,
            duration_seconds=1,
            cost="26",
            deadline_at=timezone.now(),
        )
        page = admin.post("runs:start", **form, start="1")
        assert "This costs a lot." in page.text
        assert not Run.objects.exists()
        admin.post("runs:start", **form, start="1", agreed="on")
        assert Run.objects.exists()

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"question_set": ""}, "Choose a question set."),
            ({"backends": []}, "Choose two to four backends."),
            ({"conditions": ["instructions"]}, "Write the other instructions first."),
            ({"conditions": []}, "Choose at least one condition."),
            ({"repeat_percent": "101"}, "less than or equal to 100"),
        ],
    )
    def test_bad_input(self, admin, form, change, said):
        page = admin.post("runs:start", **{**form, **change}, start="1")
        assert said in page.text
        assert not Run.objects.exists()

    def test_one_backend_is_too_few(self, admin, form, hosted):
        page = admin.post("runs:start", **{**form, "backends": [hosted.pk]}, start="1")
        assert "Choose 2 to 4 backends; 1 were chosen." in page.text

    def test_a_baseline_that_takes_no_part(self, admin, form, extractive):
        page = admin.post("runs:start", **form, baseline=extractive.pk, start="1")
        assert "has to be one of the chosen backends" in page.text

    def test_an_empty_set(self, admin, form):
        empty = QuestionSet.objects.create(name="Empty")
        page = admin.post("runs:start", **{**form, "question_set": empty.pk}, start="1")
        assert "The set “Empty” has no questions." in page.text

    def test_sets_for_collecting_are_not_offered(self, admin, form):
        collecting = make_set(name="Collected", purpose=QuestionSet.Purpose.COLLECTING)
        assert "Collected" not in admin.get("runs:start").text
        page = admin.post("runs:start", **{**form, "question_set": collecting.pk}, start="1")
        assert page.status == 200
        assert not Run.objects.exists()


class TestRunPage:
    def test_the_table_and_the_verdict(self, admin, run):
        grade_run(run, admin.user, "cd", "wp")
        text = admin.get("runs:run", run.pk).text
        assert "The hosted model or Our fine-tune?" in text
        assert "2 questions decide nothing." in text
        assert "50 % (9 % to 91 %)" in text

    def test_progress_moves(self, admin, site, hosted, tuned):
        run = start_run(make_set(), [hosted, tuned], site=site)
        run.begin()
        run.questions.update(searched_at=timezone.now())
        told = admin.get("runs:progress", run.pk).response.json()
        assert (told["done"], told["total"], told["is_at_work"]) == (0, 4, True)
        run.items.filter(contender__position=0).update(status=RunItem.Status.DONE)
        told = admin.get("runs:progress", run.pk).response.json()
        assert (told["done"], told["sentence"]) == (2, "2 of 4 answers")
        assert 'data-controller="finetune-progress"' in admin.get("runs:run", run.pk).html

    def test_nobody_works_on_it(self, admin, site, hosted, tuned, monkeypatch):
        from finetune_switch.evaluation.views import runs

        monkeypatch.setattr(runs, "runs_inside_the_request", lambda: False)
        run = start_run(make_set(), [hosted, tuned], site=site)
        assert "Nobody works on this evaluation" not in admin.get("runs:run", run.pk).text
        Run.objects.update(created_at=timezone.now() - timedelta(minutes=5))
        page = admin.get("runs:run", run.pk)
        assert "Nobody works on this evaluation" in page.text
        assert "Go on" in page.buttons

    def test_pause_resume_cancel(self, admin, site, hosted, tuned):
        run = start_run(make_set(), [hosted, tuned], site=site)
        assert admin.post("runs:pause", run.pk).message == "Paused. What was answered stays."
        assert "Go on" in admin.get("runs:run", run.pk).buttons
        assert admin.post("runs:resume", run.pk).message.startswith("It goes on.")
        assert admin.post("runs:cancel", run.pk).message.startswith("Cancelled.")
        page = admin.post("runs:pause", run.pk)
        assert page.message == "Nothing was changed: the evaluation is cancelled."

    def test_failed_rows_are_counted_and_asked_again(self, admin, run):
        run.items.filter(contender__position=1).update(status=RunItem.Status.FAILED)
        page = admin.get("runs:run", run.pk)
        assert "2 answers failed. They count for nobody." in page.text
        assert "Ask these again" in page.buttons
        page = admin.post("runs:again", run.pk)
        assert page.message == "2 failed questions are asked again."
        assert run.items.filter(status=RunItem.Status.WAITING).count() == 2

    def test_where_they_differ(self, admin, run):
        grade_run(run, admin.user, "cc", "cw")
        page = admin.get("runs:run", run.pk, different="1")
        assert page.links("Why?")
        assert not page.links("When?")

    def test_causes(self, admin, run, site):
        home = site.root_page
        first, second = run.questions.order_by("position")
        first.page_ids = [home.pk]
        first.save()
        second.expects = Question.Expects.NO_PAGE
        second.passages = [{**PASSAGE, "source": {**PASSAGE["source"], "object_id": str(home.pk)}}]
        second.save()
        first.passages = second.passages
        first.save()
        run.items.filter(question=first, contender__position=0).update(outcome="no_answer")
        grade_run(run, admin.user, "dw", "wd")
        text = admin.get("runs:run", run.pk).text
        assert "found, but ignored" in text
        assert "invented: no page has it" in text

    def test_at_most_25_queries_with_a_thousand_rows_of_questions(self, admin, site, hosted, tuned):
        questions = make_set(*(f"Question {number}?" for number in range(60)))
        run = finished_run(questions, [hosted, tuned], site=site, pages=[site.root_page])
        # Each of these answers has a cause to be looked for.
        run.questions.update(page_ids=[site.root_page.pk])
        run.items.update(grade="wrong")
        admin.get("runs:run", run.pk)
        with CaptureQueriesContext(connection) as queries:
            page = admin.get("runs:run", run.pk, p="2")
        assert len(queries) <= 25, [query["sql"][:90] for query in queries]
        assert "Page 2 of 3" in page.text

    def test_hostile_text(self, admin, site, hosted, tuned):
        run = finished_run(make_set(EVIL, name=EVIL), [hosted, tuned], site=site)
        Exchange.objects.update(answer=EVIL)
        for view, args in (
            ("runs:index", ()),
            ("runs:run", (run.pk,)),
            ("runs:question", (run.pk, 0)),
            ("runs:grade", (run.pk,)),
        ):
            page = admin.get(view, *args)
            assert EVIL not in page.html, view
            assert inline_in(page.main) == [], view

    def test_deleting_removes_the_answers_too(self, admin, run):
        admin.post("runs:delete", run.pk)
        assert not Run.objects.exists()
        assert not Exchange.objects.exists()


PASSAGE = {
    "number": 1,
    "text": "Nine.",
    "score": 0.5,
    "source": {
        "title": "Home",
        "url": "",
        "model": "demo_site.homepage",
        "object_id": "1",
    },
    "index": "",
    "found_by": ["vector"],
}


class TestAccess:
    """Who may not open a passage, or a page of the reference, sees no answer made from it."""

    @pytest.fixture
    def secret(self, make_page):
        return make_page("Wages", "What everybody earns.")

    @pytest.fixture(params=["passage", "reference"])
    def run(self, request, site, hosted, tuned, secret):
        made = request.param == "passage"
        run = finished_run(
            make_set("When?"), [hosted, tuned], site=site, pages=[secret] if made else []
        )
        if not made:
            run.questions.update(page_ids=[secret.pk])
        return run

    @pytest.mark.parametrize("role", ["run_viewer", "run_grader"])
    def test_nothing_is_shown(self, log_in, run, secret, role):
        reader = log_in(role)
        assert "Answer of 0" in reader.get("runs:question", run.pk, 0).text
        bar(secret)
        page = reader.get("runs:question", run.pk, 0)
        assert "Answer of 0" not in page.html
        assert "Reference:" not in page.html
        assert "You see only the question." in page.text
        exported = reader.get("runs:export", run.pk, export="csv").response
        content = b"".join(exported.streaming_content).decode()
        assert "Answer of 0" not in content
        assert "Reference:" not in content
        assert reader.get("runs:run", run.pk).links("When?") == []

    def test_nothing_is_graded(self, log_in, run, secret):
        grader = log_in("run_grader")
        bar(secret)
        page = grader.get("runs:grade", run.pk)
        assert "2 answers rest on pages that you may not open." in page.text
        item = run.items.first()
        grader.post("runs:give_grade", run.pk, item=item.pk, value="wrong")
        assert not Grade.objects.exists()


class TestReport:
    def test_says_what_was_asked_and_how_it_ended(self, admin, run):
        grade_run(run, admin.user, "cw", "wc")
        text = admin.get("runs:report", run.pk).text
        assert "2 questions were put to: The hosted model, Our fine-tune." in text
        assert "graded, without names, by" in text
        assert "2 questions decide nothing." in text
        assert "Answer of 0 to When?" in text

    def test_names_stay_hidden_from_who_still_grades(self, log_in, run):
        grader = log_in("run_grader")
        item = run.items.select_related("exchange").first()
        grade_item(item, grader.user, "correct")
        text = grader.get("runs:report", run.pk).text
        assert "You still have to grade answers" in text
        assert "Answer of 0" not in text

    def test_closed_pages_close_its_examples(self, log_in, admin, site, hosted, tuned, make_page):
        secret = make_page("Wages", "What everybody earns.")
        run = finished_run(make_set("Who?"), [hosted, tuned], site=site, pages=[secret])
        grade_run(run, admin.user, "c", "w")
        reader = log_in("run_viewer")
        assert "Answer of 0" in reader.get("runs:report", run.pk).text
        bar(secret)
        assert "Answer of" not in reader.get("runs:report", run.pk).text


class TestExport:
    def test_csv_is_safe(self, admin, run):
        Exchange.objects.update(answer="=1+1")
        response = admin.get("runs:export", run.pk, export="csv").response
        text = b"".join(response.streaming_content).decode()
        rows = list(csv.DictReader(io.StringIO(text)))
        assert len(rows) == 4
        assert {row["Answer"] for row in rows} == {"'=1+1"}
        assert rows[0]["Reference answer"] == "Reference: When?"
        assert rows[0]["Backend"] == "The hosted model"

    def test_xlsx(self, admin, run):
        response = admin.get("runs:export", run.pk, export="xlsx").response
        assert response.status_code == 200
        assert f"evaluation-{run.pk}.xlsx" in response["Content-Disposition"]


class TestGrading:
    def test_names_are_hidden(self, log_in, run):
        grader = log_in("run_grader")
        page = grader.get("runs:grade", run.pk)
        assert "Reference: When?" in page.text
        assert "0 graded, 4 to go" in page.text
        for name in ("hosted", "fine-tune"):
            assert name not in page.main.get_text()
        assert "names are hidden" in grader.get("runs:question", run.pk, 0).text
        assert "hosted" not in grader.get("runs:question", run.pk, 0).main.get_text()

    def test_grades_go_from_one_answer_to_the_next(self, log_in, run):
        grader = log_in("run_grader")
        for left in (3, 2, 1, 0):
            page = grader.get("runs:grade", run.pk)
            item = page.soup.select_one("[name=item]")["value"]
            page = grader.post(
                "runs:give_grade", run.pk, item=item, value="wrong", tone="yes", note="No."
            )
            assert f"{4 - left} graded, {left} to go" in page.text
        assert "All answers are graded." in page.text
        grade = Grade.objects.first()
        assert (grade.value, grade.tone, grade.note, grade.was_blind) == (
            "wrong",
            "yes",
            "No.",
            True,
        )
        assert grade.seconds is not None
        assert set(run.items.values_list("grade", "tone")) == {("wrong", "yes")}

    def test_undo(self, log_in, run):
        grader = log_in("run_grader")
        item = to_grade(run, grader.user)[0]
        grader.post("runs:give_grade", run.pk, item=item.pk, value="wrong")
        grader.post("runs:give_grade", run.pk, undo="1")
        item.refresh_from_db()
        assert (item.grade, item.graded_by) == ("", 0)
        assert grader.get("runs:grade", run.pk).soup.select_one("[name=item]")["value"] == str(
            item.pk
        )

    def test_a_grade_is_chosen_first(self, log_in, run):
        grader = log_in("run_grader")
        item = run.items.first()
        page = grader.post("runs:give_grade", run.pk, item=item.pk, value="")
        assert page.message == "Choose a grade first."
        page = grader.post("runs:give_grade", run.pk, item=item.pk, value="splendid")
        assert not Grade.objects.exists()

    def test_two_graders_are_not_given_the_same_answer(self, log_in, run):
        first, second = log_in("run_grader"), log_in("superuser")
        items = [
            page.soup.select_one("[name=item]")["value"]
            for page in (first.get("runs:grade", run.pk), second.get("runs:grade", run.pk))
        ]
        assert items[0] != items[1]
        RunItem.objects.update(reserved_at=timezone.now() - timedelta(hours=1))
        page = second.get("runs:grade", run.pk)
        assert page.soup.select_one("[name=item]")["value"] == items[0]

    def test_each_answer_is_offered_to_as_many_as_the_run_wants(self, log_in, run):
        first, second = log_in("run_grader"), log_in("superuser")
        grade_run(run, first.user, "cc", "cc")
        assert not to_grade(run, second.user).exists()
        run.graders = 2
        run.save()
        assert to_grade(run, second.user).count() == 4
        assert not to_grade(run, first.user).exists()

    def test_a_disputed_answer_goes_to_a_third(self, log_in, run, django_user_model):
        first, second = log_in("run_grader"), log_in("superuser")
        third = django_user_model.objects.create_superuser("third")
        item = run.items.select_related("exchange").first()
        grade_item(item, first.user, "correct")
        assert not to_grade(run, third).filter(pk=item.pk).exists()
        grade_item(item, second.user, "wrong")
        assert to_grade(run, third).filter(pk=item.pk).exists()

    def test_a_failed_answer_is_not_graded(self, log_in, run):
        grader = log_in("run_grader")
        item = run.items.first()
        RunItem.objects.filter(pk=item.pk).update(status=RunItem.Status.FAILED)
        grader.post("runs:give_grade", run.pk, item=item.pk, value="wrong")
        assert not Grade.objects.exists()

    def test_the_next_card_leaves_out_the_one_that_is_shown(self, log_in, run):
        grader = log_in("run_grader")
        shown = grader.get("runs:grade", run.pk).soup.select_one("[name=item]")["value"]
        card = grader.get("runs:grade_card", run.pk, after=shown)
        assert card.soup.select_one("[name=item]")["value"] != shown

    def test_starters_are_offered_no_grading(self, log_in, run):
        starter = log_in("run_starter")
        assert starter.get("runs:run", run.pk).links("Grade") == []
        grant(starter.user, "grade_run")
        starter.user = type(starter.user).objects.get(pk=starter.user.pk)
        assert starter.get("runs:run", run.pk).links("Grade 4 answers")
