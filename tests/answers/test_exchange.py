"""What a question leaves behind: once, as things were, and as long as the settings say."""

from __future__ import annotations

import uuid
from contextlib import closing
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from finetune_switch.answers import answer
from finetune_switch.answers.events import DoneEvent
from finetune_switch.models import Exchange, Origin, Outcome
from finetune_switch.models.backend import DEFAULT_SYSTEM_PROMPT
from tests.helpers import OPENING, QUESTION, make_backend, make_passages

pytestmark = pytest.mark.django_db


@pytest.fixture
def options(site, connections):
    return {"backend": make_backend("ollama"), "passages": make_passages(), "site": site}


class TestRecord:
    def test_has_it_all(self, options, ask):
        exchange = ask(**options, locale="en-gb").exchange
        assert (exchange.site, exchange.locale, exchange.origin) == (
            options["site"], "en-gb", Origin.SITE,
        )  # fmt: skip
        assert exchange.question == QUESTION
        assert exchange.passages[0]["text"] == OPENING
        assert exchange.passages[0]["source"]["url"] == "/page-1/"
        assert exchange.opened_at <= exchange.closed_at <= exchange.deadline_at
        # The backend's 20 seconds and a little more.
        assert 20 < (exchange.deadline_at - exchange.opened_at).total_seconds() < 40
        assert exchange.first_token_seconds <= exchange.duration_seconds
        assert (exchange.prompt_tokens > 0, exchange.completion_tokens) == (True, 7)

    def test_keeps_the_backend_as_it_was(self, options, ask):
        backend = options["backend"]
        backend.parameters = {"temperature": 0.5}
        backend.digest = "abc"
        backend.save()
        before = ask(**options).exchange
        alias = backend.alias
        backend.system_prompt = "Be brief."
        backend.label, backend.alias, backend.model_name = "Renamed", "renamed", "test-model:latest"
        backend.parameters = {}
        backend.save()
        before.refresh_from_db()
        assert before.backend_state == {
            "alias": alias, "label": "Backend" + alias.removeprefix("backend").replace("-", " "),
            "kind": "connection", "connection": "ollama", "model": "test-model", "digest": "abc",
            "system_prompt": DEFAULT_SYSTEM_PROMPT, "prompt_version": 1,
            "parameters": {"temperature": 0.5},
        }  # fmt: skip
        after = ask(**options).exchange.backend_state
        assert (after["system_prompt"], after["prompt_version"]) == ("Be brief.", 2)

    def test_is_closed_once(self, options, ask):
        exchange = ask(**options).exchange
        assert not exchange.close(Outcome.FAILED, error="too late")
        exchange.refresh_from_db()
        assert (exchange.outcome, exchange.error) == (Outcome.COMPLETE, "")


class TestShownText:
    """What was shown is recorded when it is shown, and never made anew from today's rules."""

    PRICES = "Boats: a day costs £30."
    SAID = "A day costs £30. [1] A child pays £7. [1] Come by."
    SHOWN = "A day costs £30. [1] Please look this up on the page itself. [1] Come by."

    @pytest.fixture
    def tell(self, options, standin, ask):
        def tell(said, **more):
            name = f"teller-{uuid.uuid4()}"
            standin.add_model(name, listed=False, **said)
            options["backend"] = make_backend("ollama", name)
            options["passages"] = make_passages(self.PRICES)
            return ask(**options, locale="en-gb", **{"fact_lock": True, **more}).exchange

        return tell

    def test_answer(self, tell):
        exchange = tell({"answer": self.SAID})
        assert (exchange.answer, exchange.shown_text) == (self.SAID, self.SHOWN)

    def test_answer_without_a_fact_lock(self, tell):
        exchange = tell({"answer": self.SAID}, fact_lock=False)
        assert exchange.shown_text == exchange.answer == self.SAID

    def test_answer_that_broke_off(self, tell):
        exchange = tell({"answer": "Welcome.\nFamilies: £24 each.", "fault": "cut"})
        assert exchange.outcome == Outcome.FAILED
        assert exchange.answer.startswith("Welcome.\nFamilies: £24")
        assert exchange.shown_text == "Welcome.\n"

    def test_nothing_found(self, options, ask):
        options["passages"] = []
        exchange = ask(**options, fact_lock=True, locale="en-gb").exchange
        assert exchange.outcome == Outcome.NO_ANSWER
        assert exchange.shown_text == exchange.answer != ""

    def test_reader_who_left(self, options, standin):
        standin.add_model("talker", listed=False, answer="At nine. [1] " * 20)
        options["backend"] = make_backend("ollama", "talker")
        pending = answer(QUESTION, **options, fact_lock=True)
        with closing(iter(pending)) as events:
            for _number, _event in zip(range(3), events, strict=False):
                pass
        exchange = Exchange.objects.get()
        assert exchange.outcome == Outcome.CANCELLED
        assert exchange.shown_text == pending.text_so_far != ""
        assert exchange.answer.startswith(exchange.shown_text.rstrip())

    def test_replay_shows_what_was_shown(self, tell, options, ask):
        number = uuid.uuid4()
        tell({"answer": self.SAID}, exchange_id=number)
        # The page names the price by now, and the lock would let the sentence pass.
        options["passages"] = make_passages(f"{self.PRICES} Children: £7.")
        Exchange.objects.update(passages=[passage.as_dict() for passage in options["passages"]])
        again = ask(**options, locale="en-gb", fact_lock=True, exchange_id=number)
        assert again.text == self.SHOWN
        assert Exchange.objects.get().shown_text == self.SHOWN

    def test_contacts_are_masked_in_all_of_the_record(self, tell):
        question = "I am on 020 7946 0000: what does a day cost?"
        said = "We ring 020 7946 0000. [1] A day costs £30. [1] Or 0044 20 7946 0000, for £7."
        exchange = tell({"answer": said}, question=question, fact_lock=False)
        assert "7946" not in f"{exchange.question} {exchange.answer} {exchange.shown_text}"
        locked = tell({"answer": said}, question=question)
        assert "7946" not in str(vars(locked) | {"passages": ""})
        assert "A day costs £30." in locked.shown_text


class TestWordings:
    def test_each_change_is_a_new_number(self):
        backend = make_backend()
        for text in ("One.", "One.", "Two.", "One."):
            backend.system_prompt = text
            backend.save()
        backend.label = "Only the name"
        backend.save(update_fields=["label"])
        versions = backend.prompt_versions.order_by("number").values_list("number", "text")
        assert list(versions) == [(1, DEFAULT_SYSTEM_PROMPT), (2, "One."), (3, "Two."), (4, "One.")]
        assert backend.prompt_version == 4


class TestInterrupted:
    def test_open_past_its_deadline(self, options, ask):
        exchange = ask(**options).exchange
        assert Exchange.objects.overdue().count() == 0
        exchange.outcome = Outcome.OPEN
        assert exchange.current_outcome == Outcome.OPEN
        exchange.deadline_at = timezone.now() - timedelta(seconds=1)
        exchange.save()
        assert exchange.current_outcome == Outcome.INTERRUPTED
        assert list(Exchange.objects.overdue()) == [exchange]


class TestRecordingOff:
    @pytest.fixture(autouse=True)
    def off(self, settings, options):
        settings.FINETUNE_SWITCH["RECORD_VISITOR_QUESTIONS"] = False

    @pytest.mark.parametrize(
        ("fault", "outcome"),
        [("test-model", "complete"), ("fault-cut", "failed"), ("", "no_answer")],
    )
    def test_a_visitor_leaves_no_row(self, options, ask, fault, outcome):
        options["backend"] = make_backend("ollama", fault or "test-model")
        if not fault:
            options["passages"] = []
        last = ask(**options).events[-1]
        assert (last.outcome if isinstance(last, DoneEvent) else "failed") == outcome
        assert not Exchange.objects.exists()

    @pytest.mark.parametrize("origin", [Origin.SHELL, Origin.COMPARE, Origin.EVALUATION])
    def test_a_colleague_does(self, options, ask, origin):
        assert ask(**options, origin=origin).exchange.outcome == Outcome.COMPLETE


class TestRetention:
    def make(self, days, origin=Origin.SITE):
        opened = timezone.now() - timedelta(days=days, minutes=1)
        return Exchange.objects.create(
            origin=origin, question=f"{origin} {days}", opened_at=opened, deadline_at=opened
        )

    def test_visitors_questions_are_kept_as_long_as_the_settings_say(self, site, connections):
        self.make(30)
        kept = [self.make(29), *(self.make(400, o) for o in Origin if o != Origin.SITE)]
        call_command("finetune_switch", "purge", "--dry-run")
        assert Exchange.objects.count() == 5
        call_command("finetune_switch", "purge")
        assert set(Exchange.objects.all()) == set(kept)

    def test_for_ever(self, site, connections, settings):
        settings.FINETUNE_SWITCH["RETENTION_DAYS"] = None
        self.make(4000)
        call_command("finetune_switch", "purge")
        assert Exchange.objects.count() == 1


@pytest.mark.parametrize("zones", [True, False])
def test_those_of_today_with_time_zones_and_without(site, settings, zones):
    settings.USE_TZ = zones
    now = timezone.now()
    for days in (0, 2):
        Exchange.objects.create(
            question="When?", opened_at=now - timedelta(days=days), deadline_at=now
        )
    assert Exchange.objects.asked_today().count() == 1
