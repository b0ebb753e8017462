"""A question that follows another, from every kind of server: the pages first, then better ones."""

from __future__ import annotations

import time
import uuid
from typing import Any

import httpx
import pytest

from finetune_switch.models import Exchange, Outcome, Switch
from tests.conversation_helpers import rewriting_to

from .processes import wait_for
from .reading import LeavingReader, read_events

PATH = "/answers/conversation/"
REWRITTEN = "How do I hire a rowing boat?"
SAID = "Ask at the slip. [1]"


@pytest.fixture
def switched(home, make_backend):
    """Makes a model that behaves somehow the site's own."""

    def use(**behaviour: Any) -> None:
        backend = make_backend(behaviour=behaviour)
        Switch.objects.update_or_create(site=home, defaults={"active": backend})

    return use


def follow_up() -> dict[str, Any]:
    return {
        "question": "And on Sundays?",
        "conversation": str(uuid.uuid4()),
        "id": str(uuid.uuid4()),
        "turns": [{"question": "When does the museum open?", "answer": "At ten. [1]"}],
    }


def test_pages_come_at_once_and_better_ones_after_them(server, switched):
    switched(answer=rewriting_to(REWRITTEN, SAID), first_token_seconds=0.4)
    body = follow_up()
    headers, started = {"Origin": server.url}, time.monotonic()
    with httpx.stream("POST", server.url + PATH, json=body, headers=headers) as response:
        stream = read_events(response, started)

    assert stream.names[:2] == ["sources", "sources"]
    assert set(stream.names[2:-1]) == {"text"}
    assert stream.names[-1] == "done"
    first, second = stream.arrivals[:2]
    titles = [{p["source"]["title"] for p in event.data["passages"]} for event in (first, second)]
    assert titles[0] != titles[1]
    assert second.at - first.at > 0.3
    assert stream.text == SAID
    exchange = Exchange.objects.get(pk=body["id"])
    assert exchange.standalone_question == REWRITTEN
    assert exchange.passages == second.data["passages"]


@pytest.mark.timed
def test_reader_who_leaves_in_the_rewrite_stops_the_model(server, switched, standin):
    switched(fault="rewrite-hangs")
    standin.clear()
    body = follow_up()
    reader = LeavingReader(server.port, body, path=PATH, headers={"Sec-Fetch-Site": "same-origin"})
    reader.read_until(b"event: sources")
    standin.wait_for(lambda: standin.active_streams == 1, timeout=5)

    left_at = reader.leave()

    gone = standin.wait_for(lambda: standin.disconnects, timeout=3)[0]
    assert gone.time - left_at < 1
    exchange = wait_for(lambda: closed(body), seconds=2)
    assert (exchange.outcome, exchange.answer) == (Outcome.CANCELLED, "")
    assert standin.active_streams == 0


def closed(body: dict[str, Any]) -> Exchange | None:
    exchange = Exchange.objects.get(pk=body["id"])
    return None if exchange.outcome == Outcome.OPEN else exchange
