"""Deterministic embeddings by hashing words. Similar texts have similar vectors."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from typing import cast

from .voices import stems

DIMENSIONS = 256


def embed(text: str, dimensions: int | None = None) -> list[float]:
    """A unit vector of the text's content words."""
    size = dimensions or DIMENSIONS
    vector = [0.0] * size
    for word in stems(text) or [text]:
        digest = hashlib.sha256(word.encode()).digest()
        vector[int.from_bytes(digest[:4], "big") % size] += 1.0 if digest[4] % 2 else -1.0
    length = math.sqrt(sum(value * value for value in vector))
    if not length:
        vector[0] = length = 1.0
    return [value / length for value in vector]


def embed_all(
    texts: list[str], dimensions: int | None = None, fault: str = ""
) -> list[list[float]]:
    """A vector for each text, with the fault applied if it is one of :data:`VECTOR_FAULTS`."""
    vectors = [embed(text, dimensions) for text in texts]
    return VECTOR_FAULTS[fault](vectors) if fault in VECTOR_FAULTS else vectors


def _replace_last_number(value: float) -> Callable[[list[list[float]]], list[list[float]]]:
    return lambda vectors: [*vectors[:-1], [*vectors[-1][:-1], value]]


# A model with such a fault returns bad vectors, and chats normally.
VECTOR_FAULTS: Mapping[str, Callable[[list[list[float]]], list[list[float]]]] = {
    "nan-vectors": _replace_last_number(math.nan),
    "infinite-vectors": _replace_last_number(math.inf),
    "null-vectors": lambda vectors: cast("list[list[float]]", [None] * len(vectors)),
    "zero-vectors": lambda vectors: [*vectors[:-1], [0.0] * len(vectors[-1])],
    "half-batch": lambda vectors: vectors[: len(vectors) // 2],
    "wrong-dimensions": lambda vectors: [vector[:-1] for vector in vectors],
    "uneven-vectors": lambda vectors: [*vectors[:-1], vectors[-1][:-1]],
}
