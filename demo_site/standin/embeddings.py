"""Text → vectors by hashing words: deterministic, and like texts lie near each other."""

from __future__ import annotations

import hashlib
import math

from .voices import stems

DIMENSIONS = 256


def embed(text: str, dimensions: int | None = None) -> list[float]:
    """A unit vector of the text's telling words."""
    size = dimensions or DIMENSIONS
    vector = [0.0] * size
    for word in stems(text) or [text]:
        digest = hashlib.sha256(word.encode()).digest()
        vector[int.from_bytes(digest[:4], "big") % size] += 1.0 if digest[4] % 2 else -1.0
    length = math.sqrt(sum(value * value for value in vector))
    if not length:
        vector[0] = length = 1.0
    return [value / length for value in vector]
