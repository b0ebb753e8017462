"""The interface of vector stores. Chunks hold the vectors; a store makes searching them fast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

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


class VectorStore(Protocol):
    """Finds the chunks whose vectors are most similar to a question's.

    Methods that write are called in the transaction that writes the chunks.
    """

    def search(
        self, space: EmbeddingSpace, vector: Vector, *, limit: int, scope: Scope
    ) -> list[Found]:
        """At most ``limit`` chunks of the space, best first, with their cosine similarity.

        ``vector`` has length 1 and ``space.dimensions`` numbers. Never writes.
        """

    def prepare(self, space: EmbeddingSpace) -> None:
        """Create what the store needs for this space. Safe to repeat."""

    def add(self, space: EmbeddingSpace, chunk_ids: Sequence[int]) -> None:
        """Store chunks that are new or changed, or whose document's site, locale or privacy is."""

    def remove(self, space: EmbeddingSpace, chunk_ids: Sequence[int]) -> None:
        """Remove chunks. They are about to be deleted."""

    def finish(self, space: EmbeddingSpace) -> None:
        """Make searching fast, once all chunks are added. Safe to repeat."""

    def drop(self, space: EmbeddingSpace) -> None:
        """Remove all that the store keeps of this space."""
