"""The interface of vector stores. Vectors are saved in chunks; a store makes searches fast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from finetune_switch.adapters import Scope
from finetune_switch.models import EmbeddingSpace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Found", "Scope", "Vector", "VectorStore"]

Vector: TypeAlias = "NDArray[np.float32]"


@dataclass(frozen=True)
class Found:
    """A chunk and its score in a ranking: higher is better."""

    chunk_id: int
    score: float


class VectorStore:
    """Finds the chunks whose vectors are most similar to the vector of a question.

    Methods that write are called in the transaction that writes the chunks. By default they do
    nothing, for stores that read the chunks.
    """

    def search(
        self, space: EmbeddingSpace, vector: Vector, *, limit: int, scope: Scope
    ) -> list[Found]:
        """Return at most ``limit`` chunks, best first; the score is the cosine similarity.

        ``vector`` has ``space.dimensions`` numbers and length 1. Never writes.
        """
        raise NotImplementedError

    def prepare(self, space: EmbeddingSpace) -> None:
        """Create tables or other storage for this space. Safe to repeat."""

    def add(self, space: EmbeddingSpace, chunk_ids: Sequence[int]) -> None:
        """Store new or changed chunks, also where only the site, locale or privacy changed."""

    def remove(self, space: EmbeddingSpace, chunk_ids: Sequence[int]) -> None:
        """Remove chunks before they are deleted."""

    def finish(self, space: EmbeddingSpace) -> None:
        """Create indexes after all chunks were added. Safe to repeat."""

    def drop(self, space: EmbeddingSpace) -> None:
        """Remove everything stored for this space."""
