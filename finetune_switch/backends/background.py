"""One event loop on a thread of its own, for code that has none.

Model streams are written once, as coroutines, because only there can a read be given a deadline and
be ended from outside. Under WSGI and in the shell they run here: the caller waits on a queue, and
leaving the iterator cancels the stream, which closes its connection to the model server.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_owner: int | None = None
_END = object()
# After the first item the loop lets the interpreter's lock go, which it would otherwise keep for
# 5 ms where more is there to be read already: the reader would wait for that long to show it.
HANDOVER_SECONDS = 0.001


def background_loop() -> asyncio.AbstractEventLoop:
    """The process's background loop, started when first needed and anew after a fork."""
    global _loop, _owner
    if _loop is None or _owner != os.getpid():
        with _lock:
            if _loop is None or _owner != os.getpid():
                loop = asyncio.new_event_loop()
                threading.Thread(
                    target=loop.run_forever, name="finetune-switch-models", daemon=True
                ).start()
                _loop, _owner = loop, os.getpid()
    return _loop


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The coroutine's result, computed on the background loop; an interrupt cancels it."""
    future = asyncio.run_coroutine_threadsafe(coroutine, background_loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def iterate(
    open_stream: Callable[[], AsyncIterator[T]],
    *,
    heartbeat: float | None = None,
    silence: T | None = None,
) -> Generator[T, None, None]:
    """The items of an async stream, one by one as they come.

    With ``heartbeat`` (seconds), ``silence`` is yielded whenever nothing came for that long.
    """
    items: queue.SimpleQueue[Any] = queue.SimpleQueue()

    async def pump() -> None:
        handed_over = False
        stream: AsyncIterator[T] | None = None
        try:
            stream = open_stream()
            async for item in stream:
                items.put(item)
                if not handed_over:
                    handed_over = True
                    await asyncio.sleep(HANDOVER_SECONDS)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            items.put(error)
        finally:
            if (aclose := getattr(stream, "aclose", None)) is not None:
                await aclose()
            items.put(_END)

    future = asyncio.run_coroutine_threadsafe(pump(), background_loop())
    try:
        while True:
            try:
                item = items.get(timeout=heartbeat)
            except queue.Empty:
                yield silence  # type: ignore[misc]
                continue
            if item is _END:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        future.cancel()


def _forget_loop_after_fork() -> None:
    # The lock may have been held, and the thread does not exist, in the child.
    global _lock, _loop
    _lock, _loop = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_loop_after_fork)
