"""How like the questions of a prepared answer another question is."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from .embeddings import get_embedder
from .embeddings.questions import embed_question
from .exceptions import EmbeddingError
from .index.builds import active_space
from .models import EmbeddingSpace, PreparedAnswer

if TYPE_CHECKING:
    from .embeddings.base import Vectors

logger = logging.getLogger("finetune_switch.prepared")

BYTES_IN_A_NUMBER = 4


class Embedded(Protocol):
    """What has the vectors of its examples, one after the other, as little-endian float32."""

    @property
    def pk(self) -> int: ...
    @property
    def embedding_model(self) -> str: ...
    @property
    def vectors(self) -> bytes: ...


def embed_examples(prepared: PreparedAnswer) -> None:
    """Make the vectors of its examples, without saving it.

    Raises :class:`~finetune_switch.exceptions.EmbeddingError`; it has none then.
    """
    prepared.vectors, prepared.embedding_model = None, ""
    if questions := prepared.questions:
        made, prepared.embedding_model = embed_texts(questions)
        prepared.vectors = made.astype("<f4").tobytes()
    prepared.embedded_examples = prepared.examples


def embed_texts(texts: Sequence[str]) -> tuple[Vectors, str]:
    """Vectors of shape ``(len(texts), dimensions)`` in the space that questions are searched in.

    And that space, in words. Raises :class:`~finetune_switch.exceptions.EmbeddingError`.
    """
    space = active_space()
    made = get_embedder(space).embed(texts)
    return made, _name_of(space, made.shape[1])


def embed_before_save(prepared: PreparedAnswer) -> None:
    """Keep the vectors in step with the examples, whoever saves them.

    A form has made them already, outside of its transaction. Where the model does not answer, the
    answer is saved without: the list of prepared answers says so.
    """
    if prepared.embedded_examples == prepared.examples:
        return
    try:
        embed_examples(prepared)
    except EmbeddingError as error:
        logger.warning("A prepared answer has no vectors of its examples: %s", error)


def renew_vectors() -> int:
    """Make the vectors anew that are missing, or were made by another model than the index's.

    Returns how many prepared answers are left without. One that is edited meanwhile stays as it is.
    """
    left = 0
    name = current_model_name()
    for prepared in PreparedAnswer.objects.exclude(examples="").defer("answer", "words"):
        if not is_stale(prepared, name):
            continue
        try:
            embed_examples(prepared)
        except EmbeddingError as error:
            logger.warning("A prepared answer has no vectors of its examples: %s", error)
            left += 1
            continue
        PreparedAnswer.objects.filter(pk=prepared.pk, examples=prepared.examples).update(
            vectors=prepared.vectors, embedding_model=prepared.embedding_model
        )
    return left


def is_stale(prepared: PreparedAnswer, name: str) -> bool:
    """Whether it has examples that no question is compared with, by the model of this name."""
    return bool(prepared.questions) and (not prepared.vectors or prepared.embedding_model != name)


def current_model_name() -> str:
    """In words, what questions are embedded by; empty where its server does not say.

    One query and, where nothing was indexed yet, a model on a server may be asked for a vector.
    """
    if (space := active_space()) is not None:
        return str(space)
    try:
        return embed_texts(["How long is a vector?"])[1]
    except EmbeddingError:
        return ""


def likeness(question: str, rows: Iterable[Embedded]) -> dict[int, float]:
    """The cosine of the question with the likest example of each of these, by primary key.

    What was embedded by another model is left out. Empty where the question cannot be embedded.
    """
    rows = [row for row in rows if row.vectors]
    if not rows:
        return {}
    import numpy as np

    space = active_space()
    try:
        vector = embed_question(question, space)
    except EmbeddingError as error:
        logger.warning("Prepared answers were looked for by their words alone: %s", error)
        return {}
    name, size = _name_of(space, len(vector)), len(vector) * BYTES_IN_A_NUMBER
    rows = [row for row in rows if row.embedding_model == name and len(row.vectors) % size == 0]
    if not rows:
        return {}
    held = np.frombuffer(b"".join(row.vectors for row in rows), "<f4")
    ends = np.cumsum([len(row.vectors) // size for row in rows])
    best = np.maximum.reduceat(held.reshape(-1, len(vector)) @ vector, [0, *ends[:-1]])
    return {row.pk: float(score) for row, score in zip(rows, best, strict=True)}


def _name_of(space: EmbeddingSpace | None, dimensions: int) -> str:
    if space is None:
        embedder = get_embedder()
        space = EmbeddingSpace(
            connection=embedder.connection,
            model_name=embedder.model_name,
            dimensions=dimensions,
        )
    return str(space)
