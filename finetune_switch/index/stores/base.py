"""What a store of vectors does. The chunks' own table is the truth; a store makes it fast."""

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
    """A chunk that a ranking found, and how well: higher is better."""

    chunk_id: int
    score: float


class VectorStore(Protocol):
    """Finds the chunks whose vectors are most like a question's.

    The verbs that write are called in the transaction that writes the chunks themselves.
    """

    def search(
        self, space: EmbeddingSpace, vector: Vector, *, limit: int, scope: Scope
    ) -> list[Found]:
        """At most ``limit`` chunks of the space, best first, with their cosine similarity.

        ``vector`` has length 1 and ``space.dimensions`` numbers. Never writes.
        """

    def prepare(self, space: EmbeddingSpace) -> None:
        """Make what the store needs for this space. Safe to repeat."""

    def add(self, space: EmbeddingSpace, chunk_ids: Sequence[int]) -> None:
        """These chunks are new or changed (their document's site, locale or privacy too)."""

    def remove(self, space: EmbeddingSpace, chunk_ids: Sequence[int]) -> None:
        """These chunks are going."""

    def finish(self, space: EmbeddingSpace) -> None:
        """Everything has been added: make searching fast. Safe to repeat."""

    def drop(self, space: EmbeddingSpace) -> None:
        """Remove all that the store keeps of this space."""
