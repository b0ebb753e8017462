"""Stream the events of an answer as server-sent events, under WSGI and ASGI.

The format is "text/event-stream" of the HTML standard: ``event:`` and ``data:`` lines (JSON), a
blank line after each event, and comments that begin with a colon.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import aclosing
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

from .api import Answer, AsyncAnswer
from .events import Event, WaitingEvent, event_data
from .question import AskedQuestion
from .threads import in_database_thread, release_connections

# Under WSGI, only a failed write shows that the reader left. The first write after that succeeds
# and the second one fails, so two heartbeats have to fit into a second.
WSGI_HEARTBEAT_SECONDS = 0.35
# Under ASGI, the server reports it. The heartbeat keeps proxies from closing idle connections.
ASGI_HEARTBEAT_SECONDS = 15.0
# How often an answer that nobody reads asks whether it is to be finished.
LOOK_SECONDS = 1.0

_COMMENT = b": \n\n"
_END = b""

Show = Callable[[Event], dict[str, Any]]


class AnswerStream(StreamingHttpResponse):
    """A stream that calls ``on_close`` at its end: complete, failed, or left by its reader."""

    on_close: Callable[[], None] | None = None

    def close(self) -> None:
        try:
            if self.on_close is not None:
                self.on_close()
        finally:
            super().close()


def stream_answer(
    request: HttpRequest,
    question: str,
    *,
    show: Show = event_data,
    on_close: Callable[[], None] | None = None,
    finishes: Callable[[], bool] | None = None,
    **options: Any,
) -> AnswerStream:
    """A response that streams the answer to a question.

    ``options`` are fields of :class:`.question.AskedQuestion`, which include those of
    :func:`.api.answer`. ``show`` returns the data of an event for JSON. ``on_close`` is called at
    the end of the stream, however it ended. Raises
    :class:`~finetune_switch.exceptions.InvalidQuestion` before anything is sent.

    If the reader leaves, the model is stopped on its server. With ``finishes``, the answer is
    finished in the background of this process as long as it returns true.
    """
    asked = AskedQuestion(question, **{"request": request, **options})
    if isinstance(request, ASGIRequest):
        content: Any = _aencode(AsyncAnswer(asked), show, finishes)
        _release_connections_of_view()
    else:
        content = _encode(Answer(asked), show, finishes)
    response = AnswerStream(content, content_type="text/event-stream; charset=utf-8")
    response.on_close = on_close
    response["Cache-Control"] = "private, no-store"
    response["X-Accel-Buffering"] = "no"
    return response


def encode_event(event: Event, show: Show = event_data) -> bytes:
    """One event as bytes of the stream."""
    if isinstance(event, WaitingEvent):
        return _COMMENT
    data = json.dumps(show(event), ensure_ascii=False)
    return f"event: {event.name}\ndata: {data}\n\n".encode()


def _encode(
    pending: Answer, show: Show, finishes: Callable[[], bool] | None
) -> Generator[bytes, None, None]:
    yield _COMMENT
    events = pending.iterate(
        heartbeat=WSGI_HEARTBEAT_SECONDS,
        # Nothing else on this thread needs them after the response.
        before_waiting=release_connections,
    )
    is_handed_over = False
    try:
        for event in events:
            yield encode_event(event, show)
    except GeneratorExit:
        if is_handed_over := finishes is not None and finishes():
            threading.Thread(target=_exhaust, args=(events, finishes), daemon=True).start()
        raise
    finally:
        if not is_handed_over:
            events.close()


def _exhaust(events: Generator[Event, None, None], finishes: Callable[[], bool]) -> None:
    looked_at = time.monotonic()
    try:
        # A heartbeat is an event as well.
        for _event in events:
            if time.monotonic() - looked_at > LOOK_SECONDS:
                if not finishes():
                    break
                looked_at = time.monotonic()
    finally:
        events.close()
        release_connections()


def _release_connections_of_view() -> None:
    """Release the connections of a synchronous view under ASGI.

    Such a view runs on a thread of its own, whose connections would stay open until the end of the
    stream.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        release_connections()


async def _aencode(
    pending: AsyncAnswer, show: Show, finishes: Callable[[], bool] | None
) -> AsyncGenerator[bytes, None]:
    # Connections of middleware that ran after the view, and of asynchronous views.
    await sync_to_async(release_connections)()
    yield _COMMENT
    written: asyncio.Queue[bytes] = asyncio.Queue()
    heartbeat = _Heartbeat(lambda: written.put_nowait(_COMMENT))

    async def write() -> None:
        try:
            async with aclosing(pending.iterate()) as events:
                async for event in events:
                    written.put_nowait(encode_event(event, show))
        finally:
            written.put_nowait(_END)

    writing = asyncio.create_task(write())
    try:
        while True:
            # Events that have piled up are sent together.
            together = [await written.get(), *_rest_of(written)]
            heartbeat.postpone()
            if piece := b"".join(together):
                yield piece
            if not together[-1]:
                break
        await writing
    finally:
        heartbeat.stop()
        if not writing.done():
            await asyncio.shield(_keep(asyncio.create_task(_end(writing, finishes))))


_kept: set[asyncio.Task[None]] = set()


def _keep(task: asyncio.Task[None]) -> asyncio.Task[None]:
    """The event loop itself keeps no strong reference to a task."""
    _kept.add(task)
    task.add_done_callback(_kept.discard)
    return task


async def _end(writing: asyncio.Task[None], finishes: Callable[[], bool] | None) -> None:
    """Cancel a task whose reader left, or leave it running for as long as it may."""
    if finishes is not None and await in_database_thread(finishes):
        _keep(writing)
        _keep(asyncio.create_task(_watch(writing, finishes)))
    else:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


async def _watch(writing: asyncio.Task[None], finishes: Callable[[], bool]) -> None:
    while not (await asyncio.wait({writing}, timeout=LOOK_SECONDS))[0]:
        if not await in_database_thread(finishes):
            writing.cancel()


def _rest_of(written: asyncio.Queue[bytes]) -> Iterator[bytes]:
    while not written.empty():
        yield written.get_nowait()


class _Heartbeat:
    """Calls ``beat`` after each :data:`ASGI_HEARTBEAT_SECONDS` of silence.

    One timer for the whole stream, because one for each event would take longer than sending it.
    """

    def __init__(self, beat: Callable[[], None]) -> None:
        self._beat = beat
        self._loop = asyncio.get_running_loop()
        self.postpone()
        self._wait()

    def postpone(self) -> None:
        self._due = self._loop.time() + ASGI_HEARTBEAT_SECONDS

    def stop(self) -> None:
        self._timer.cancel()

    def _wait(self) -> None:
        self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        if self._loop.time() >= self._due:
            self._beat()
            self.postpone()
        self._wait()
