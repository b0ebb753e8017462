"""Threads for database work, so that open streams hold no connection."""

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

# Each thread holds at most one connection, and only while it runs a function.
DATABASE_THREADS = 8

_lock = threading.Lock()
_executor: ThreadPoolExecutor | None = None


def release_connections() -> None:
    """Close this thread's connections, or return them to the pool, until the next query.

    Only for code that owns its thread: server-side cursors, session locks and temporary tables are
    lost. A connection inside a transaction stays open. So does a connection to SQLite, because
    closing the last one checkpoints the write-ahead log, which takes 2 to 10 ms.
    """
    for connection in connections.all(initialized_only=True):
        if connection.connection is None or connection.in_atomic_block:
            continue
        if connection.vendor != "sqlite":
            connection.close()


async def in_database_thread(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Run the function on one of :data:`DATABASE_THREADS` threads, and release its connections.

    All streams of the process together use at most that many connections.
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
