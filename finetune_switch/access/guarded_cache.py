"""Caches on other machines, which may be down or frozen, with a time limit."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.conf import settings
from django.core.cache import caches
from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.locmem import LocMemCache

CACHE_SECONDS = 0.2
# A cache that failed is asked again after this time.
RETRY_SECONDS = 60.0
_LOCAL = (LocMemCache, DummyCache, FileBasedCache, DatabaseCache)
_THREADS = 16

_failed_at: dict[str, float] = {}
_executor: ThreadPoolExecutor | None = None
_lock = threading.Lock()


class CacheFailed(Exception):
    """The cache failed, was too slow, or did so less than :data:`RETRY_SECONDS` ago."""


def guarded_cache(alias: str) -> BaseCache:
    """The cache with a time limit, unless it is in this process, a file or the database."""
    cache = caches[alias]
    return cache if type(cache) in _LOCAL else GuardedCache(alias, cache)


class GuardedCache(BaseCache):
    """Calls another cache on a thread. Raises :class:`CacheFailed`."""

    def __init__(self, alias: str, cache: BaseCache) -> None:
        super().__init__({})
        self.alias = alias
        # Another cache of this alias has not failed.
        self._name = f"{alias} {settings.CACHES.get(alias)}"
        self.default_timeout = cache.default_timeout
        self.has_atomic_incr = type(cache).incr is not BaseCache.incr

    def add(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None
    ) -> bool:
        return self._call("add", key, value, timeout, version=version)

    def get(self, key: Any, default: Any = None, version: Any = None) -> Any:
        return self._call("get", key, default, version=version)

    def set(
        self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None
    ) -> None:
        self._call("set", key, value, timeout, version=version)

    def delete(self, key: Any, version: Any = None) -> bool:
        return self._call("delete", key, version=version)

    def get_many(self, keys: Iterable[Any], version: Any = None) -> dict[Any, Any]:
        return self._call("get_many", list(keys), version=version)

    def set_many(self, data: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> list[Any]:
        return self._call("set_many", data, timeout, version=version)

    def incr(self, key: Any, delta: int = 1, version: Any = None) -> int:
        return self._call("incr", key, delta, version=version)

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        failed_at = _failed_at.get(self._name)
        if failed_at is not None:
            if time.monotonic() - failed_at < RETRY_SECONDS:
                raise CacheFailed("it failed less than a minute ago")
            # Only this call tries whether it works again.
            _failed_at[self._name] = time.monotonic()
        try:
            result = (
                _get_executor()
                .submit(_work, self.alias, name, args, kwargs)
                .result(timeout=CACHE_SECONDS)
            )
        except ValueError:
            # incr() of a key that does not exist: the cache works.
            _failed_at.pop(self._name, None)
            raise
        except Exception as error:
            _failed_at[self._name] = time.monotonic()
            raise CacheFailed(str(error) or f"no answer in {CACHE_SECONDS:g} s") from error
        _failed_at.pop(self._name, None)
        return result


def _work(alias: str, name: str, args: Any, kwargs: Any) -> Any:
    # Of this thread, because not every client may be shared by threads.
    return getattr(caches[alias], name)(*args, **kwargs)


def _get_executor() -> ThreadPoolExecutor:
    global _executor
    with _lock:
        if _executor is None:
            _executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="finetune-switch-cache")
        return _executor


def _forget_after_fork() -> None:
    global _executor, _lock
    _executor, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
