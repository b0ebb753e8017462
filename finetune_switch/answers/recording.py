"""Record how answers ended, and try again in the background if the database fails."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import close_old_connections, connections

from finetune_switch.models import Exchange, Outcome

logger = logging.getLogger("finetune_switch.answers")

RETRY_SECONDS = 2.0
GIVE_UP_SECONDS = 15 * 60.0
# Endings kept in memory. The oldest is dropped first.
MAX_WAITING = 1000


@dataclass
class _Ending:
    exchange: Exchange
    outcome: Outcome
    values: Mapping[str, Any]
    failed_at: float = field(default_factory=time.monotonic)


_waiting: deque[_Ending] = deque()
_lock = threading.Lock()
_thread: threading.Thread | None = None


def record_ending(exchange: Exchange, outcome: Outcome, values: Mapping[str, Any]) -> bool:
    """Close the exchange. Returns ``False`` if it was closed already.

    Never raises: an ending that can't be recorded now is recorded in the background.
    """
    try:
        return exchange.close(outcome, **values)
    except Exception as error:
        logger.error(
            "Exchange %s ended (%s), which could not be recorded: %s. Trying again for %d minutes.",
            exchange.pk, outcome.value, error, GIVE_UP_SECONDS // 60,
        )  # fmt: skip
        forget_broken_connections()
        _try_again_later(_Ending(exchange, outcome, values))
        return True


def waiting_endings() -> int:
    """How many endings this process has still to record."""
    return len(_waiting)


def forget_broken_connections() -> None:
    """Close connections that the server has closed, so that the next query opens new ones."""
    if not any(connection.in_atomic_block for connection in connections.all(initialized_only=True)):
        close_old_connections()


def _try_again_later(ending: _Ending) -> None:
    global _thread
    with _lock:
        if len(_waiting) >= MAX_WAITING:
            _give_up(_waiting.popleft())
        _waiting.append(ending)
        if _thread is None:
            _thread = threading.Thread(
                target=_try_again, name="finetune-switch-recording", daemon=True
            )
            _thread.start()


def _try_again() -> None:
    global _thread
    while True:
        time.sleep(RETRY_SECONDS)
        for _number in range(len(_waiting)):
            with _lock:
                ending = _waiting.popleft() if _waiting else None
            if ending is not None and not _record(ending):
                with _lock:
                    _waiting.append(ending)
        connections.close_all()
        with _lock:
            if not _waiting:
                _thread = None
                return


def _record(ending: _Ending) -> bool:
    """Whether nothing is left to do for this ending."""
    try:
        ending.exchange.close(ending.outcome, **ending.values)
    except Exception as error:
        connections.close_all()
        if time.monotonic() - ending.failed_at < GIVE_UP_SECONDS:
            logger.debug("Exchange %s not recorded yet: %s", ending.exchange.pk, error)
            return False
        _give_up(ending)
        return True
    logger.info("Exchange %s is recorded now.", ending.exchange.pk)
    return True


def _give_up(ending: _Ending) -> None:
    logger.error("Exchange %s: its ending is lost.", ending.exchange.pk)


def _forget_after_fork() -> None:
    # The parent records them.
    global _waiting, _lock, _thread
    _waiting, _lock, _thread = deque(), threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
