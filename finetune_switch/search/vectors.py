"""Embed many texts at once with the model of the index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from finetune_switch.backends.embeddings import get_embedder
from finetune_switch.backends.embeddings.base import Thresholds
from finetune_switch.exceptions import EmbeddingError
from finetune_switch.models.index import active_space

if TYPE_CHECKING:
    from finetune_switch.backends.embeddings.base import Embedder, Vectors

# Longer texts are cut.
EMBEDDED_CHARACTERS = 1000


def vectors_of(texts: Sequence[str]) -> dict[str, Any]:
    """A unit vector for each text. Texts that the model cannot embed are left out."""
    if not texts:
        return {}
    from finetune_switch.backends.embeddings.cache import KeptVectors

    space = active_space()
    embedder = get_embedder(space)
    if not embedder.connection:
        # Embedding a thousand texts in the process is faster than reading the cache.
        return _embed(embedder, texts)
    dimensions = space.dimensions if space is not None else embedder.dimensions
    kept = KeptVectors(f"{embedder.connection}\n{embedder.model_name}\n{dimensions}")
    found = kept.find(texts)
    new = _embed(embedder, [text for text in dict.fromkeys(texts) if text not in found])
    kept.add(new)
    return found | new


def thresholds() -> Thresholds:
    """Those of the embedding model of the index; the usual ones if it cannot be had."""
    try:
        return get_embedder(active_space()).thresholds
    except EmbeddingError:
        return Thresholds()


def _embed(embedder: Embedder, texts: Sequence[str]) -> dict[str, Any]:
    """Embed the texts in one batch, or in halves to isolate texts that cannot be embedded."""
    if not texts:
        return {}
    try:
        vectors: Vectors = embedder.embed([text[:EMBEDDED_CHARACTERS] for text in texts])
    except EmbeddingError as error:
        if not error.is_meaningless_text:
            raise
        if len(texts) == 1:
            return {}
        middle = len(texts) // 2
        return _embed(embedder, texts[:middle]) | _embed(embedder, texts[middle:])
    return dict(zip(texts, vectors, strict=True))
