"""Many streams read at once: how long each reader waits for the first word, and then for the next.

The same client reads the plugin's streams and those of a model server, so that what it takes itself
is in both.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

READ_SECONDS = 120


@dataclass(frozen=True)
class Wire:
    """How a server writes a stream: what stands between two messages, what text one of them holds,
    and whether it is the last one."""

    between: bytes
    text: Callable[[bytes], str]
    is_end: Callable[[bytes], bool]


@dataclass(frozen=True)
class Request:
    """A question; ``then`` is fetched once it is answered, as the plugin's page does."""

    url: str
    wire: Wire
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    then: str = ""


@dataclass
class Heard:
    """Seconds since the beginning at which each piece of text came, and what was wrong."""

    times: list[float] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    fault: str = ""
    has_ended: bool = False

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def gaps(self) -> list[float]:
        return [later - earlier for earlier, later in itertools.pairwise(self.times)]


def listen(requests: Sequence[Request]) -> list[Heard]:
    """Send all of them at once, and read every stream to its end."""
    return asyncio.run(_listen(requests))


async def _listen(requests: Sequence[Request]) -> list[Heard]:
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=READ_SECONDS),
    ) as session:
        return await asyncio.gather(*(_listen_to(session, request) for request in requests))


async def _listen_to(session: aiohttp.ClientSession, request: Request) -> Heard:
    heard = Heard()
    try:
        await _read(session, request, heard)
        if not (heard.has_ended and heard.pieces):
            raise RuntimeError(f"there was no end after {heard.text!r}")
        if request.then:
            async with session.get(
                request.then, headers=request.headers, allow_redirects=False
            ) as shown:
                await shown.read()
                _insist_on_success(shown)
    except (aiohttp.ClientError, TimeoutError, RuntimeError) as error:
        heard.fault = f"{request.url}: {error!r}"
    return heard


async def _read(session: aiohttp.ClientSession, request: Request, heard: Heard) -> None:
    wire, rest = request.wire, b""
    started = time.perf_counter()
    async with session.post(
        request.url, json=request.body, headers=request.headers, allow_redirects=False
    ) as response:
        _insist_on_success(response)
        async for chunk in response.content.iter_any():
            now = time.perf_counter() - started
            *blocks, rest = (rest + chunk).split(wire.between)
            for block in blocks:
                if text := wire.text(block):
                    heard.times.append(now)
                    heard.pieces.append(text)
                heard.has_ended = heard.has_ended or wire.is_end(block)


def _insist_on_success(response: aiohttp.ClientResponse) -> None:
    # Whoever may not see a page of the admin is led to another one.
    if response.status != 200:
        raise RuntimeError(f"status {response.status}")


def percentile_95(seconds: Sequence[float]) -> float:
    """In milliseconds."""
    return statistics.quantiles(seconds, n=20)[-1] * 1000


def _data(block: bytes) -> Any:
    """What the ``data:`` line of a server-sent event holds as JSON, if it has one."""
    _before, found, data = block.partition(b"data: ")
    return json.loads(data) if found and data != b"[DONE]" else {}


def _openai_text(block: bytes) -> str:
    choices = _data(block).get("choices") or [{"delta": {}}]
    return choices[0]["delta"].get("content") or ""


def _ollama(block: bytes) -> Any:
    return json.loads(block) if block else {}


PLUGIN = Wire(
    b"\n\n",
    lambda block: _data(block)["text"] if block.startswith(b"event: text\n") else "",
    lambda block: block.startswith(b"event: done\n"),
)
OPENAI = Wire(b"\n\n", _openai_text, lambda block: block == b"data: [DONE]")
OLLAMA = Wire(
    b"\n",
    lambda block: _ollama(block).get("message", {}).get("content", ""),
    lambda block: bool(_ollama(block).get("done")),
)
