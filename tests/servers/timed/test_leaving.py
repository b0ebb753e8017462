"""Readers who leave: the model stops, and the record says so."""

from __future__ import annotations

import pytest

from finetune_switch.models import Exchange, Outcome
from tests.servers.asking import CONVERSATION, LONG_ANSWER, asked, follow_up, models_asked
from tests.servers.comparing import answer_in, column_of, text_of
from tests.servers.processes import wait_for
from tests.servers.reading import LeavingReader, read_stream

# What the model does, how many pieces of its answer the reader waits for, and what it had said.
MOMENTS = {
    "while it speaks": ({"answer": LONG_ANSWER, "tokens_per_second": 10}, 3, "The harbour opens"),
    "in a silence": ({"answer": LONG_ANSWER, "fault": "silence"}, 2, "The harbour"),
    "before the first word": ({"fault": "slow-first-token"}, 0, ""),
}
NOTICED_WITHIN = 1.0
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("connection", ["openai", "ollama"])
def test_reader_who_leaves_stops_the_model(server, make_backend, standin, connection, moment):
    behaviour, pieces, said = MOMENTS[moment]
    backend = make_backend(connection, behaviour=behaviour)
    standin.clear()
    body = asked(backend)
    reader = LeavingReader(server.port, body)
    reader.read_until(b"event: sources")
    reader.read_until(b"event: text", pieces)
    standin.wait_for(lambda: standin.active_streams == 1, timeout=5)

    # Just after the server has written, so that it is longest until it writes again.
    left_at = reader.leave()

    gone = standin.wait_for(lambda: standin.disconnects, timeout=3)[0]
    assert gone.model == backend.model_name
    assert gone.time - left_at < NOTICED_WITHIN
    exchange = wait_for(lambda: closed(body["exchange_id"]), seconds=2)
    assert exchange.outcome == Outcome.CANCELLED
    assert exchange.answer.startswith(said)
    assert exchange.answer != LONG_ANSWER
    assert (exchange.first_token_seconds is None) == (pieces == 0)


def test_reader_who_stays_through_a_silence_gets_the_rest(server, make_backend):
    backend = make_backend(behaviour={"answer": LONG_ANSWER, "fault": "stall", "seconds": 1.2})
    stream = read_stream(server.url, asked(backend))
    assert stream.text == LONG_ANSWER
    assert stream.last.data["outcome"] == "complete"


def test_servers_answer_on_after_readers_have_left(server, make_backend, standin):
    silent = make_backend(behaviour={"fault": "silence"})
    standin.clear()
    readers = [LeavingReader(server.port, asked(silent)) for _ in range(10)]
    for reader in readers:
        reader.read_until(b"event: text", 2)
    for reader in readers:
        reader.leave()
    standin.wait_for(lambda: len(standin.disconnects) == 10, timeout=3)

    assert read_stream(server.url, asked(make_backend(behaviour={}))).last.name == "done"
    assert standin.active_streams == 0


def test_who_stops_a_column_stops_the_model(comparer, make_backend, pair, standin):
    slow = make_backend(behaviour={"answer": LONG_ANSWER, "tokens_per_second": 10})
    comparison = comparer.ask([slow, pair[0]])
    column = column_of(comparison, slow)
    standin.clear()
    reader = comparer.begin(column)
    reader.read_until(b"event: text", 3)
    assert "being asked in another window" in text_of(comparer.column(column))

    assert comparer.post(comparison, f"{column.position}/stop").status_code == 204
    left_at = reader.leave()

    gone = standin.wait_for(lambda: standin.disconnects, timeout=3)[0]
    assert gone.model == slow.model_name
    assert gone.time - left_at < NOTICED_WITHIN
    wait_for(
        lambda: Exchange.objects.get(pk=column.exchange_id).outcome == Outcome.CANCELLED, seconds=2
    )
    part = comparer.column(column)
    assert f"{column.letter} was stopped." in text_of(part)
    assert answer_in(part).startswith("The harbour opens")
    assert answer_in(part) != LONG_ANSWER
    assert f"Try {column.letter} again" in text_of(part)
    assert not part.select(".finetune-grades")

    standin.clear()
    again = comparer.post(comparison, f"{column.position}/again")
    assert f"Ask {column.letter}" in again.text
    column.refresh_from_db()
    assert comparer.stream(column).text == LONG_ANSWER
    assert models_asked(standin) == [slow.model_name]


def test_who_leaves_in_the_rewrite_stops_the_model(
    server, make_backend, answer_visitors_with, standin
):
    answer_visitors_with(make_backend(behaviour={"fault": "rewrite-hangs"}))
    standin.clear()
    body = follow_up()
    reader = LeavingReader(server.port, body, path=CONVERSATION, headers=SAME_ORIGIN)
    reader.read_until(b"event: sources")
    standin.wait_for(lambda: standin.active_streams == 1, timeout=5)

    left_at = reader.leave()

    gone = standin.wait_for(lambda: standin.disconnects, timeout=3)[0]
    assert gone.time - left_at < NOTICED_WITHIN
    exchange = wait_for(lambda: closed(body["id"]), seconds=2)
    assert (exchange.outcome, exchange.answer) == (Outcome.CANCELLED, "")
    assert standin.active_streams == 0


def closed(pk: str) -> Exchange | None:
    exchange = Exchange.objects.get(pk=pk)
    return None if exchange.outcome == Outcome.OPEN else exchange
