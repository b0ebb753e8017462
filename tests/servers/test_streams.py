"""The same events from every kind of server, one by one as they come."""

from __future__ import annotations

import json
import time

import httpx
import pytest

from finetune_switch.models import Exchange, Switch

from .asking import LONG_ANSWER, QUESTION, asked
from .reading import read_events, read_stream

OF_EACH_TIME = (
    "exchange",
    "first_token_seconds",
    "duration_seconds",
    "load_seconds",
    "cost",
    "backend",
    "label",
)
"""What differs from one question to the next, or comes from the row's number."""

# behaviour of the model, passages or the usual ones, and how the events end
ENDINGS = {
    "answered": ({"answer": LONG_ANSWER}, None, "done", "complete"),
    "do not know": ({"answer": "I don't know."}, None, "done", "no_answer"),
    "nothing found": ({}, [], "done", "no_answer"),
    "key refused": ({"fault": "unauthorized"}, None, "failed", "unauthorized"),
    "cut off": ({"fault": "cut"}, None, "failed", "cut"),
    "an error in the middle": ({"fault": "error-line"}, None, "failed", "broke_off"),
    "no such model": ({"fault": "notfound"}, None, "failed", "model_not_found"),
    "not a model server": ({"fault": "html"}, None, "failed", "not_a_model_server"),
    "thinking": ({"fault": "think-tags"}, None, "done", "complete"),
}
ROUTES = [
    ("gunicorn", "/test/stream/"),
    ("runserver", "/test/stream/"),
    ("uvicorn", "/test/stream/"),
    ("uvicorn", "/test/astream/"),
]


def comparable(stream) -> list[tuple[str, dict]]:
    return [
        (arrival.name, {k: v for k, v in arrival.data.items() if k not in OF_EACH_TIME})
        for arrival in stream.arrivals
    ]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("connection", ["openai", "ollama"])
def test_events_are_the_same_everywhere(shared_servers, make_backend, connection, ending):
    behaviour, passages, last, said = ENDINGS[ending]
    backend = make_backend(connection, behaviour=behaviour)
    more = {} if passages is None else {"passages": passages}

    streams = [
        read_stream(shared_servers[kind].url, asked(backend, **more), path=path)
        for kind, path in ROUTES
    ]

    first, *others = map(comparable, streams)
    for other in others:
        assert other == first
    assert next(name for name, _data in first) == "sources"
    assert first[-1][0] == last
    assert first[-1][1]["outcome" if last == "done" else "code"] == said
    for stream in streams:
        exchange = Exchange.objects.get(pk=stream.arrivals[0].data["exchange"])
        assert exchange.outcome == (said if last == "done" else "failed")
        assert exchange.answer == stream.text
        assert "sk-test-secret-key" not in json.dumps(comparable(stream))


@pytest.mark.parametrize("path", ["/test/stream/", "/test/astream/"])
def test_failure_keeps_what_was_said(asgi, make_backend, path):
    backend = make_backend("ollama", behaviour={"fault": "cut", "answer": LONG_ANSWER})
    stream = read_stream(asgi.url, asked(backend), path=path)
    assert stream.text == "The harbour opens"
    assert stream.names[-1] == "failed"


def test_stream_says_that_nobody_may_keep_or_hold_it_back(server, make_backend):
    stream = read_stream(server.url, asked(make_backend(behaviour={})))

    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.headers["x-accel-buffering"] == "no"
    assert set(stream.headers["cache-control"].split(", ")) == {"private", "no-store"}
    assert "content-length" not in stream.headers


def test_question_that_was_asked_before_is_replayed_and_not_asked_again(
    wsgi, asgi, make_backend, standin
):
    backend = make_backend(behaviour={"answer": LONG_ANSWER})
    body = asked(backend)
    first = read_stream(wsgi.url, body)
    standin.clear()

    again = read_stream(asgi.url, body)

    assert standin.requests == []
    assert again.text == first.text == LONG_ANSWER
    assert again.last.data == first.last.data
    assert Exchange.objects.filter(pk=body["exchange_id"]).count() == 1


def test_visitor_is_told_the_pages_and_then_the_checked_answer(server, make_backend, home):
    """The address that the widget calls, over the demo's own index."""
    backend = make_backend(behaviour={"answer": "Welcome. A dog pays £7777. [1] Come by"})
    Switch.objects.update_or_create(site=home, defaults={"active": backend})
    question = {"q": "What does a family ticket cost?"}
    headers = {"Origin": server.url}
    url = f"{server.url}/answers/ask/"
    with httpx.stream("POST", url, data=question, headers=headers, timeout=30) as response:
        stream = read_events(response, time.monotonic())
    assert (stream.names[0], set(stream.names[1:-1]), stream.names[-1]) == (
        "sources", {"text"}, "done",
    )  # fmt: skip
    assert stream.arrivals[0].data["passages"]
    assert stream.text == "Welcome. Please look this up on the page itself. [1] Come by"
    # A score among the sources may have these digits.
    assert not any("7777" in str(arrival.data) for arrival in stream.arrivals[1:])


def test_empty_question_is_refused_before_the_stream_begins(server):
    """The address that the widget calls, with the check against forgery in force."""
    with httpx.Client(base_url=server.url) as browser:
        assert browser.post("/answers/ask/", data={"q": QUESTION}).status_code == 403
        headers = {"Origin": server.url}
        refused = browser.post("/answers/ask/", data={"q": "  "}, headers=headers)
    assert refused.status_code == 400
    assert refused.json() == {"message": "Write a question first.", "code": "invalid_question"}
