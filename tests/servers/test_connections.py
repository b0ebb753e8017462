"""No stream holds a database connection, whichever way a site keeps its connections."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from django.db import connection

from finetune_switch.models import Exchange

from .asking import LONG_ANSWER, asked
from .conftest import ON_POSTGRESQL, warm_up
from .processes import Server, wait_for
from .reading import LeavingReader, read_stream

pytestmark = pytest.mark.skipif(
    not ON_POSTGRESQL, reason="PostgreSQL only: SQLite has no server that counts connections"
)

POOL_SIZE = 3
WAYS = {
    "persistent": {"TEST_CONN_MAX_AGE": "600"},
    "pool": {
        "TEST_DATABASE_POOL": json.dumps({"min_size": 1, "max_size": POOL_SIZE, "timeout": 10})
    },
}
SILENT_READERS = 12


@pytest.fixture(scope="module")
def servers(start_server, shared_servers) -> dict[tuple[str, str], Server]:
    """A server of each interface for each way to keep connections."""
    kinds = ("gunicorn", "uvicorn")
    servers = {("none kept", kind): shared_servers[kind] for kind in kinds}
    started = {
        (way, kind): start_server(kind, wait=False, **more)
        for way, more in WAYS.items()
        for kind in kinds
    }
    with ThreadPoolExecutor() as threads:
        list(threads.map(warm_up, started.values()))
    return servers | started


@pytest.fixture(params=["gunicorn", "uvicorn"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["none kept", *WAYS])
def server(request: pytest.FixtureRequest, servers, kind) -> Server:
    return servers[request.param, kind]


@pytest.fixture
def silent_readers(server, make_backend, standin, editor) -> Iterator[list[LeavingReader]]:
    """Readers whose model has said two words and then no more. They are signed in, so that the
    view itself has asked the database who they are."""
    standin.clear()
    backend = make_backend(behaviour={"answer": LONG_ANSWER, "fault": "silence"})
    readers = [LeavingReader(server.port, asked(backend), editor) for _ in range(SILENT_READERS)]
    for reader in readers:
        reader.read_until(b"event: text", 2)
    yield readers
    for reader in readers:
        reader.leave()
    wait_for(lambda: standin.active_streams == 0, seconds=3)


def connections_of(server: Server, state: str = "%") -> int:
    """How many connections PostgreSQL says this server has open."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND state LIKE %s",
            [server.name, state],
        )
        return cursor.fetchone()[0]


def test_silent_streams_hold_no_connection(server, kind, request, silent_readers):
    at_most = {"none kept": 0, "persistent": 2, "pool": POOL_SIZE}
    way = request.node.callspec.params["server"]

    wait_for(lambda: connections_of(server) <= at_most[way], seconds=2)

    assert connections_of(server, "idle in transaction%") == 0


def test_site_goes_on_while_streams_are_silent(server, silent_readers, make_backend):
    assert httpx.get(f"{server.url}/", timeout=10).status_code == 200
    stream = read_stream(server.url, asked(make_backend(behaviour={"answer": LONG_ANSWER})))
    assert (stream.text, stream.last.name) == (LONG_ANSWER, "done")


def test_many_questions_one_after_the_other_leave_no_connections(server, make_backend):
    backend = make_backend(behaviour={})
    before = connections_of(server)
    with ThreadPoolExecutor(8) as threads:
        streams = list(threads.map(lambda _: read_stream(server.url, asked(backend)), range(24)))
    assert {stream.last.name for stream in streams} == {"done"}
    assert Exchange.objects.filter(backend=backend, outcome="complete").count() == 24
    # Eight threads asked, and eight threads of ours wrote the answers down.
    assert connections_of(server) <= before + 16
