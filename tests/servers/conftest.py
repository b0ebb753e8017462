"""Real processes: WSGI and ASGI servers of the demo site, on one database, asking one stand-in.

The database is one of its own, set up once as ``make demo`` does; ``DATABASE_URL`` says on which
engine. While a test of this folder runs, this process's ``default`` connection leads there too.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connections
from wagtail.models import Site

from demo_site.standin import StandIn
from finetune_switch.models import ChatBackend, Switch
from tests.postgres import copied_database

from . import processes
from .asking import LONG_ANSWER, asked
from .comparing import Comparer
from .processes import Server
from .reading import read_stream, sign_in

# Which `run_demo` has set up.
DEMO_BACKEND = "fine-tune"
EDITOR = ("editor", "demo")
ON_POSTGRESQL = settings.DATABASES["default"]["ENGINE"].endswith("postgresql")

_running: list[Server] = []
_log_ends: dict[str, int] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.servers)
        if item.path.is_relative_to(here / "timed"):
            item.add_marker(pytest.mark.timed)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """Show what the servers said during a test that failed."""
    report = yield
    if call.when == "setup":
        _log_ends.update({server.name: server.log.stat().st_size for server in _running})
    if report.failed:
        for server in _running:
            said = server.log.read_bytes()[_log_ends.get(server.name, 0) :].decode(errors="replace")
            ended = server.process.poll()
            if said or ended is not None:
                title = f"Log of {server.name}" + (
                    f" (ended: {ended})" if ended is not None else ""
                )
                report.sections.append((title, said[-6000:]))
    return report


@pytest.fixture(scope="session")
def server_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("servers")


@pytest.fixture(scope="session")
def database_name(server_folder: Path, django_db_modify_db_settings) -> Iterator[str]:
    """The name of a database that only these tests use, with or without its tables."""
    if not ON_POSTGRESQL:
        yield str(server_folder / "site.sqlite3")
        return
    with copied_database() as url:
        yield urlsplit(url).path.removeprefix("/")


@pytest.fixture(scope="session")
def standin() -> Iterator[StandIn]:
    with StandIn() as server:
        yield server


@pytest.fixture(scope="session")
def environment(database_name: str, standin: StandIn) -> dict[str, str]:
    """What the server processes find in their environment: the database, set up, and models."""
    variables = {
        "DATABASE_URL": processes.database_url(database_name),
        "TEST_OPENAI_BASE": standin.openai_url,
        "TEST_OLLAMA_BASE": standin.url,
    }
    # Only a demo is set up with log-ins that everybody knows.
    processes.manage({**variables, "DEBUG": "1"}, "run_demo", "--setup-only")
    return variables


@pytest.fixture(autouse=True)
def site_database(database_name: str, environment, django_db_blocker) -> Iterator[None]:
    """Lead this thread's ``default`` connection to the servers' database."""
    ordinary = connections["default"]
    theirs = type(ordinary)({**ordinary.settings_dict, "NAME": database_name}, "default")
    connections["default"] = theirs
    try:
        with django_db_blocker.unblock():
            yield
    finally:
        theirs.close()
        connections["default"] = ordinary


@pytest.fixture(scope="session")
def start_server(environment, server_folder: Path) -> Iterator[Callable[..., Server]]:
    """Starts a server of a kind, with more in its environment where that is given."""

    def start(kind: str, *, wait: bool = True, **more: str) -> Server:
        server = processes.start(kind, {**environment, **more}, server_folder)
        _running.append(server)
        if wait:
            server.wait_until_healthy()
        return server

    yield start
    while _running:
        _running.pop().kill()


class SharedServers(dict[str, Server]):
    """One server of each kind, for every test that does no harm to it: started when it is asked."""

    def __init__(self, start_server: Callable[..., Server]) -> None:
        self._start = start_server

    def __missing__(self, kind: str) -> Server:
        self[kind] = server = self._start(kind)
        warm_up(server)
        return server


@pytest.fixture(scope="session")
def shared_servers(start_server) -> SharedServers:
    return SharedServers(start_server)


def warm_up(server: Server) -> None:
    """Ask it once: at its first question a process imports litellm, which takes a while."""
    server.wait_until_healthy()
    read_stream(server.url, asked(DEMO_BACKEND))


@pytest.fixture(params=["gunicorn", "uvicorn"])
def server(request: pytest.FixtureRequest, shared_servers: SharedServers) -> Server:
    """A WSGI server and an ASGI server in turn. Django's own is asked where all are compared."""
    return shared_servers[request.param]


@pytest.fixture
def wsgi(shared_servers: SharedServers) -> Server:
    return shared_servers["gunicorn"]


@pytest.fixture
def asgi(shared_servers: SharedServers) -> Server:
    return shared_servers["uvicorn"]


@pytest.fixture(scope="session")
def editor(shared_servers: SharedServers) -> dict[str, str]:
    """The cookies of somebody who is signed in, on every server."""
    return sign_in(shared_servers["gunicorn"].url, *EDITOR)


@pytest.fixture(scope="session")
def lead(shared_servers) -> dict[str, str]:
    """The cookies of the content lead, who is no superuser."""
    return sign_in(shared_servers["gunicorn"].url, "lead", "demo")


@pytest.fixture
def comparer(server, lead):
    with Comparer(server, lead) as comparer:
        yield comparer


@pytest.fixture
def pair(make_backend):
    """A hosted model and one of our own, whose answers cost something."""
    return (
        make_backend("openai", behaviour={"answer": LONG_ANSWER}),
        make_backend("ollama", behaviour={"answer": "Nobody knows."}, hourly_price=3600),
    )


@pytest.fixture(scope="session")
def numbers() -> Iterator[int]:
    return itertools.count(1)


@pytest.fixture
def make_backend(site_database, standin: StandIn, numbers) -> Callable[..., ChatBackend]:
    """Adds a backend row, and the model that it names to the stand-in where it behaves somehow."""

    def make(
        connection: str = "openai", model: str = "", *, behaviour: dict | None = None, **values
    ) -> ChatBackend:
        number = next(numbers)
        model = model or f"model-{number}"
        if behaviour is not None:
            standin.add_model(model, **behaviour)
        row = ChatBackend(
            alias=f"test-{number}",
            label=f"Test {number}",
            connection=connection,
            model_name=model,
            **values,
        )
        row.save()
        return row

    return make


@pytest.fixture
def home(site_database) -> Iterator[Site]:
    """The demo's site, whose switch is as it was afterwards."""
    site = Site.objects.get(is_default_site=True)
    before = list(Switch.objects.filter(site=site))
    yield site
    Switch.objects.filter(site=site).delete()
    Switch.objects.bulk_create(before)


@pytest.fixture
def answer_visitors_with(home: Site) -> Callable[[ChatBackend], None]:
    """Switches the demo's site to a backend."""

    def switch_to(backend: ChatBackend) -> None:
        Switch.objects.update_or_create(site=home, defaults={"active": backend})

    return switch_to
