"""A thread that updates the heartbeat of a build."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections, router
from django.utils import timezone

from finetune_switch.models import IndexBuild

logger = logging.getLogger("finetune_switch.index")

# Several heartbeats may fail within ``IndexBuild.HEARTBEAT_TIMEOUT``.
EVERY_SECONDS = 10.0
# Wait for a heartbeat that is being written. A later one changes nothing: see _beat().
JOIN_SECONDS = 2.0


@contextmanager
def heartbeat(build: IndexBuild) -> Iterator[None]:
    """Update ``heard_of_at`` from a thread while the block runs. Never raises.

    A batch of embeddings or the creation of an HNSW index may take minutes.
    """
    using = build._state.db or router.db_for_write(IndexBuild)
    stop = threading.Event()
    thread = threading.Thread(
        target=_beat_until, args=(stop, build.pk, using), name="finetune-switch-build", daemon=True
    )
    is_started = _is_visible_to_others(using) and _start(thread)
    try:
        yield
    finally:
        stop.set()
        if is_started:
            thread.join(JOIN_SECONDS)


def _is_visible_to_others(using: str) -> bool:
    """Whether other connections can see the build.

    They cannot in a transaction or in an SQLite database in memory, where a second connection would
    wait for the first.
    """
    connection: Any = connections[using]
    in_memory = connection.vendor == "sqlite" and connection.is_in_memory_db()
    return not (connection.in_atomic_block or in_memory)


def _start(thread: threading.Thread) -> bool:
    try:
        thread.start()
    except RuntimeError:
        logger.warning("The thread for heartbeats of the build could not be started.")
        return False
    return True


def _beat_until(stop: threading.Event, pk: int, using: str) -> None:
    while not stop.wait(EVERY_SECONDS):
        try:
            _beat(pk, using)
        except Exception as error:  # the build goes on without heartbeats
            logger.warning("A heartbeat of the build could not be saved: %s", error)
        finally:
            # The next heartbeat opens a new connection, in case the database restarts.
            connections[using].close()


def _beat(pk: int, using: str) -> None:
    # Do not change a build that has ended.
    running = IndexBuild.objects.using(using).filter(pk=pk, status=IndexBuild.Status.RUNNING)
    running.update(heard_of_at=timezone.now())
