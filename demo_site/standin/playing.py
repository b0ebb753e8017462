"""Plays a script over HTTP. Each protocol has its own :class:`Wire` format."""

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

# Data written before a reset has to reach the client first.
RESET_DELAY_SECONDS = 0.03


@dataclass
class ActiveAnswer:
    """The state of an answer in progress.

    ``due`` is the time of the next token, so that a delayed token does not delay later ones.
    ``ended`` is set before the last bytes are written: a client that leaves after that has received
    the whole answer. Times are monotonic.
    """

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
    ended: bool = False

    @property
    def prompt_tokens(self) -> int:
        return sum(count(content(message)) + 1 for message in self.messages)

    @property
    def completion_tokens(self) -> int:
        return len(self.text) + len(self.thoughts)

    async def steps(self, script: Script) -> AsyncIterator[Step]:
        """The script at the configured pace, cut off at ``max_tokens``."""
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
    """Serialises an answer for a protocol."""

    stream_type = "application/octet-stream"
    headers: dict[str, str] = {}

    def __init__(self, active_answer: ActiveAnswer) -> None:
        self.active_answer = active_answer

    def opening(self) -> bytes:
        """Sent before the first piece."""
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
        """An answer that is not streamed. Without a ``reason`` it has no regular end."""
        raise NotImplementedError

    def refusal(self, name: str) -> web.Response:
        raise NotImplementedError

    def whole_response(self, body: bytes) -> web.Response:
        return web.Response(
            body=body, headers={"Content-Type": "application/json; charset=utf-8", **self.headers}
        )


async def play(request: web.Request, wire: Wire, script: Script) -> web.StreamResponse:
    if wire.active_answer.stream:
        return await _play_stream(request, wire, script)
    return await _play_whole(request, wire, script)


async def _play_stream(request: web.Request, wire: Wire, script: Script) -> web.StreamResponse:
    active_answer = wire.active_answer
    response = web.StreamResponse(headers={"Content-Type": wire.stream_type, **wire.headers})

    async def write(data: bytes) -> None:
        if not response.prepared:
            await response.prepare(request)
            data = wire.opening() + data
        if data:
            await response.write(data)

    async for step in active_answer.steps(script):
        match step:
            case Refuse(name):
                active_answer.ended = True
                return wire.refusal(name)
            case Page(body, content_type):
                active_answer.ended = True
                return _page(body, content_type or wire.stream_type)
            case Say():
                await write(wire.piece(step))
            case Noise(kind):
                await write(wire.noise(kind))
            case Break("error"):
                active_answer.ended = True
                await write(wire.failure())
                break
            case Break("end"):
                active_answer.ended = True
                break
            case Break(how):
                await _break_connection(request, active_answer, how)
                break
            case Finish(reason):
                active_answer.ended = True
                await write(wire.finish(reason))
                break
    return response


async def _play_whole(request: web.Request, wire: Wire, script: Script) -> web.StreamResponse:
    active_answer = wire.active_answer
    malformed = False
    async for step in active_answer.steps(script):
        match step:
            case Refuse(name):
                active_answer.ended = True
                return wire.refusal(name)
            case Page(body, content_type):
                active_answer.ended = True
                return _page(body, content_type or "application/json; charset=utf-8")
            case Noise("bad-line"):
                malformed = True
            case Break("error"):
                active_answer.ended = True
                return wire.refusal("runner-died")
            case Break("end"):
                active_answer.ended = True
                return wire.whole_response(wire.whole(None))
            case Break(how):
                return await _send_half(request, wire, how)
            case Finish(reason):
                active_answer.ended = True
                whole = wire.whole(reason)
                return wire.whole_response(whole[: len(whole) // 2] if malformed else whole)
    return wire.whole_response(wire.whole(None))


async def _send_half(request: web.Request, wire: Wire, how: str) -> web.StreamResponse:
    """Send half of the announced body, then break the connection."""
    body = wire.whole("stop")
    response = web.StreamResponse(headers={"Content-Type": "application/json; charset=utf-8"})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    await _break_connection(request, wire.active_answer, how)
    return response


async def _break_connection(request: web.Request, active_answer: ActiveAnswer, how: str) -> None:
    """Close the connection with a RST (``reset``) or a FIN (``close``)."""
    active_answer.ended = True
    await asyncio.sleep(RESET_DELAY_SECONDS)
    transport = request.transport
    if transport is None:
        return
    if how == "reset":
        connection = transport.get_extra_info("socket")
        # With a linger time of 0 the kernel sends a RST.
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
