"""Under WSGI each stream takes a thread. Where all but one are taken, the next visitor is told so
at once, and that one thread goes on with the site's other pages."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.servers.asking import LONG_ANSWER
from tests.servers.conftest import warm_up
from tests.servers.processes import THREADS, Server, wait_for
from tests.servers.reading import LeavingReader, visitor

QUESTION = "What does a family ticket cost?"
AT_ONCE = 1.0


@pytest.fixture(scope="module")
def site(start_server) -> Server:
    """It keeps one thread for what is no stream."""
    visitors = json.dumps({"STREAMS": THREADS - 1, "FACT_LOCK": False})
    server = start_server("gunicorn", TEST_VISITORS=visitors)
    warm_up(server)
    return server


@pytest.fixture
def crowd(site, make_backend, answer_visitors_with, standin) -> Iterator[list[LeavingReader]]:
    """As many readers as there may be. Their model has said two words, and then no more."""
    answer_visitors_with(make_backend(behaviour={"answer": LONG_ANSWER, "fault": "silence"}))
    readers = [visitor(site.port, QUESTION) for _ in range(THREADS - 1)]
    for reader in readers:
        reader.read_until(b"event: text", 2)
    yield readers
    for reader in readers:
        reader.leave()
    wait_for(lambda: standin.active_streams == 0, seconds=5)


def ask(site: Server) -> httpx.Response:
    headers = {"Origin": site.url}
    return httpx.post(f"{site.url}/answers/ask/", data={"q": QUESTION}, headers=headers, timeout=10)


def test_next_visitor_is_told_at_once_and_the_other_pages_still_answer(
    site, crowd, make_backend, answer_visitors_with
):
    started = time.monotonic()
    refused = ask(site)
    assert time.monotonic() - started < AT_ONCE
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    assert refused.json()["message"].endswith(".")
    for page in ("/", "/answers/search/", "/admin/login/"):
        started = time.monotonic()
        assert httpx.get(site.url + page, timeout=10).status_code == 200, page
        assert time.monotonic() - started < 2 * AT_ONCE, page

    crowd.pop().leave()

    # Who leaves makes room.
    answer_visitors_with(make_backend(behaviour={}))
    wait_for(lambda: ask(site).status_code == 200, seconds=5)
