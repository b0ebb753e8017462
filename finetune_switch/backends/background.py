"""An event loop on a background thread, for synchronous code.

Model streams are coroutines, because only these can be cancelled and given deadlines. Under WSGI
and in the shell they run on this loop, and the caller waits on a queue. Closing the iterator
cancels the stream, which closes its connection to the model server.
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
# The pause after the first item. It releases the interpreter's lock, which the loop would otherwise
# hold for up to 5 ms while more items arrive, and delay the reader.
HANDOVER_SECONDS = 0.001


def background_loop() -> asyncio.AbstractEventLoop:
    """The background loop of this process, started on first use and after a fork."""
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
    """Run the coroutine on the background loop. An interrupt cancels it."""
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
    """The items of an asynchronous stream, as they arrive.

    With ``heartbeat``, ``silence`` is yielded after each that many seconds without an item.
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
    # In the child, the thread does not exist, and the lock may be held for ever.
    global _lock, _loop
    _lock, _loop = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_loop_after_fork)
