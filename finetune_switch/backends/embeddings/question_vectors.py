"""Embed a question once for several searches."""

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
def each_vector_once(known: dict[Any, Any] | None = None) -> Iterator[None]:
    """Embed each question once within this context, in the current thread or task.

    Nested contexts share their vectors. ``known`` carries vectors from one context to a later one.
    A request to an embedding server takes as long as the rest of a search.
    """
    if _known.get() is not None:
        yield
        return
    token = _known.set({} if known is None else known)
    try:
        yield
    finally:
        _known.reset(token)


def embed_question(question: str, space: EmbeddingSpace | None) -> NDArray[float32]:
    """The unit vector of a question in this space or, without one, by the model of the settings.

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
            # Do not wait a second time for a server that is down.
            known[key] = error
    found = known[key]
    if isinstance(found, EmbeddingError):
        raise found
    return found
