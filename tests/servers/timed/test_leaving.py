"""Readers who leave: the model stops, and the record says so."""

from __future__ import annotations

import pytest

from finetune_switch.models import Exchange, Outcome

from .asking import LONG_ANSWER, asked
from .processes import wait_for
from .reading import LeavingReader, read_stream

pytestmark = pytest.mark.timed

# What the model does, how many pieces of its answer the reader waits for, and what it had said.
MOMENTS = {
    "while it speaks": ({"answer": LONG_ANSWER, "tokens_per_second": 10}, 3, "The harbour opens"),
    "in a silence": ({"answer": LONG_ANSWER, "fault": "silence"}, 2, "The harbour"),
    "before the first word": ({"fault": "slow-first-token"}, 0, ""),
}
NOTICED_WITHIN = 1.0


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
    exchange = wait_for(lambda: closed(body), seconds=2)
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


def closed(body: dict) -> Exchange | None:
    exchange = Exchange.objects.get(pk=body["exchange_id"])
    return None if exchange.outcome == Outcome.OPEN else exchange
