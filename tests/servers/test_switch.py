"""A switch made anywhere is followed by the very next question everywhere."""

from __future__ import annotations

import json

import httpx
import pytest

from finetune_switch.models import Exchange

from . import processes
from .asking import LONG_ANSWER, QUESTION, asked
from .reading import read_stream

INDEX = "BoatPageIndex"


@pytest.fixture
def two_backends(make_backend):
    """A hosted model, and one on a server of our own."""
    return (
        make_backend("openai", behaviour={"answer": "The hosted model speaks."}),
        make_backend("ollama", behaviour={"answer": "Our own model speaks."}),
    )


def models_asked(standin) -> list[str]:
    """The models that the stand-in was asked for since the last look."""
    models = [request.model for request in standin.requests if request.method == "POST"]
    standin.clear()
    return models


def switch_through(server, backend) -> None:
    answer = httpx.post(
        f"{server.url}/test/switch/", json={"backend": backend.alias}, verify=processes.TLS
    )
    assert answer.json() == {"active": backend.alias}


def query(server, index: str = INDEX) -> httpx.Response:
    body = {"question": QUESTION, "index": index}
    return httpx.post(f"{server.url}/test/query/", json=body, timeout=30, verify=processes.TLS)


def assert_answers(server, backend, standin) -> None:
    """The very next questions, asked in each way there is, go to this backend and no other."""
    expected = standin.find(backend.model_name).answer
    standin.clear()

    assert read_stream(server.url, asked()).text == expected
    assert models_asked(standin) == [backend.model_name]

    assert query(server).json()["answer"] == expected
    assert models_asked(standin) == [backend.model_name]


def test_switch_through_one_server_is_followed_by_the_other(wsgi, asgi, two_backends, standin):
    hosted, own = two_backends
    assert (wsgi.health()["interface"], asgi.health()["interface"]) == ("wsgi", "asgi")

    switch_through(wsgi, hosted)
    assert_answers(asgi, hosted, standin)
    assert_answers(wsgi, hosted, standin)

    switch_through(wsgi, own)
    assert_answers(asgi, own, standin)

    switch_through(asgi, hosted)
    assert_answers(wsgi, hosted, standin)


def test_switch_from_the_command_line_is_followed_by_both(
    wsgi, asgi, two_backends, standin, environment
):
    hosted, own = two_backends
    switch_through(wsgi, hosted)
    assert_answers(asgi, hosted, standin)

    processes.manage(environment, "finetune_switch", "use", own.alias)

    assert_answers(wsgi, own, standin)
    assert_answers(asgi, own, standin)


def test_question_under_way_is_finished_by_the_backend_that_began_it(server, make_backend, standin):
    slow = make_backend(behaviour={"answer": LONG_ANSWER, "tokens_per_second": 20})
    other = make_backend(behaviour={"answer": "Somebody else speaks."})
    switch_through(server, slow)
    standin.clear()
    with httpx.stream("POST", f"{server.url}/test/stream/", json=asked(), timeout=10) as response:
        pieces = response.iter_text()
        received = next(pieces)
        while "event: text" not in received:
            received += next(pieces)
        switch_through(server, other)
        received += "".join(pieces)
    assert "Christmas" in received
    assert "event: done" in received
    assert models_asked(standin) == [slow.model_name]


def test_query_leaves_its_exchange_and_its_sources(server, two_backends):
    hosted, _own = two_backends
    switch_through(server, hosted)

    answer = query(server).json()

    assert len(answer["sources"]) > 0
    exchange = Exchange.objects.first()
    assert (exchange.question, exchange.outcome) == (QUESTION, "complete")
    assert exchange.answer == answer["answer"] == "The hosted model speaks."
    assert exchange.backend == hosted


def test_query_fails_with_a_safe_sentence(server, make_backend):
    switch_through(server, make_backend("nowhere"))

    refused = query(server)

    assert refused.status_code == 502
    assert refused.json()["code"] == "refused"
    assert "sk-test-secret-key" not in refused.text
    assert "127.0.0.1" not in refused.text


def test_streamed_chat_of_vector_index_follows_the_switch(server, two_backends, standin):
    for backend in two_backends:
        switch_through(server, backend)
        answer = httpx.post(f"{server.url}/test/chat/", json={"question": QUESTION}, timeout=30)
        parts = [part["content"] for part in map(json.loads, answer.text.splitlines())]
        assert len(parts) > 2
        assert "".join(parts) == standin.find(backend.model_name).answer
