"""Counts in Django's cache, which all processes of a site share.

They are raised by ``add`` and ``incr``: throttles that read a list, change it and write it back, as
Django REST framework's do, lose counts between processes.

A cache that fails stops no visitor: what it cannot count is not limited, and the log says so.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.cache import caches
from django.core.cache.backends.base import BaseCache

from finetune_switch import conf

logger = logging.getLogger("finetune_switch.throttling")

PREFIX = "finetune_switch"
# A cache that is down is heard of at each question, and written of once in this many seconds.
WARNING_SECONDS = 60
# How long one process waits for another that counts, and how long one that died can hold it up.
LOCK_WAIT_SECONDS = 0.5
LOCK_SECONDS = 2
LOCK_LOOK_SECONDS = 0.005

_warned_at: float | None = None


def shared_cache() -> BaseCache:
    """The cache that ``FINETUNE_SWITCH["VISITORS"]["CACHE"]`` names."""
    return caches[conf.visitors().cache]


def cache_key(*parts: Any) -> str:
    return ":".join(map(str, (PREFIX, *parts)))


def warn(error: BaseException | str) -> None:
    """Write to the log that limits are not counted, unless that was written a moment ago."""
    global _warned_at
    if _warned_at is None or time.monotonic() - _warned_at > WARNING_SECONDS:
        _warned_at = time.monotonic()
        logger.warning("Visitors' questions are not counted; the cache failed: %s", error)


def raise_count(
    key: str, seconds: float, by: int = 1, *, start: Callable[[], int] = int
) -> int | None:
    """Raise a count that is kept for so many seconds, and return it; ``None`` if the cache failed.

    A count that is new, or that the cache has lost, begins at ``start()``.
    """
    try:
        return _raise_count(shared_cache(), key, max(1, int(seconds)), by, start)
    except Exception as error:
        warn(error)
        return None


def _raise_count(
    cache: BaseCache, key: str, timeout: int, by: int, start: Callable[[], int]
) -> int:
    if type(cache).incr is not BaseCache.incr:
        try:
            return cache.incr(key, by)
        except ValueError:
            count = start() + by
            if not cache.add(key, count, timeout):
                return cache.incr(key, by)
            return count
    # Caches in files and in the database read a number and write it back, with another timeout.
    with _alone(cache, f"{key}:lock"):
        count = cache.get(key)
        count = (start() if count is None else count) + by
        cache.set(key, count, timeout)
    return count


@contextmanager
def _alone(cache: BaseCache, key: str) -> Iterator[None]:
    patience = time.monotonic() + LOCK_WAIT_SECONDS
    is_ours = cache.add(key, 1, LOCK_SECONDS)
    while not is_ours and time.monotonic() < patience:
        time.sleep(LOCK_LOOK_SECONDS)
        is_ours = cache.add(key, 1, LOCK_SECONDS)
    try:
        yield
    finally:
        if is_ours:
            cache.delete(key)


def take_slot(name: str, slots: int, seconds: float) -> Callable[[], None] | None:
    """Take one of so many slots, and return what gives it back; ``None`` where all are taken.

    A slot comes free by itself after so many seconds: a process that died holds none for ever.
    """
    try:
        return _take_slot(shared_cache(), name, slots, max(1, int(seconds)))
    except Exception as error:
        warn(error)
        return _nothing


def _take_slot(cache: BaseCache, name: str, slots: int, timeout: int) -> Callable[[], None] | None:
    mine = secrets.token_hex(8)
    first = cache_key(name, secrets.randbelow(slots))
    if cache.add(first, mine, timeout):
        return _giving_back(cache, first, mine)
    keys = [cache_key(name, number) for number in range(slots)]
    taken = cache.get_many(keys)
    free = [key for key in keys if key not in taken]
    for key in sorted(free, key=lambda _key: secrets.randbits(32)):
        if cache.add(key, mine, timeout):
            return _giving_back(cache, key, mine)
    if free and len(cache.get_many(keys)) < slots:
        warn("it takes no more keys")
        return _nothing
    return None


def _giving_back(cache: BaseCache, key: str, mine: str) -> Callable[[], None]:
    def give_back() -> None:
        try:
            # After its time it may be somebody else's.
            if cache.get(key) == mine:
                cache.delete(key)
        except Exception as error:
            warn(error)

    return give_back


def _nothing() -> None:
    pass
