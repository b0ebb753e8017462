"""Real server processes of the demo site, started and stopped."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent.parent
SETTINGS = "tests.site_settings"
START_SECONDS = 30
STOP_SECONDS = 5
PR_SET_PDEATHSIG = 1
THREADS = 24
"""Of the one gunicorn worker: how many requests it answers at once."""

COMMANDS = {
    "gunicorn": (
        f"-m gunicorn demo_site.wsgi:application --worker-class gthread --threads {THREADS} "
        "--graceful-timeout 1 --no-control-socket --bind 127.0.0.1:{port}"
    ),
    "runserver": "manage.py runserver 127.0.0.1:{port} --noreload",
    "uvicorn": (
        "-m uvicorn demo_site.asgi:application --port {port} --lifespan off --backlog 2048 "
        "--no-access-log --timeout-graceful-shutdown 1"
    ),
}
"""How each kind of server is started: two of WSGI, one of ASGI."""
RELAY = "-m uvicorn benchmarks.relays:application --port {port} --lifespan off --no-access-log"
"""What the benchmarks compare with."""

TLS = httpx.create_ssl_context()
"""For httpx, which otherwise reads all certificates for each request."""

_numbers = itertools.count(1)


@dataclass
class Server:
    """A server process. ``name`` is what PostgreSQL calls its connections."""

    kind: str
    port: int
    name: str
    process: subprocess.Popen[bytes]
    log: Path
    environment: Mapping[str, str] = field(repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def health(self) -> dict:
        answer = httpx.get(f"{self.url}/test/health/", timeout=5, verify=TLS)
        return answer.raise_for_status().json()

    def wait_until_healthy(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(httpx.HTTPError):
                self.health()
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self.name} did not start:\n{self.log.read_text()}")
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL to the server and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_SECONDS)
        self.kill()


def start(kind: str, environment: Mapping[str, str], folder: Path) -> Server:
    """Start a server and return at once; :meth:`Server.wait_until_healthy` waits for it."""
    port, name = free_port(), f"{kind}-{next(_numbers)}"
    log = folder / f"{name}.log"
    everything = {
        **site_environment(environment),
        "PGAPPNAME": name,
        # A crash of the interpreter itself leaves its threads in the log.
        "PYTHONFAULTHANDLER": "1",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *{**COMMANDS, "relay": RELAY}[kind].format(port=port).split()],
            cwd=ROOT,
            env=everything,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    return Server(kind, port, name, process, log, environment)


def site_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment in which a process is the tests' site."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": SETTINGS,
        "PYTHONUNBUFFERED": "1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        **environment,
    }


def database_url(name: str) -> str:
    """``DATABASE_URL`` of another database beside the one of this process's environment."""
    given = os.environ.get("DATABASE_URL", "")
    if not given.startswith("postgres"):
        return f"sqlite:///{name}"
    base, _, query = given.partition("?")
    return f"{base.rpartition('/')[0]}/{name}{'?' if query else ''}{query}"


def start_command(environment: Mapping[str, str], *arguments: str) -> subprocess.Popen[str]:
    """Start a management command and return at once."""
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=site_environment(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent,
    )


def manage(environment: Mapping[str, str], *arguments: str) -> str:
    """What a management command printed; an ``AssertionError`` with its words where it failed."""
    finished = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=site_environment(environment),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 0, f"{arguments}:\n{finished.stdout}{finished.stderr}"
    return finished.stdout


@contextlib.contextmanager
def standin_process(folder: Path, *arguments: str) -> Iterator[str]:
    """The stand-in in a process of its own, where its work does not slow the test; its URL."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "demo_site.standin", "--port", str(port), *arguments],
        cwd=ROOT,
        stdout=(folder / "standin.log").open("wb"),
        stderr=subprocess.STDOUT,
        preexec_fn=die_with_parent,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: answers(url), seconds=START_SECONDS)
        yield url
    finally:
        process.terminate()
        process.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=1, verify=TLS).is_success
    except httpx.HTTPError:
        return False


def wait_for(condition, *, seconds: float):
    """What the condition gives as soon as it is true; ``TimeoutError`` where it never is."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so within {seconds:g} s")
        time.sleep(0.02)
    return result


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def die_with_parent() -> None:
    """In a new process: be killed when the tests are, so that no server is left behind."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
