"""Plays a script over HTTP. What each protocol writes is left to its :class:`Wire`."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from aiohttp import web

from .behaviours import Messages, Model
from .prompts import content
from .script import Break, Finish, Noise, Page, Refuse, Say, Script, Step, Wait, count

# What is written before a reset has to reach the client before the reset does.
SETTLE = 0.03


@dataclass
class Answering:
    """One answer under way: who gives it, what it counts, and whether it has ended."""

    model: Model
    asked_name: str
    messages: Messages
    stream: bool
    tokens_per_second: float = 0
    first_token_seconds: float = 0
    max_tokens: int | None = None
    started: float = field(default_factory=time.monotonic)
    first_token: float | None = None
    text: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    due: float | None = None
    """When the next token is to be said. A token that was late makes none after it late."""
    ended: bool = False
    """Set before the last bytes are written: whoever leaves after that has had it all."""

    @property
    def prompt_tokens(self) -> int:
        return sum(count(content(message)) + 1 for message in self.messages)

    @property
    def completion_tokens(self) -> int:
        return len(self.text) + len(self.thoughts)

    async def steps(self, script: Script) -> AsyncIterator[Step]:
        """The script at the pace asked for, cut off where the client's limit of tokens is."""
        first = True
        for step in script:
            if isinstance(step, Say):
                if first:
                    await _pause(self.first_token_seconds)
                elif self.tokens_per_second:
                    await self._keep_pace()
                if self.max_tokens is not None and self.completion_tokens >= self.max_tokens:
                    yield Finish("length")
                    return
                first = False
                self.first_token = self.first_token or time.monotonic()
                (self.thoughts if step.thought else self.text).append(step.text)
                yield step
            elif isinstance(step, Wait):
                await _pause(step.seconds)
                self.due = None
            else:
                yield step

    async def _keep_pace(self) -> None:
        now = time.monotonic()
        self.due = (self.due or now) + 1 / self.tokens_per_second
        await _pause(self.due - now)


class Wire:
    """How one protocol puts an answer into bytes."""

    stream_type = "application/octet-stream"
    headers: dict[str, str] = {}

    def __init__(self, answering: Answering) -> None:
        self.answering = answering

    def opening(self) -> bytes:
        """What comes before the first piece."""
        return b""

    def piece(self, step: Say) -> bytes:
        raise NotImplementedError

    def noise(self, kind: str) -> bytes:
        raise NotImplementedError

    def failure(self) -> bytes:
        """An error in the middle of a stream."""
        raise NotImplementedError

    def finish(self, reason: str) -> bytes:
        raise NotImplementedError

    def whole(self, reason: str | None) -> bytes:
        """A whole answer at once; ``None`` is for one whose end never came."""
        raise NotImplementedError

    def refusal(self, name: str) -> web.Response:
        raise NotImplementedError

    def whole_response(self, body: bytes) -> web.Response:
        return web.Response(
            body=body, headers={"Content-Type": "application/json; charset=utf-8", **self.headers}
        )


async def play(request: web.Request, wire: Wire, script: Script) -> web.StreamResponse:
    """The answer to one request, streamed or whole."""
    if wire.answering.stream:
        return await _play_stream(request, wire, script)
    return await _play_whole(request, wire, script)


async def _play_stream(request: web.Request, wire: Wire, script: Script) -> web.StreamResponse:
    answering = wire.answering
    response = web.StreamResponse(headers={"Content-Type": wire.stream_type, **wire.headers})

    async def write(data: bytes) -> None:
        if not response.prepared:
            await response.prepare(request)
            data = wire.opening() + data
        if data:
            await response.write(data)

    async for step in answering.steps(script):
        match step:
            case Refuse(name):
                answering.ended = True
                return wire.refusal(name)
            case Page(body, content_type):
                answering.ended = True
                return _page(body, content_type or wire.stream_type)
            case Say():
                await write(wire.piece(step))
            case Noise(kind):
                await write(wire.noise(kind))
            case Break("error"):
                answering.ended = True
                await write(wire.failure())
                break
            case Break("end"):
                answering.ended = True
                break
            case Break(how):
                await _hang_up(request, answering, how)
                break
            case Finish(reason):
                answering.ended = True
                await write(wire.finish(reason))
                break
    return response


async def _play_whole(request: web.Request, wire: Wire, script: Script) -> web.StreamResponse:
    answering = wire.answering
    malformed = False
    async for step in answering.steps(script):
        match step:
            case Refuse(name):
                answering.ended = True
                return wire.refusal(name)
            case Page(body, content_type):
                answering.ended = True
                return _page(body, content_type or "application/json; charset=utf-8")
            case Noise("bad-line"):
                malformed = True
            case Break("error"):
                answering.ended = True
                return wire.refusal("runner-died")
            case Break("end"):
                answering.ended = True
                return wire.whole_response(wire.whole(None))
            case Break(how):
                return await _half(request, wire, how)
            case Finish(reason):
                answering.ended = True
                whole = wire.whole(reason)
                return wire.whole_response(whole[: len(whole) // 2] if malformed else whole)
    return wire.whole_response(wire.whole(None))


async def _half(request: web.Request, wire: Wire, how: str) -> web.StreamResponse:
    """Half of a whole answer whose length was announced, and then no more."""
    body = wire.whole("stop")
    response = web.StreamResponse(headers={"Content-Type": "application/json; charset=utf-8"})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    await _hang_up(request, wire.answering, how)
    return response


async def _hang_up(request: web.Request, answering: Answering, how: str) -> None:
    """End the connection from this side: ``reset`` with a RST, ``close`` with a FIN."""
    answering.ended = True
    await asyncio.sleep(SETTLE)
    transport = request.transport
    if transport is None:
        return
    if how == "reset":
        connection = transport.get_extra_info("socket")
        # No lingering makes the kernel reset the connection rather than finish it.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()


def _page(body: str, content_type: str) -> web.Response:
    return web.Response(body=body.encode(), headers={"Content-Type": content_type})


async def _pause(seconds: float | None) -> None:
    if seconds is None:
        await asyncio.Event().wait()
    elif seconds > 0:
        await asyncio.sleep(seconds)
