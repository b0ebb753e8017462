"""A crowd of readers at once, on one ASGI process and a database with few connections."""

from __future__ import annotations

import asyncio
import json
import resource
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import psutil
import pytest
from django.db import connection

from finetune_switch.models import Exchange, Outcome
from tests.servers.asking import asked
from tests.servers.conftest import ON_POSTGRESQL
from tests.servers.processes import Server, standin_process
from tests.servers.reading import request_bytes

MAX_CONNECTIONS = 30
MAX_SECONDS = 60
OPEN_FILES = 8192
# Django looks up who is signed in on a thread and a connection for each request, all of them at
# once where all of them ask at once. It is the site's pool that has these wait for each other.
POOL = {"TEST_DATABASE_POOL": json.dumps({"max_size": 20, "timeout": 30})} if ON_POSTGRESQL else {}
# Readers, protocol, whether they are signed in, more of the server's environment, and how many
# words the model writes in a second: it has six, and everybody is to be there at once.
CROWDS = {
    "visitors": (500 if ON_POSTGRESQL else 100, "ollama", False, {}, 0.4),
    "people who are signed in": (200 if ON_POSTGRESQL else 50, "openai", True, POOL, 0.6),
}


@dataclass
class Crowd:
    """What the readers saw. ``present`` are those who have heard something and wait for more."""

    present: int = 0
    most_present: int = 0
    received: list[bytes] = field(default_factory=list)
    seconds: float = 0.0

    async def ask(self, port: int, requests: list[bytes]) -> None:
        started = time.monotonic()
        async with asyncio.timeout(2 * MAX_SECONDS):
            await asyncio.gather(*(self._read(port, request) for request in requests))
        self.seconds = time.monotonic() - started

    async def _read(self, port: int, request: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        received = await reader.readuntil(b"event: text")
        self.present += 1
        self.most_present = max(self.most_present, self.present)
        received += await reader.read(-1)
        self.present -= 1
        writer.close()
        self.received.append(received)


@pytest.fixture
def many_open_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def slow_model(many_open_files, server_folder, who) -> Iterator[str]:
    """The address of a model server that takes its time, and takes nobody else's."""
    pace = ("--tokens-per-second", str(CROWDS[who][-1]), "--first-token-seconds", "0.2")
    with standin_process(server_folder, *pace) as url:
        yield url


@pytest.mark.parametrize("who", CROWDS)
def test_crowd_is_answered_and_holds_no_connections(
    slow_model, start_server, make_backend, editor, who, capsys
):
    readers, protocol, signed_in, more, _pace = CROWDS[who]
    server = start_server(
        "uvicorn", TEST_OPENAI_BASE=f"{slow_model}/v1", TEST_OLLAMA_BASE=slow_model, **more
    )
    switch_to(make_backend(protocol, "test-model"))
    bodies = [asked() for _ in range(readers)]
    requests = [request_bytes(body, editor if signed_in else None, last=True) for body in bodies]
    crowd = Crowd()

    with ThreadPoolExecutor(1) as thread:
        answering = thread.submit(asyncio.run, crowd.ask(server.port, requests))
        connections, megabytes = watch(server, answering)
        answering.result()
    server.stop()

    with capsys.disabled():
        print(
            f"\n{readers} streams at once ({who}): {crowd.seconds:.1f} s, at most "
            f"{crowd.most_present} under way, {connections} connections, {megabytes:.0f} MB"
        )
    assert len(crowd.received) == readers
    assert all(b"HTTP/1.1 200 OK" in received for received in crowd.received)
    assert all(received.count(b"event: done\n") == 1 for received in crowd.received)
    assert not any(b"event: failed" in received for received in crowd.received)
    assert crowd.most_present > 0.9 * readers
    assert connections < MAX_CONNECTIONS
    assert crowd.seconds < MAX_SECONDS
    ids = [body["exchange_id"] for body in bodies]
    complete = Exchange.objects.filter(pk__in=ids, outcome=Outcome.COMPLETE)
    assert complete.count() == readers


def switch_to(backend) -> None:
    from wagtail.models import Site

    from finetune_switch.models import Switch

    switch, _created = Switch.objects.get_or_create(site=Site.objects.get(is_default_site=True))
    switch.activate(backend, expected=switch.active_id)


def watch(server: Server, running: Future) -> tuple[int, float]:
    """The most connections, and the most memory in MB, that the server had until it was over."""
    process, connections, memory = psutil.Process(server.process.pid), [0], [0]
    while not running.done():
        memory.append(process.memory_info().rss)
        if ON_POSTGRESQL:
            connections.append(_count_connections(server.name))
        time.sleep(0.05)
    return max(connections), max(memory) / 1e6


def _count_connections(name: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", [name])
        return cursor.fetchone()[0]
