"""Counters in Django's cache, shared by all processes of a site.

They use ``add`` and ``incr``. Throttles that read a list, change it and write it back, as those of
Django REST framework do, lose counts between processes.

If the cache fails, nothing is limited and a warning is logged.
"""

import logging
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.cache.backends.base import BaseCache

from finetune_switch import conf
from finetune_switch.access.guarded_cache import GuardedCache, guarded_cache

logger = logging.getLogger("finetune_switch.throttling")

PREFIX = "finetune_switch"
# Log cache failures at most once in this time.
WARNING_SECONDS = 60
# How long a process waits for the lock of a counter, how long the lock lasts if its process dies,
# and how often the lock is tried.
LOCK_WAIT_SECONDS = 0.5
LOCK_SECONDS = 2
LOCK_RETRY_SECONDS = 0.005

_warned_at: float | None = None


def shared_cache() -> BaseCache:
    """The cache named by ``FINETUNE_SWITCH["VISITORS"]["CACHE"]``."""
    return guarded_cache(conf.visitors().cache)


def cache_key(*parts: Any) -> str:
    return ":".join(map(str, (PREFIX, *parts)))


def warn(error: BaseException | str) -> None:
    """Log that requests are not counted, at most once every :data:`WARNING_SECONDS`."""
    global _warned_at
    if _warned_at is None or time.monotonic() - _warned_at > WARNING_SECONDS:
        _warned_at = time.monotonic()
        logger.warning("Visitors' questions are not counted; the cache failed: %s", error)


def raise_count(
    key: str, seconds: float, by: int = 1, *, start: Callable[[], int] = int
) -> int | None:
    """Add ``by`` to a counter and return it, or ``None`` if the cache failed.

    The counter expires after ``seconds``. A new one, or one that the cache has lost, starts at
    ``start()``.
    """
    try:
        return _raise_count(shared_cache(), key, max(1, int(seconds)), by, start)
    except Exception as error:
        warn(error)
        return None


def _raise_count(
    cache: BaseCache, key: str, timeout: int, by: int, start: Callable[[], int]
) -> int:
    if isinstance(cache, GuardedCache):
        is_atomic = cache.has_atomic_incr
    else:
        is_atomic = type(cache).incr is not BaseCache.incr
    if is_atomic:
        try:
            return cache.incr(key, by)
        except ValueError:
            count = start() + by
            if not cache.add(key, count, timeout):
                return cache.incr(key, by)
            return count
    # The incr() of caches in files and in the database is not atomic, and changes the timeout.
    with _locked(cache, f"{key}:lock"):
        count = cache.get(key)
        count = (start() if count is None else count) + by
        cache.set(key, count, timeout)
    return count


@contextmanager
def _locked(cache: BaseCache, key: str) -> Iterator[None]:
    """Hold a lock, or go on without it after :data:`LOCK_WAIT_SECONDS`."""
    deadline = time.monotonic() + LOCK_WAIT_SECONDS
    is_ours = cache.add(key, 1, LOCK_SECONDS)
    while not is_ours and time.monotonic() < deadline:
        time.sleep(LOCK_RETRY_SECONDS)
        is_ours = cache.add(key, 1, LOCK_SECONDS)
    try:
        yield
    finally:
        if is_ours:
            cache.delete(key)


def take_slot(name: str, slots: int, seconds: float) -> Callable[[], None] | None:
    """Take one of ``slots`` slots, and return the function that releases it.

    Returns ``None`` if all are taken. A slot is released after ``seconds`` at the latest, even if
    its process has died.
    """
    try:
        return _take_slot(shared_cache(), name, slots, max(1, int(seconds)))
    except Exception as error:
        warn(error)
        return _release_nothing


def _take_slot(cache: BaseCache, name: str, slots: int, timeout: int) -> Callable[[], None] | None:
    mine = secrets.token_hex(8)
    first = cache_key(name, secrets.randbelow(slots))
    if cache.add(first, mine, timeout):
        return _releaser(cache, first, mine)
    keys = [cache_key(name, number) for number in range(slots)]
    taken = cache.get_many(keys)
    free = [key for key in keys if key not in taken]
    for key in sorted(free, key=lambda _key: secrets.randbits(32)):
        if cache.add(key, mine, timeout):
            return _releaser(cache, key, mine)
    if free and len(cache.get_many(keys)) < slots:
        warn("it takes no more keys")
        return _release_nothing
    return None


def _releaser(cache: BaseCache, key: str, mine: str) -> Callable[[], None]:
    def release() -> None:
        try:
            # After its timeout the slot may belong to another request.
            if cache.get(key) == mine:
                cache.delete(key)
        except Exception as error:
            warn(error)

    return release


def _release_nothing() -> None:
    pass
