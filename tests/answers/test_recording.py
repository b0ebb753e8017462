"""Endings that the database does not take: the reader gets them, and they are recorded later."""

from __future__ import annotations

import logging
import sqlite3
import time
from decimal import Decimal

import pytest
from django.db import OperationalError, connection, connections

from finetune_switch.answers import answer, recording
from finetune_switch.answers.costs import cost_of
from finetune_switch.answers.events import DoneEvent, TextEvent
from finetune_switch.backends.base import Text, Usage
from finetune_switch.models import ChatBackend, Exchange, Outcome
from finetune_switch.models.exchange import ExchangeQuerySet
from tests.helpers import QUESTION, make_backend, make_passages

IMPOSSIBLE = [-1, "x", float("nan"), float("inf"), 10**30, 2.5, True, None, [], "7"]


@pytest.fixture
def options(site, connections):
    return {"backend": make_backend("ollama"), "passages": make_passages(), "site": site}


@pytest.mark.parametrize("value", IMPOSSIBLE, ids=str)
def test_numbers_that_no_model_reports_are_unknown(value):
    assert Usage.reported(value, value) == Usage()
    assert Usage() + Usage(value, value) == Usage()


def test_possible_numbers_are_known():
    assert Usage.reported(0, 26.0, 1.5) == Usage(0, 26, 1.5)
    assert Usage.reported(1, 1, -0.1) == Usage.reported(1, 1, 1e300) == Usage(1, 1)
    assert Usage(2**31 - 1, 1) + Usage(1, 1) == Usage(None, 2)


def test_costs_that_the_record_has_no_room_for_are_unknown():
    row = ChatBackend(prompt_price=Decimal(9999), completion_price=Decimal(9999))
    assert cost_of(row, Usage(2**31 - 1, 2**31 - 1), 1.0) is None
    row = ChatBackend(hourly_price=Decimal(9999))
    assert cost_of(row, Usage(), 1e9) is None


@pytest.mark.django_db
@pytest.mark.parametrize("value", IMPOSSIBLE, ids=str)
def test_a_backend_that_reports_them_is_recorded(options, ask, value, monkeypatch):
    from finetune_switch.backends.litellm import LiteLLMChatBackend

    async def astream(self, messages):
        yield Text("The harbour opens at nine. [1]")
        yield Usage(value, value, value)

    monkeypatch.setattr(LiteLLMChatBackend, "astream", astream)
    asked = ask(**options)
    assert asked.done.outcome == Outcome.COMPLETE
    exchange = asked.exchange
    assert (exchange.outcome, exchange.prompt_tokens) == (Outcome.COMPLETE, None)
    assert exchange.shown_text == "The harbour opens at nine. [1]"


@pytest.mark.django_db
@pytest.mark.parametrize("connection", ["openai", "ollama"])
def test_a_server_that_reports_them_is_recorded(options, ask, connection):
    options["backend"] = make_backend(connection, "fault-impossible-usage")
    asked = ask(**options)
    assert (asked.done.prompt_tokens, asked.done.completion_tokens) == (None, None)
    assert asked.exchange.outcome == Outcome.COMPLETE


@pytest.fixture
def broken(monkeypatch):
    """Closing fails as long as the dictionary says so, as with a full disk or a lost server."""
    state = {"fails": True, "tried": 0}
    update = ExchangeQuerySet.update

    def failing(self, **values):
        if "closed_at" in values:
            state["tried"] += 1
            if state["fails"]:
                raise OperationalError("database or disk is full")
        return update(self, **values)

    monkeypatch.setattr(ExchangeQuerySet, "update", failing)
    monkeypatch.setattr(recording, "RETRY_SECONDS", 0.05)
    yield state
    state["fails"] = False
    _wait(lambda: not recording.waiting_endings() and recording._thread is None)


def _wait(is_true, seconds=10):
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.django_db(transaction=True)
class TestAFailingDatabase:
    def test_loses_nothing_of_a_complete_answer(self, options, ask, broken, caplog):
        asked = ask(**options)
        assert asked.done.outcome == Outcome.COMPLETE
        assert "opens at nine" in asked.text
        assert asked.exchange.outcome == Outcome.OPEN
        assert str(asked.answer.exchange_id) in caplog.text
        broken["fails"] = False
        _wait(lambda: asked.exchange.outcome == Outcome.COMPLETE)
        assert asked.exchange.shown_text == asked.text
        assert asked.exchange.completion_tokens == 7

    def test_nor_of_a_failed_one(self, options, ask, broken):
        options["backend"] = make_backend("ollama", "fault-cut")
        asked = ask(**options)
        assert asked.failure.code == "cut"
        assert asked.text
        broken["fails"] = False
        _wait(lambda: asked.exchange.outcome == Outcome.FAILED)
        assert (asked.exchange.error_code, asked.exchange.shown_text) == ("cut", asked.text)

    def test_nor_of_one_that_needs_no_model(self, options, ask, broken):
        asked = ask(**{**options, "passages": []})
        assert asked.done.outcome == Outcome.NO_ANSWER
        broken["fails"] = False
        _wait(lambda: asked.exchange.outcome == Outcome.NO_ANSWER)

    def test_the_next_question_is_asked(self, options, ask, broken):
        for _time in range(3):
            assert ask(**options).done.outcome == Outcome.COMPLETE
        assert recording.waiting_endings() == 3

    def test_gives_up_and_says_so(self, options, broken, ask, monkeypatch, caplog):
        monkeypatch.setattr(recording, "GIVE_UP_SECONDS", 0.1)
        asked = ask(**options)
        _wait(lambda: not recording.waiting_endings() and "ending is lost" in caplog.text)
        assert asked.exchange.outcome == Outcome.OPEN


@pytest.mark.django_db(transaction=True)
def test_the_reader_does_not_wait_for_the_record(options, monkeypatch):
    close = Exchange.close
    recorded = []

    def slow(self, outcome, **values):
        time.sleep(0.5)
        recorded.append(outcome)
        return close(self, outcome, **values)

    monkeypatch.setattr(Exchange, "close", slow)
    events = iter(answer(QUESTION, **options))
    for event in events:
        if isinstance(event, DoneEvent):
            assert recorded == []
            break
    # Leaving after the last event is no cancellation.
    events.close()
    assert recorded == [Outcome.COMPLETE]
    assert Exchange.objects.get().outcome == Outcome.COMPLETE


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="kills a connection of PostgreSQL")
def test_a_connection_killed_in_mid_answer(options, monkeypatch, caplog):
    caplog.set_level(logging.ERROR)
    monkeypatch.setattr(recording, "RETRY_SECONDS", 0.05)
    events = []
    for event in answer(QUESTION, **options):
        events.append(event)
        if isinstance(event, TextEvent) and len(events) == 2:
            _kill(connection)
    assert isinstance(events[-1], DoneEvent)
    _wait(lambda: Exchange.objects.get().outcome == Outcome.COMPLETE)
    assert "opens at nine" in Exchange.objects.get().answer


def _kill(victim):
    pid = victim.connection.info.backend_pid
    killer = connections["default"].copy()
    with killer.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
    killer.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "sqlite", reason="locks the file of SQLite")
def test_a_locked_file(options, monkeypatch):
    monkeypatch.setattr(recording, "RETRY_SECONDS", 0.05)
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "timeout", 0.1)
    connection.close()
    locker = sqlite3.connect(
        connection.settings_dict["NAME"], isolation_level=None, check_same_thread=False
    )
    events = []
    for event in answer(QUESTION, **options):
        if isinstance(event, TextEvent) and not any(isinstance(e, TextEvent) for e in events):
            locker.execute("BEGIN IMMEDIATE")
        events.append(event)
    assert isinstance(events[-1], DoneEvent)
    locker.execute("ROLLBACK")
    locker.close()
    _wait(lambda: Exchange.objects.get().outcome == Outcome.COMPLETE)
    connection.close()
