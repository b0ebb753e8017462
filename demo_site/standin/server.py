"""The server: one port, a thread with its own event loop, and a record of what was asked."""

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
from .playing import Answering
from .script import Script

T = TypeVar("T")
Flavour = Literal["both", "openai", "ollama"]

SERVER_HEADER = "finetune-switch-standin"
BACKLOG = 2048
MAX_BODY = 64 * 1024 * 1024
START_SECONDS = 10.0


@dataclass(frozen=True)
class RecordedRequest:
    """One request as it came in. Header names are lower case; ``time`` is monotonic."""

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
    """A client that left before its answer had ended; ``time`` (monotonic) is when we noticed."""

    path: str
    model: str
    time: float
    tokens: int
    """How many tokens had been written."""


class StandIn:
    """A stand-in for OpenAI and Ollama on one port of the loopback interface.

    ::

        with StandIn(flavour="ollama") as server:
            ask(server.url)
            server.wait_for(lambda: server.disconnects, timeout=1)

    ``flavour="openai"`` takes Ollama's paths away, ``"ollama"`` makes ``/v1`` Ollama's own
    imitation; ``"both"`` is OpenAI's ``/v1`` beside Ollama's ``/api``. A ``tokens_per_second`` of 0
    means no delay. ``stop()`` and ``start()`` again keep the port and the record.
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
        self.active_streams = 0
        """Answers under way, before their first byte and in their silences too."""
        self._models = {_key(model.name): model for model in builtin_models()}
        if not list_test_model:
            self.add_model("test-model", listed=False)
        self._asked: Counter[str] = Counter()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._stopping = False

    # Life

    def start(self) -> Self:
        """Listen. The port is taken when this returns."""
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
        """Refuse connections from now on and cut those that are open."""
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
            # A client that leaves is noticed at once, in the middle of a silence too.
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
        """What an OpenAI client calls its base URL."""
        return f"{self.url}/v1"

    # Models

    def add_model(self, name: str, **behaviour: Any) -> Model:
        """Add or replace a model. ``behaviour`` is the fields of :class:`~.behaviours.Model`.

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
        """The model of this name; the tag ``latest`` may be left out, and case does not matter."""
        return self._models.get(_key(name)) if isinstance(name, str) else None

    def listed(self, protocol: str) -> list[Model]:
        return [
            model
            for model in self._models.values()
            if model.listed and model.protocol in (protocol, "both")
        ]

    # What happened

    def clear(self) -> None:
        """Forget requests, disconnects and which faults have struck once."""
        self.requests.clear()
        self.disconnects.clear()
        self._asked.clear()

    def wait_for(self, predicate: Callable[[], T], timeout: float = 2.0) -> T:
        """Wait until the predicate is true and return what it gave, or raise ``TimeoutError``."""
        deadline = time.monotonic() + timeout
        while not (result := predicate()):
            if time.monotonic() >= deadline:
                raise TimeoutError(f"not so within {timeout:g} s")
            time.sleep(0.005)
        return result

    async def await_for(self, predicate: Callable[[], T], timeout: float = 2.0) -> T:  # noqa: ASYNC109
        """The same without holding up an event loop."""
        return await asyncio.to_thread(self.wait_for, predicate, timeout)

    # For the protocols

    def answering(
        self,
        model: Model,
        *,
        asked_name: str,
        messages: Messages,
        stream: bool,
        max_tokens: int | None,
    ) -> Answering:
        pace, first = model.tokens_per_second, model.first_token_seconds
        return Answering(
            model,
            asked_name,
            messages,
            stream,
            tokens_per_second=self.tokens_per_second if pace is None else pace,
            first_token_seconds=self.first_token_seconds if first is None else first,
            max_tokens=max_tokens,
        )

    @contextlib.asynccontextmanager
    async def attending(self, request: web.Request, answering: Answering) -> AsyncIterator[Script]:
        """The script of an answer; keeps the record while it is played."""
        model = answering.model
        self._asked[model.name] += 1
        if model.once and self._asked[model.name] > 1:
            model = model.healthy()
        self.active_streams += 1
        try:
            yield model.script(answering.messages)
        except (asyncio.CancelledError, ConnectionError):
            if not answering.ended and not self._stopping:
                self.disconnects.append(
                    Disconnect(
                        request.path,
                        answering.asked_name,
                        time.monotonic(),
                        answering.completion_tokens,
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
