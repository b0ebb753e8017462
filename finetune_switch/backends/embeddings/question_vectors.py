"""The vector of a question, made once for all who look for something by it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from finetune_switch.exceptions import EmbeddingError

from . import get_embedder

if TYPE_CHECKING:
    from numpy import float32
    from numpy.typing import NDArray

    from finetune_switch.models import EmbeddingSpace

_known: ContextVar[dict[Any, Any] | None] = ContextVar(
    "finetune_switch_question_vectors", default=None
)


@contextmanager
def each_vector_once() -> Iterator[None]:
    """Embed each question once within the block, in this thread or task. Inner blocks share it.

    A model on a server takes as long for a vector as everything else about a search together.
    """
    known = _known.get()
    token = _known.set({} if known is None else known)
    try:
        yield
    finally:
        _known.reset(token)


def embed_question(question: str, space: EmbeddingSpace | None) -> NDArray[float32]:
    """The question's vector in this space, or by the model that the settings name: of length 1.

    float32 of shape ``(dimensions,)``. Raises :class:`~finetune_switch.exceptions.EmbeddingError`.
    """
    embedder = get_embedder(space)
    known = _known.get()
    if known is None:
        return embedder.embed([question])[0]
    key = (embedder.connection, embedder.model_name, space and space.dimensions, question)
    if key not in known:
        try:
            known[key] = embedder.embed([question])[0]
        except EmbeddingError as error:
            # A server that is down is not waited for a second time.
            known[key] = error
    found = known[key]
    if isinstance(found, EmbeddingError):
        raise found
    return found
