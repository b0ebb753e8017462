"""Cache vectors of texts that are compared repeatedly, to save requests to a server."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from django.core.cache import DEFAULT_CACHE_ALIAS
from django.core.cache.backends.base import BaseCache

from finetune_switch.access.guarded_cache import CacheFailed, guarded_cache

# Vectors are stored in a few cache entries, by the beginning of the text's digest. A cache may be
# limited to 300 entries, which include the counters of visitors, and to 1 MB for each entry.
SHARDS = 64
MOST_IN_A_SHARD = 40
SECONDS = 7 * 24 * 60 * 60


class KeptVectors:
    """The cached vectors of one model.

    ``model`` identifies everything that a vector depends on, except the text.
    """

    def __init__(self, model: str) -> None:
        self._model = model

    def find(self, texts: Iterable[str]) -> dict[str, Any]:
        """The cached vectors by text, as float32 arrays."""
        digests = {text: self._digest(text) for text in texts}
        try:
            shards = _cache().get_many({_key(digest) for digest in digests.values()})
        except CacheFailed:
            return {}
        return {
            text: np.frombuffer(shards[_key(digest)][digest], "<f4")
            for text, digest in digests.items()
            if digest in shards.get(_key(digest), ())
        }

    def add(self, vectors: Mapping[str, Any]) -> None:
        """Cache these vectors. The oldest of a full entry are removed."""
        new: dict[str, dict[str, bytes]] = {}
        for text, vector in vectors.items():
            digest = self._digest(text)
            new.setdefault(_key(digest), {})[digest] = vector.astype("<f4").tobytes()
        with suppress(CacheFailed):
            for key, known in _cache().get_many(new).items():
                new[key] = {**known, **new[key]}
            _cache().set_many(
                {key: dict(list(shard.items())[-MOST_IN_A_SHARD:]) for key, shard in new.items()},
                SECONDS,
            )

    def _digest(self, text: str) -> str:
        return hashlib.sha256(f"{self._model}\n{text}".encode("utf-8", "replace")).hexdigest()


def _cache() -> BaseCache:
    return guarded_cache(DEFAULT_CACHE_ALIAS)


def _key(digest: str) -> str:
    return f"finetune_switch.vectors.{int(digest[:8], 16) % SHARDS}"
