"""Vectors of questions that are looked at again, so that a server is not asked for them twice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from django.core.cache import cache

# A cache may hold no more than 300 entries, which count visitors' questions too, and no entry
# larger than 1 MB: so there are a few, each for the texts whose digest begins alike.
SHARDS = 64
MOST_IN_A_SHARD = 40
SECONDS = 7 * 24 * 60 * 60


class KeptVectors:
    """Vectors of one model in Django's cache, by the digests of their texts.

    ``model`` says all that the vectors depend on beside the text.
    """

    def __init__(self, model: str) -> None:
        self._model = model

    def find(self, texts: Iterable[str]) -> dict[str, Any]:
        """Those that are kept, as float32 arrays, by their texts."""
        digests = {text: self._digest(text) for text in texts}
        shards = cache.get_many({_key(digest) for digest in digests.values()})
        return {
            text: np.frombuffer(shards[_key(digest)][digest], "<f4")
            for text, digest in digests.items()
            if digest in shards.get(_key(digest), ())
        }

    def add(self, vectors: Mapping[str, Any]) -> None:
        """Keep these. In a full shard, the oldest are forgotten."""
        new: dict[str, dict[str, bytes]] = {}
        for text, vector in vectors.items():
            digest = self._digest(text)
            new.setdefault(_key(digest), {})[digest] = vector.astype("<f4").tobytes()
        for key, known in cache.get_many(new).items():
            new[key] = {**known, **new[key]}
        cache.set_many(
            {key: dict(list(shard.items())[-MOST_IN_A_SHARD:]) for key, shard in new.items()},
            SECONDS,
        )

    def _digest(self, text: str) -> str:
        return hashlib.sha256(f"{self._model}\n{text}".encode("utf-8", "replace")).hexdigest()


def _key(digest: str) -> str:
    return f"finetune_switch.vectors.{int(digest[:8], 16) % SHARDS}"
