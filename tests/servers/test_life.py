"""A server process from its start, before anybody asks it anything, to its sudden end."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from django.utils import timezone

from finetune_switch.models import Exchange, Outcome

from .asking import LONG_ANSWER, asked
from .conftest import warm_up
from .processes import Server
from .reading import LeavingReader, read_stream

PAGES = ("/", "/ask/", "/search/?q=boat", "/admin/login/")


@pytest.fixture(scope="module")
def pair(start_server) -> list[Server]:
    """A server of each interface that nobody else uses: the first test here finds them fresh, and
    the last one kills them."""
    servers = [start_server(kind, wait=False) for kind in ("gunicorn", "uvicorn")]
    for server in servers:
        server.wait_until_healthy()
    return servers


def test_no_server_imports_litellm_before_a_model_is_asked(pair):
    for server in pair:
        for page in PAGES:
            assert httpx.get(server.url + page, timeout=10).status_code == 200, page
        assert httpx.get(f"{server.url}/admin/", timeout=10).status_code == 302
        # What is refused, and what needs no model, does not ask one.
        assert httpx.post(f"{server.url}/answers/ask/", data={"q": "?"}).status_code == 403
        assert "at nine" in read_stream(server.url, asked("extractive")).text
        assert server.health()["litellm"] is False

    with ThreadPoolExecutor() as threads:
        list(threads.map(warm_up, pair))

    assert [server.health()["litellm"] for server in pair] == [True, True]


def test_exchange_of_a_server_that_was_killed_reads_interrupted(pair, wsgi, make_backend, standin):
    for server in pair:
        warm_up(server)
    backend = make_backend(
        behaviour={"answer": LONG_ANSWER, "tokens_per_second": 4}, total_seconds=2
    )
    bodies = [asked(backend) for _ in pair]
    for server, body in zip(pair, bodies, strict=True):
        standin.clear()
        reader = LeavingReader(server.port, body)
        reader.read_until(b"event: text", 2)

        server.kill()

        standin.wait_for(lambda: standin.disconnects, timeout=2)

    exchanges = [Exchange.objects.get(pk=body["exchange_id"]) for body in bodies]
    for exchange, body in zip(exchanges, bodies, strict=True):
        assert (exchange.outcome, exchange.current_outcome) == (Outcome.OPEN, Outcome.OPEN)
        assert read_stream(wsgi.url, body).last.data["code"] == "in_progress"

    last_deadline = max(exchange.deadline_at for exchange in exchanges)
    time.sleep((last_deadline - timezone.now()).total_seconds() + 0.1)

    for exchange, body in zip(exchanges, bodies, strict=True):
        assert exchange.current_outcome == Outcome.INTERRUPTED
        assert exchange in Exchange.objects.overdue()
        assert read_stream(wsgi.url, body).last.data["code"] == "interrupted"
