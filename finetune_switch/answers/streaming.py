"""Events on the wire: server-sent events, the same under WSGI and ASGI.

The format is the HTML standard's "text/event-stream": ``event:`` and ``data:`` lines (JSON), a
blank line after each event, and lines that begin with a colon as comments.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import aclosing, closing
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

from .api import Answer, AsyncAnswer
from .events import Event, WaitingEvent, event_data
from .question import AskedQuestion
from .threads import release_connections

# Under WSGI a departure shows only at a write, and at the second one at that: the first is what
# makes the reader's side say that it is gone. Two of these have to fit into a second.
WSGI_HEARTBEAT_SECONDS = 0.35
# Under ASGI the server tells; this one keeps proxies from closing a quiet connection.
ASGI_HEARTBEAT_SECONDS = 15.0

_COMMENT = b": \n\n"
_END = b""

Show = Callable[[Event], dict[str, Any]]


class AnswerStream(StreamingHttpResponse):
    """A stream that tells when it is over: read to its end, failed, or left by its reader."""

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
    **options: Any,
) -> AnswerStream:
    """A response that streams the answer to a question.

    ``options`` are the fields of :class:`.question.AskedQuestion`, those of :func:`.api.answer`
    among them. ``show`` says what of an event the reader may see, as JSON can hold it; ``on_close``
    is called when the stream is over, however it ended. Raises
    :class:`~finetune_switch.exceptions.InvalidQuestion` before anything is sent. A reader who
    leaves stops the model on its server.
    """
    asked = AskedQuestion(question, **{"request": request, **options})
    if isinstance(request, ASGIRequest):
        content: Any = _aencode(AsyncAnswer(asked), show)
        _release_connections_of_view()
    else:
        content = _encode(Answer(asked), show)
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


def _encode(pending: Answer, show: Show) -> Generator[bytes, None, None]:
    yield _COMMENT
    with closing(
        pending.iterate(
            heartbeat=WSGI_HEARTBEAT_SECONDS,
            # The response is the end of its request: nobody else needs them on this thread.
            before_waiting=release_connections,
        )
    ) as events:
        for event in events:
            yield encode_event(event, show)


def _release_connections_of_view() -> None:
    """Under ASGI each request has a thread, with connections of its own, for synchronous code.

    What a synchronous view looked up there (who is signed in) would hold one until the stream has
    ended; and where many readers come at once, even until the event loop gets round to it.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        release_connections()


async def _aencode(pending: AsyncAnswer, show: Show) -> AsyncGenerator[bytes, None]:
    # What middleware looked up after the view, and a view that is a coroutine at any time.
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
            # At once, what came while this had to wait for its turn.
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
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)


def _rest_of(written: asyncio.Queue[bytes]) -> Iterator[bytes]:
    while not written.empty():
        yield written.get_nowait()


class _Heartbeat:
    """Calls after each :data:`ASGI_HEARTBEAT_SECONDS` of silence.

    One timer a stream: another one for each event would take longer than to send it.
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
