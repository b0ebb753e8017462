"""A question that follows another, from every kind of server: the pages first, then better ones."""

from __future__ import annotations

import time

import httpx

from finetune_switch.models import Exchange
from tests.conversation_helpers import rewriting_to

from .asking import CONVERSATION, follow_up
from .reading import read_events

REWRITTEN = "How do I hire a rowing boat?"
SAID = "Ask at the slip. [1]"


def test_pages_come_at_once_and_better_ones_after_them(server, make_backend, answer_visitors_with):
    model = {"answer": rewriting_to(REWRITTEN, SAID), "first_token_seconds": 0.4}
    answer_visitors_with(make_backend(behaviour=model))
    body = follow_up()
    headers, started = {"Origin": server.url}, time.monotonic()
    with httpx.stream("POST", server.url + CONVERSATION, json=body, headers=headers) as response:
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
