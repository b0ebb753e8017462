"""The server, which runs an event loop in a thread and records all requests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypeVar

from aiohttp import web

from .behaviours import Messages, Model, builtin_models
from .ollama_api import OllamaAPI
from .openai_api import OpenAIAPI
from .openai_errors import error
from .playing import ActiveAnswer
from .script import Script

T = TypeVar("T")
Flavour = Literal["both", "openai", "ollama"]

SERVER_HEADER = "finetune-switch-standin"
BACKLOG = 2048
MAX_BODY = 64 * 1024 * 1024
START_SECONDS = 10.0


@dataclass(frozen=True)
class RecordedRequest:
    """A received request. Header names are in lower case. ``time`` is monotonic."""

    method: str
    path: str
    headers: dict[str, str]
    json: Any
    time: float
    body: bytes = field(default=b"", repr=False)

    @property
    def model(self) -> str:
        return str(self.json.get("model", "")) if isinstance(self.json, dict) else ""


@dataclass(frozen=True)
class Disconnect:
    """A client that left before the end of its answer.

    ``time`` is when this was noticed (monotonic), and ``tokens`` the number of tokens written.
    """

    path: str
    model: str
    time: float
    tokens: int


class StandIn:
    """A stand-in for OpenAI and Ollama on one port of the loopback interface.

    ::

        with StandIn(flavour="ollama") as server:
            ask(server.url)
            server.wait_for(lambda: server.disconnects, timeout=1)

    ``flavour="openai"`` has no Ollama paths, ``"ollama"`` has Ollama's version of ``/v1``, and
    ``"both"`` has OpenAI's ``/v1`` and Ollama's ``/api``. A ``tokens_per_second`` of 0 means no
    delay. The port and the recorded requests survive ``stop()`` and ``start()``.
    """

    def __init__(
        self,
        flavour: Flavour = "both",
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tokens_per_second: float = 0,
        first_token_seconds: float = 0,
        list_test_model: bool = True,
    ) -> None:
        if flavour not in ("both", "openai", "ollama"):
            raise ValueError(f"no such flavour: {flavour!r}")
        self.flavour = flavour
        self.host = host
        self.port = port
        self.tokens_per_second = tokens_per_second
        self.first_token_seconds = first_token_seconds
        self.requests: list[RecordedRequest] = []
        self.disconnects: list[Disconnect] = []
        # Answers in progress, including those that have not sent anything yet.
        self.active_streams = 0
        self._models = {_key(model.name): model for model in builtin_models()}
        if not list_test_model:
            self.add_model("test-model", listed=False)
        self._request_counts: Counter[str] = Counter()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._stopping = False

    # Lifecycle

    def start(self) -> Self:
        """Start the server. It is listening when this returns."""
        if self._thread is not None:
            raise RuntimeError("the stand-in is already running")
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self.host, self.port))
        except OSError:
            listener.close()
            raise
        self.port = listener.getsockname()[1]
        ready = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(listener, ready)), name="stand-in", daemon=True
        )
        self._thread.start()
        if not ready.wait(START_SECONDS):
            raise RuntimeError("the stand-in did not start")
        return self

    def stop(self) -> None:
        """Stop listening, and close open connections."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._stopping = True
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        thread.join(START_SECONDS)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    async def _serve(self, listener: socket.socket, ready: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        runner = web.AppRunner(
            self._application(),
            access_log=None,
            # Notices disconnects immediately, even while nothing is sent.
            handler_cancellation=True,
            shutdown_timeout=0.05,
        )
        await runner.setup()
        site = web.SockSite(runner, listener, backlog=BACKLOG)
        await site.start()
        ready.set()
        try:
            await self._stop.wait()
        finally:
            await runner.cleanup()
            listener.close()

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[self._record], client_max_size=MAX_BODY)
        app.on_response_prepare.append(_sign)
        app.router.add_routes(OpenAIAPI(self, as_ollama=self.flavour == "ollama").routes())
        if self.flavour != "openai":
            app.router.add_routes(OllamaAPI(self).routes())
        return app

    # Addresses

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def openai_url(self) -> str:
        """The base URL for OpenAI clients."""
        return f"{self.url}/v1"

    # Models

    def add_model(self, name: str, **behaviour: Any) -> Model:
        """Add or replace a model. ``behaviour`` sets fields of :class:`~.behaviours.Model`.

        ::

            server.add_model("fault-stall", fault="stall", seconds=0.5)
            server.add_model("poet", answer=lambda messages: "…", tokens_per_second=50)
        """
        model = Model(name, **behaviour)
        self._models[_key(name)] = model
        return model

    def remove_model(self, name: str) -> None:
        del self._models[_key(name)]

    def find(self, name: Any) -> Model | None:
        """The model with this name. Ignores case and the tag ``latest``."""
        return self._models.get(_key(name)) if isinstance(name, str) else None

    def listed(self, protocol: str) -> list[Model]:
        return [
            model
            for model in self._models.values()
            if model.listed and model.protocol in (protocol, "both")
        ]

    # Recorded requests

    def clear(self) -> None:
        """Clear requests and disconnects, and reset faults that occur once."""
        self.requests.clear()
        self.disconnects.clear()
        self._request_counts.clear()

    def wait_for(self, predicate: Callable[[], T], timeout: float = 2.0) -> T:
        """Wait for a true result of the predicate and return it, or raise ``TimeoutError``."""
        deadline = time.monotonic() + timeout
        while not (result := predicate()):
            if time.monotonic() >= deadline:
                raise TimeoutError(f"not so within {timeout:g} s")
            time.sleep(0.005)
        return result

    async def await_for(self, predicate: Callable[[], T], timeout: float = 2.0) -> T:  # noqa: ASYNC109
        """Like :meth:`wait_for`, without blocking the event loop."""
        return await asyncio.to_thread(self.wait_for, predicate, timeout)

    # Used by the protocols

    def start_answer(
        self,
        model: Model,
        *,
        asked_name: str,
        messages: Messages,
        stream: bool,
        max_tokens: int | None,
    ) -> ActiveAnswer:
        pace, first = model.tokens_per_second, model.first_token_seconds
        return ActiveAnswer(
            model,
            asked_name,
            messages,
            stream,
            tokens_per_second=self.tokens_per_second if pace is None else pace,
            first_token_seconds=self.first_token_seconds if first is None else first,
            max_tokens=max_tokens,
        )

    @contextlib.asynccontextmanager
    async def record_answer(
        self, request: web.Request, active_answer: ActiveAnswer
    ) -> AsyncIterator[Script]:
        """Yield the script of an answer, and record it while it is played."""
        model = active_answer.model
        self._request_counts[model.name] += 1
        if model.once and self._request_counts[model.name] > 1:
            model = model.without_fault()
        self.active_streams += 1
        try:
            yield model.script(active_answer.messages)
        except (asyncio.CancelledError, ConnectionError):
            if not active_answer.ended and not self._stopping:
                self.disconnects.append(
                    Disconnect(
                        request.path,
                        active_answer.asked_name,
                        time.monotonic(),
                        active_answer.completion_tokens,
                    )
                )
            raise
        finally:
            self.active_streams -= 1

    @web.middleware
    async def _record(self, request: web.Request, handler: Any) -> web.StreamResponse:
        now = time.monotonic()
        body = await request.read()
        try:
            parsed = json.loads(body) if body else None
        except ValueError:
            parsed = None
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append(
            RecordedRequest(request.method, request.path, headers, parsed, now, body)
        )
        try:
            return await handler(request)
        except web.HTTPNotFound:
            if self.flavour != "ollama" and request.path.startswith("/v1"):
                return error(404, f"Invalid URL ({request.method} {request.path})")
            return web.Response(status=404, text="404 page not found")
        except web.HTTPMethodNotAllowed as problem:
            return web.Response(
                status=405,
                text="405 method not allowed",
                headers={"Allow": problem.headers["Allow"]},
            )


async def _sign(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = SERVER_HEADER


def _key(name: str) -> str:
    return name.lower().removesuffix(":latest")
