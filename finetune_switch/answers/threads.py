"""How database work is done around streams, which hold no connection."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from django.db import connections

T = TypeVar("T")

DATABASE_THREADS = 8

_lock = threading.Lock()
_executor: ThreadPoolExecutor | None = None


def release_connections() -> None:
    """Give this thread's connections back (to the pool, or to the server) until the next query.

    A connection inside a transaction is somebody else's business and stays. So does one to SQLite:
    no server runs out of those, and with the last one of a file SQLite writes its log back, which
    takes 2 to 10 ms before the model is asked.
    """
    for connection in connections.all(initialized_only=True):
        if connection.connection is None or connection.in_atomic_block:
            continue
        if connection.vendor != "sqlite":
            connection.close()


async def in_database_thread(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """The function's result, computed on one of a few threads that keep no connection.

    However many streams are open, there are never more connections than threads.
    """
    context = contextvars.copy_context()

    def work() -> T:
        try:
            return context.run(function, *args, **kwargs)
        finally:
            release_connections()

    return await asyncio.get_running_loop().run_in_executor(_get_executor(), work)


def _forget_executor_after_fork() -> None:
    # Its threads do not exist in the child.
    global _lock, _executor
    _lock, _executor = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_executor_after_fork)


def _get_executor() -> ThreadPoolExecutor:
    global _executor
    if _executor is None:
        with _lock:
            if _executor is None:
                _executor = ThreadPoolExecutor(
                    max_workers=DATABASE_THREADS,
                    thread_name_prefix="finetune-switch-database",
                )
    return _executor
