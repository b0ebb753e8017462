"""A run asks each question of each backend once, whatever happens to its workers."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from finetune_switch.evaluation import running
from finetune_switch.evaluation.running import claim, execute, slots_of, visitor_waits
from finetune_switch.evaluation.starting import InvalidRun, Setup, is_repeated, start_run
from finetune_switch.evaluation.tasks import work_on_run
from finetune_switch.models import (
    ChatBackend,
    Contender,
    Exchange,
    Origin,
    Outcome,
    Question,
    QuestionSet,
    Run,
    RunItem,
)
from tests.evaluation_helpers import make_set
from tests.helpers import make_backend

pytestmark = pytest.mark.django_db


@pytest.fixture
def backends(site, connections):
    return [make_backend("openai"), make_backend("ollama")]


@pytest.fixture
def run(site, backends):
    return start_run(make_set(), backends, site=site, locale="en", setups=[WITHOUT_PASSAGES])


WITHOUT_PASSAGES = Setup(Contender.Condition.NO_RETRIEVAL)


def statuses(run):
    return sorted(run.items.values_list("status", flat=True))


class TestStarting:
    def test_a_row_for_each_question_and_contender(self, run):
        assert run.items.count() == 4
        assert statuses(run) == ["waiting"] * 4
        assert run.status == Run.Status.QUEUED
        assert run.pairs == [[0, 1]]
        assert not Exchange.objects.exists()

    def test_what_is_edited_later_changes_nothing(self, run):
        Question.objects.update(text="Something else", reference_answer="Something else")
        QuestionSet.objects.update(name="Something else")
        first = run.questions.get(position=0)
        assert first.text == "When does it open?"
        assert first.reference_answer == "Reference: When does it open?"
        assert Run.objects.get().name == "Ten questions"
        Question.objects.all().delete()
        assert run.questions.count() == 2

    def test_conditions_multiply(self, site, backends):
        setups = [Setup(), WITHOUT_PASSAGES]
        run = start_run(make_set(name="Two"), backends, site=site, setups=setups)
        assert run.items.count() == 8
        assert run.pairs == [[0, 1], [0, 2], [0, 3]]
        labels = [str(contender) for contender in run.contenders.all()]
        assert labels[2] == f"{backends[0]}, without passages"

    @pytest.mark.parametrize(("percent", "repeated"), [(0, 0), (10, 10), (50, 50), (100, 100)])
    def test_the_share_that_is_asked_twice(self, percent, repeated):
        assert sum(is_repeated(position, percent) for position in range(100)) == repeated

    def test_a_repetition_is_a_row_of_its_own(self, site, backends):
        run = start_run(make_set(name="Two"), backends, site=site, repeat_percent=50)
        assert run.items.filter(repetition=1).count() == 2
        assert run.items.count() == 6

    def test_the_verdict_compares_with_the_baseline(self, site, backends):
        third = make_backend("openai")
        run = start_run(make_set(name="Two"), [*backends, third], site=site, baseline=backends[1])
        assert run.pairs == [[1, 0], [1, 2]]


class TestBadInput:
    def refused(self, *args, **options):
        with pytest.raises(InvalidRun) as caught:
            start_run(*args, **options)
        assert not Run.objects.exists()
        return str(caught.value)

    def test_an_empty_set(self, site, backends):
        empty = QuestionSet.objects.create(name="Empty")
        assert "“Empty” has no questions" in self.refused(empty, backends, site=site)

    def test_a_set_for_collecting(self, site, backends):
        collecting = make_set(purpose=QuestionSet.Purpose.COLLECTING)
        assert "for collecting" in self.refused(collecting, backends, site=site)

    @pytest.mark.parametrize("count", [0, 1, 5])
    def test_too_few_and_too_many_backends(self, site, connections, count):
        chosen = [make_backend() for _ in range(count)]
        assert f"{count} were chosen" in self.refused(make_set(), chosen, site=site)

    def test_the_same_backend_twice(self, site, backends):
        assert "1 were chosen" in self.refused(make_set(), backends[:1] * 2, site=site)

    def test_a_backend_whose_connection_is_gone(self, site, backends):
        gone = make_backend("nowhere")
        said = self.refused(make_set(), [*backends, gone], site=site)
        assert "no longer declare the connection “nowhere”" in said

    def test_instructions_without_a_text(self, site, backends):
        setups = [Setup(Contender.Condition.INSTRUCTIONS, "  ")]
        said = self.refused(make_set(), backends, site=site, setups=setups)
        assert said == "Write the other instructions first."


class TestExecute:
    def test_every_row_is_asked_once(self, run, standin):
        execute(run)
        run.refresh_from_db()
        assert run.status == Run.Status.FINISHED
        assert statuses(run) == ["done"] * 4
        assert Exchange.objects.count() == 4
        assert set(Exchange.objects.values_list("origin", flat=True)) == {Origin.EVALUATION}
        assert set(run.items.values_list("slot", flat=True)) == {""}

    def test_a_second_worker_asks_nothing_twice(self, run, standin):
        execute(run)
        execute(run)
        work_on_run.func(run.pk)
        assert Exchange.objects.count() == 4

    def test_the_task_of_a_deleted_run(self, db):
        work_on_run.func(1234)

    def test_passages_are_found_once_and_are_the_same_for_all(self, site, backends, monkeypatch):
        from tests.helpers import make_passages

        asked = []

        def retrieve_for(switch, question, **options):
            asked.append((question, options["asker"].user))
            return make_passages(f"About {question}")

        monkeypatch.setattr(running, "retrieve_for", retrieve_for)
        run = start_run(make_set(), backends, site=site, locale="en")
        execute(run)
        execute(run)
        assert asked == [("When does it open?", None), ("What does it cost?", None)]
        for question in run.questions.all():
            exchanges = Exchange.objects.filter(run_items__question=question)
            assert len(exchanges) == 2
            for exchange in exchanges:
                assert exchange.passages == question.passages
                assert exchange.passages[0]["text"] == f"About {question.text}"

    def test_other_instructions_reach_the_model(self, site, backends, standin):
        setups = [Setup(Contender.Condition.INSTRUCTIONS, "Rhyme.")]
        run = start_run(make_set("Why?"), backends, site=site, setups=setups, locale="en")
        run.questions.update(searched_at=timezone.now(), passages=_passages())
        execute(run)
        told = [request.json["messages"][0]["content"] for request in standin.requests]
        assert len(told) == 2
        assert all(text.startswith("Rhyme.") for text in told)

    def test_a_failed_search_fails_its_rows_with_its_sentence(self, site, backends, monkeypatch):
        from finetune_switch.exceptions import BackendError

        def retrieve_for(switch, question, **options):
            raise BackendError("The index cannot be searched.")

        monkeypatch.setattr(running, "retrieve_for", retrieve_for)
        run = start_run(make_set(), backends, site=site, locale="en")
        execute(run)
        run.refresh_from_db()
        assert run.status == Run.Status.FINISHED
        assert statuses(run) == ["failed"] * 4
        assert set(run.items.values_list("error", flat=True)) == {"The index cannot be searched."}


def _passages():
    from tests.helpers import make_passages

    return [passage.as_dict() for passage in make_passages()]


class TestFailures:
    @pytest.fixture
    def broken(self, run, connections):
        """The Ollama server is gone."""
        address = connections["ollama"]["API_BASE"]
        connections["ollama"]["API_BASE"] = "http://127.0.0.1:9"
        execute(run)
        connections["ollama"]["API_BASE"] = address
        run.refresh_from_db()
        return run

    def test_failed_rows_stay_failed(self, broken):
        assert broken.status == Run.Status.FINISHED
        assert statuses(broken) == ["done", "done", "failed", "failed"]
        assert all(broken.items.filter(status="failed").values_list("error", flat=True))

    def test_only_they_are_asked_again(self, broken, standin):
        answered = set(broken.items.filter(status="done").values_list("exchange_id", flat=True))
        standin.clear()
        assert broken.ask_failed_again() == 2
        assert broken.status == Run.Status.QUEUED
        execute(broken)
        assert statuses(broken) == ["done"] * 4
        assert answered < set(broken.items.values_list("exchange_id", flat=True))

    def test_nothing_to_ask_again(self, run):
        execute(run)
        run.refresh_from_db()
        assert run.ask_failed_again() == 0
        assert run.status == Run.Status.FINISHED

    def test_a_backend_deleted_in_mid_run(self, run, backends):
        name = str(backends[1])
        backends[1].delete()
        execute(run)
        assert statuses(run) == ["done", "done", "failed", "failed"]
        errors = set(run.items.filter(status="failed").values_list("error", flat=True))
        assert errors == {f"“{name}” was deleted before it was asked."}


class TestVerbs:
    def test_a_paused_run_asks_nothing_until_it_is_resumed(self, run):
        assert run.pause()
        execute(run)
        assert statuses(run) == ["waiting"] * 4
        assert run.resume()
        execute(run)
        assert statuses(run) == ["done"] * 4

    def test_a_cancelled_run_is_not_resumed(self, run):
        assert run.cancel()
        assert not run.resume()
        assert not run.pause()
        execute(run)
        assert run.status == Run.Status.CANCELLED
        assert not Exchange.objects.exists()

    def test_a_finished_run_is_neither_paused_nor_cancelled(self, run):
        execute(run)
        run.refresh_from_db()
        assert not run.pause()
        assert not run.cancel()
        assert run.status == Run.Status.FINISHED

    def test_a_run_with_rows_left_is_not_finished(self, run):
        run.begin()
        assert not run.finish()

    def test_pausing_in_mid_run_keeps_what_was_answered(self, run, monkeypatch):
        ask = running.ask

        def pause_after(run, item, *args):
            ask(run, item, *args)
            Run.objects.get(pk=run.pk).pause()

        monkeypatch.setattr(running, "ask", pause_after)
        execute(run)
        assert statuses(run) == ["done", "waiting", "waiting", "waiting"]
        kept = set(run.items.filter(status="done").values_list("exchange_id", flat=True))
        monkeypatch.undo()
        run.resume()
        execute(run)
        assert statuses(run) == ["done"] * 4
        assert kept < set(run.items.values_list("exchange_id", flat=True))


class TestKilledWorkers:
    @pytest.fixture
    def claimed(self, run):
        """A row whose worker was killed while the model answered."""
        run.begin()
        item = claim(run, "ollama")
        Exchange.objects.create(
            id=item.exchange_id,
            origin=Origin.EVALUATION,
            question=item.question.text,
            deadline_at=timezone.now() + timedelta(seconds=30),
        )
        return item

    def expire(self, item):
        past = timezone.now() - timedelta(seconds=1)
        RunItem.objects.filter(pk=item.pk).update(leased_until=past)

    def test_a_row_is_not_taken_from_a_living_worker(self, run, claimed):
        RunItem.release_expired()
        claimed.refresh_from_db()
        assert claimed.status == RunItem.Status.CLAIMED
        assert claim(run, "ollama") is None, "Ollama has one slot"

    def test_after_the_lease_it_is_asked_again_and_the_first_stays_interrupted(self, run, claimed):
        first = claimed.exchange_id
        self.expire(claimed)
        execute(run)
        claimed.refresh_from_db()
        assert claimed.status == RunItem.Status.DONE
        assert claimed.exchange_id != first
        assert Exchange.objects.get(pk=first).outcome == Outcome.INTERRUPTED
        assert statuses(run) == ["done"] * 4

    def test_killed_between_answer_and_row_it_is_not_asked_again(self, run, claimed):
        Exchange.objects.get(pk=claimed.exchange_id).close(Outcome.COMPLETE, answer="Nine.")
        self.expire(claimed)
        first = claimed.exchange_id
        execute(run)
        claimed.refresh_from_db()
        assert (claimed.status, claimed.exchange_id) == (RunItem.Status.DONE, first)
        assert Exchange.objects.count() == 4

    def test_a_worker_that_wakes_up_late_changes_nothing(self, run, claimed):
        self.expire(claimed)
        RunItem.release_expired()
        Exchange.objects.filter(pk=claimed.exchange_id).update(outcome=Outcome.COMPLETE)
        assert not claimed.settle()
        claimed.refresh_from_db()
        assert claimed.status == RunItem.Status.WAITING

    def test_ctrl_c_gives_the_row_back(self, run, monkeypatch):
        def interrupt(self, **options):
            raise KeyboardInterrupt
            yield

        monkeypatch.setattr(running.Answer, "iterate", interrupt)
        with pytest.raises(KeyboardInterrupt):
            execute(run)
        assert statuses(run) == ["waiting"] * 4

    def test_a_run_says_that_nobody_works_on_it(self, run):
        assert not run.lacks_worker
        old = timezone.now() - timedelta(minutes=5)
        Run.objects.update(created_at=old, heard_of_at=None)
        run.refresh_from_db()
        assert run.lacks_worker
        run.begin()
        assert not run.lacks_worker

    def test_a_long_answer_is_not_a_missing_worker(self, run, claimed):
        Run.objects.update(heard_of_at=timezone.now() - timedelta(minutes=5))
        run.refresh_from_db()
        assert not run.lacks_worker


class TestLimits:
    def test_ollama_is_asked_one_question_at_a_time(self, connections):
        assert (slots_of("ollama"), slots_of("openai"), slots_of("extractive:")) == (1, 4, 1)

    def test_slots_are_shared_by_all_runs(self, run, site, backends):
        other = start_run(make_set(name="Other"), backends, site=site, setups=[WITHOUT_PASSAGES])
        run.begin()
        other.begin()
        assert claim(run, "ollama") is not None
        assert claim(other, "ollama") is None
        assert [claim(other, "openai") is None for _ in range(3)] == [False, False, True]

    def test_visitors_go_first(self, run, backends):
        _hosted, own = backends
        visitor = Exchange.objects.create(
            origin=Origin.SITE,
            question="When?",
            backend=own,
            deadline_at=timezone.now() + timedelta(seconds=30),
        )
        assert visitor_waits("ollama")
        assert not visitor_waits("openai")
        visitor.close(Outcome.COMPLETE)
        assert not visitor_waits("ollama")

    def test_a_visitor_who_was_left_behind_stops_nothing(self, run, backends):
        Exchange.objects.create(
            origin=Origin.SITE,
            question="When?",
            backend=backends[1],
            deadline_at=timezone.now() - timedelta(seconds=1),
        )
        assert not visitor_waits("ollama")


@pytest.mark.django_db(transaction=True)
class TestThreads:
    def test_lanes_are_asked_side_by_side_and_each_row_once(self, run, standin):
        def work(run):
            try:
                execute(run)
            finally:
                connections.close_all()

        others = [threading.Thread(target=work, args=[Run.objects.get()]) for _ in range(2)]
        started = time.monotonic()
        for other in others:
            other.start()
        execute(run)
        for other in others:
            other.join(30)
        assert time.monotonic() - started < 30
        assert statuses(run) == ["done"] * 4
        assert Exchange.objects.count() == 4
        assert Run.objects.get().status == Run.Status.FINISHED

    def test_it_stops_at_once(self, run, standin):
        stop = threading.Event()
        stop.set()
        execute(run, stop=stop)
        assert statuses(run) == ["waiting"] * 4


def test_the_extractive_backend_takes_part(site, backends):
    extractive = ChatBackend.objects.get(kind=ChatBackend.Kind.EXTRACTIVE)
    run = start_run(
        make_set(), [backends[0], extractive], site=site, locale="en", setups=[WITHOUT_PASSAGES]
    )
    execute(run)
    assert run.items.filter(status="waiting").count() == 0
