"""A database that is slow, and a worker that is restarted in the middle of answers."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest
from django.db import connection
from django.utils import timezone

from finetune_switch.models import Exchange, Outcome

from .asking import LONG_ANSWER, asked
from .conftest import ON_POSTGRESQL, warm_up
from .processes import Server, wait_for
from .reading import LeavingReader, read_stream

# More than there are threads for the database's work.
ASKERS = 10
LOCKED_SECONDS = 1.5
RESTART_SECONDS = 15


@contextmanager
def nobody_can_record() -> Iterator[None]:
    """Holds what the first write of each question has to wait for."""
    with connection.cursor() as cursor:
        cursor.execute("BEGIN" if ON_POSTGRESQL else "BEGIN IMMEDIATE")
        if ON_POSTGRESQL:
            cursor.execute("LOCK TABLE finetune_switch_exchange IN EXCLUSIVE MODE")
        yield
        cursor.execute("ROLLBACK")


def test_slow_database_holds_up_new_questions_alone(server, make_backend):
    slow = make_backend(behaviour={"answer": f"{LONG_ANSWER} " * 4, "tokens_per_second": 10})
    quick = make_backend(behaviour={"answer": LONG_ANSWER})
    reader = LeavingReader(server.port, asked(slow))
    reader.read_until(b"event: text", 1)
    with ThreadPoolExecutor(ASKERS) as threads:
        with nobody_can_record():
            started = time.monotonic()
            asking = [threads.submit(read_stream, server.url, asked(quick)) for _ in range(ASKERS)]
            heard = reader.received.count(b"event: text")
            # Ten a second, of which this is a part: the stream goes on.
            reader.read_until(b"event: text", heard + 8)
            assert httpx.get(f"{server.url}/", timeout=5).status_code == 200
            time.sleep(max(0.0, started + LOCKED_SECONDS - time.monotonic()))
            assert not any(stream.done() for stream in asking)
        streams = [stream.result() for stream in asking]
    reader.leave()

    assert {(stream.text, stream.last.name) for stream in streams} == {(LONG_ANSWER, "done")}
    assert all(stream.arrivals[0].at > LOCKED_SECONDS / 2 for stream in streams)


@pytest.fixture(scope="module")
def pair(start_server) -> dict[str, Server]:
    """A server of each interface that nobody else uses; the last test here ends them."""
    servers = {kind: start_server(kind, wait=False) for kind in ("gunicorn", "uvicorn")}
    for server in servers.values():
        warm_up(server)
    return servers


@pytest.fixture
def slowly(make_backend):
    return make_backend(behaviour={"answer": LONG_ANSWER, "tokens_per_second": 1})


def read_to_the_end(reader: LeavingReader) -> bytes:
    """What came until the server hung up."""
    with pytest.raises((AssertionError, ConnectionError), match=r"hung up|reset"):
        reader.read_until(b"event: done")
    return reader.received


def test_worker_that_is_killed_ends_its_streams_and_another_one_answers(pair, slowly, standin):
    """gunicorn starts a worker again, as a process manager does with uvicorn."""
    server = pair["gunicorn"]
    before = server.health()["pid"]
    standin.clear()
    body = asked(slowly)
    reader = LeavingReader(server.port, body)
    reader.read_until(b"event: text", 2)

    os.kill(before, signal.SIGKILL)

    assert b"event: failed" not in read_to_the_end(reader)
    standin.wait_for(lambda: standin.disconnects, timeout=3)
    wait_for(lambda: pid_of(server) not in (None, before), seconds=RESTART_SECONDS)
    exchange = Exchange.objects.get(pk=body["exchange_id"])
    assert exchange.outcome == Outcome.OPEN
    # In place of waiting for it.
    Exchange.objects.filter(pk=exchange.pk).update(deadline_at=timezone.now())
    assert read_stream(server.url, body).last.data["code"] == "interrupted"
    assert read_stream(server.url, asked("extractive")).last.name == "done"


def pid_of(server: Server) -> int | None:
    try:
        return server.health()["pid"]
    except httpx.HTTPError:
        return None


@pytest.mark.parametrize("kind", ["gunicorn", "uvicorn"])
def test_server_that_is_told_to_stop_leaves_no_answer_open(pair, wsgi, slowly, standin, kind):
    server = pair[kind]
    standin.clear()
    body = asked(slowly)
    reader = LeavingReader(server.port, body)
    reader.read_until(b"event: text", 2)

    server.process.terminate()

    assert b"event: done" not in read_to_the_end(reader)
    standin.wait_for(lambda: standin.disconnects, timeout=5)
    server.process.wait(RESTART_SECONDS)
    exchange = Exchange.objects.get(pk=body["exchange_id"])
    Exchange.objects.filter(pk=exchange.pk).update(deadline_at=timezone.now())
    exchange.refresh_from_db()
    assert exchange.current_outcome in (Outcome.CANCELLED, Outcome.INTERRUPTED)
    assert LONG_ANSWER.startswith(exchange.answer)
    assert read_stream(wsgi.url, body).last.data["code"] == "interrupted"
