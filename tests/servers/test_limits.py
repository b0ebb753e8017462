"""Limits are counted over all processes of a site, here those of two servers on one cache."""

from __future__ import annotations

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from django.db import connection
from wagtail.models import Site

from finetune_switch.limits.throttling import REQUESTS_FOR_EACH_QUESTION
from finetune_switch.models import Switch

from . import processes
from .asking import LONG_ANSWER

QUESTION = {"q": "What does a family ticket cost?"}
A_DAY = 12
STREAMS = 4
SLOW = {"answer": LONG_ANSWER, "tokens_per_second": 0.5}


@pytest.fixture(scope="module")
def pair(start_server, environment):
    """A server of each interface, with few questions a day and few streams at once."""
    visitors = {"CACHE": "shared", "QUESTIONS_A_DAY": A_DAY, "STREAMS": STREAMS}
    more = {"TEST_VISITORS": json.dumps(visitors)}
    processes.manage({**environment, **more}, "createcachetable")
    servers = [start_server(kind, wait=False, **more) for kind in ("gunicorn", "uvicorn")]
    for server in servers:
        server.wait_until_healthy()
    return servers


@pytest.fixture(autouse=True)
def nothing_counted(pair):
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM shared_cache")


@pytest.fixture
def answer_with(make_backend):
    """Sets what answers on the demo's site, which is as before afterwards."""
    site = Site.objects.get(is_default_site=True)
    before = list(Switch.objects.filter(site=site))

    def use(total_seconds=None, **behaviour):
        backend = make_backend(behaviour=behaviour, total_seconds=total_seconds)
        Switch.objects.update_or_create(site=site, defaults={"active": backend})
        return backend

    yield use
    Switch.objects.filter(site=site).delete()
    Switch.objects.bulk_create(before)


def ask(server) -> httpx.Response:
    headers = {"Origin": server.url}
    return httpx.post(
        f"{server.url}/answers/ask/",
        data=QUESTION,
        headers=headers,
        timeout=30,
        verify=processes.TLS,
    )


def search(server) -> httpx.Response:
    return httpx.get(
        f"{server.url}/answers/results/", params=QUESTION, timeout=30, verify=processes.TLS
    )


def start(server) -> httpx.Response:
    """A stream that has begun, and is being answered slowly."""
    client = httpx.Client(timeout=30, verify=processes.TLS)
    request = client.build_request(
        "POST", f"{server.url}/answers/ask/", data=QUESTION, headers={"Origin": server.url}
    )
    response = client.send(request, stream=True)
    # Kept with the response: what iterates over it hangs up when it is forgotten.
    response.chunks = response.iter_raw()
    said = b""
    while b"event: sources" not in said:
        said += next(response.chunks)
    response.client = client
    return response


def leave(response: httpx.Response) -> None:
    response.close()
    response.client.close()


def test_of_many_questions_at_once_to_both_as_many_are_answered_as_may_be(pair, answer_with):
    answer_with(answer="Twelve pounds.")
    # A server frees a stream's place a moment after its reader has read the end.
    with ThreadPoolExecutor(STREAMS // 2) as threads:
        asked = threads.map(lambda number: ask(pair[number % 2]), range(A_DAY + 6))
        statuses = Counter(response.status_code for response in asked)
    assert statuses == {200: A_DAY, 429: 6}


def test_searches_are_counted_over_both(pair):
    most = A_DAY * REQUESTS_FOR_EACH_QUESTION
    statuses = [search(pair[number % 2]).status_code for number in range(most + 4)]
    assert statuses == [200] * most + [429] * 4


def test_streams_at_once_are_those_of_all_processes_and_who_leaves_makes_room(pair, answer_with):
    answer_with(**SLOW)
    under_way = [start(server) for server in pair * (STREAMS // 2)]

    for server in pair:
        started = time.monotonic()
        refused = ask(server)
        assert (refused.status_code, refused.json()["code"]) == (503, "busy")
        assert refused.headers["Retry-After"] == "5"
        assert time.monotonic() - started < 2

    for response in under_way:
        leave(response)
    answer_with(answer="Twelve pounds.")
    for server in pair:
        processes.wait_for(lambda server=server: ask(server).status_code == 200, seconds=5)


def test_slot_of_a_server_that_was_killed_comes_free_by_itself(
    pair, start_server, answer_with, environment
):
    doomed = start_server("gunicorn", **pair[0].environment)
    answer_with(total_seconds=60, **SLOW)
    under_way = [start(doomed) for _ in range(STREAMS)]

    doomed.kill()

    for response in under_way:
        leave(response)
    assert ask(pair[1]).status_code == 503
    with connection.cursor() as cursor:
        # In place of waiting until it expires.
        cursor.execute(
            "UPDATE shared_cache SET expires = %s WHERE cache_key LIKE %s",
            ["2020-01-01 00:00:00", "%:stream:%"],
        )
        assert cursor.rowcount == STREAMS
    answer_with(answer="Twelve pounds.")
    assert ask(pair[1]).status_code == 200
