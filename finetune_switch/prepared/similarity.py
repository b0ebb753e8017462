"""The similarity of a question to the examples of prepared answers.

A similarity is 1 for the same words and 0 for unrelated questions, whichever model made the
vectors, and :data:`~finetune_switch.models.prepared.DEFAULT_THRESHOLD` where two questions begin to
have the same answer. The cosine alone does not compare between models: some give any two questions
of one language 0.7 and more. An example from which a question differs in a deciding word does not
count (``text.decisive``).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from finetune_switch.backends.embeddings import get_embedder
from finetune_switch.backends.embeddings.question_vectors import embed_question
from finetune_switch.exceptions import EmbeddingError
from finetune_switch.models import EmbeddingSpace, PreparedAnswer
from finetune_switch.models.index import active_space
from finetune_switch.models.prepared import DEFAULT_THRESHOLD, split_lines
from finetune_switch.search.vectors import vectors_of
from finetune_switch.text.decisive import ask_the_same
from finetune_switch.text.words import language_name

if TYPE_CHECKING:
    from finetune_switch.backends.embeddings.base import Vectors

logger = logging.getLogger("finetune_switch.prepared")

BYTES_IN_A_NUMBER = 4
UNRELATED = (
    "When does the last train leave?",
    "How do I reset my password?",
    "Which trees lose their leaves in autumn?",
    "What is the capital of Portugal?",
    "Can I pay in three instalments?",
    "Who wrote the letter to the mayor?",
    "Is the soup made without milk?",
    "How tall is a giraffe?",
    "My neighbour plays the drums at night.",
    "Do you repair bicycles?",
    "Where is the nearest hospital?",
    "What does this word mean?",
)
MOST_UNLIKENESS = 0.95


class Made(NamedTuple):
    """Vectors of texts, of shape ``(texts, dimensions)``, with their model and baseline."""

    vectors: Vectors
    model: str
    """The name of the embedding space."""
    baseline_similarity: float
    """The mean cosine of unrelated questions."""


def embed_examples(prepared: PreparedAnswer) -> None:
    """Set the vectors of its examples, without saving it.

    Raises :class:`~finetune_switch.exceptions.EmbeddingError`; it has no vectors then.
    """
    prepared.vectors, prepared.embedding_model = None, ""
    if questions := prepared.questions:
        made = embed_texts(questions)
        prepared.vectors = made.vectors.astype("<f4").tobytes()
        prepared.embedding_model, prepared.baseline_similarity = (
            made.model,
            made.baseline_similarity,
        )
    prepared.embedded_examples = prepared.examples


def embed_texts(texts: Sequence[str]) -> Made:
    """The vectors of texts, made by the model of the index.

    Raises :class:`~finetune_switch.exceptions.EmbeddingError`.
    """
    space = active_space()
    made = get_embedder(space).embed([*texts, *UNRELATED])
    return Made(
        made[: len(texts)],
        _name_of(space, made.shape[1]),
        baseline_similarity_of(made[len(texts) :]),
    )


def similarities(
    questions: Sequence[str], examples: Sequence[str], *, threshold: float, language: str
) -> list[float]:
    """The similarity of each question to its most similar example; -1 without a vector.

    The vectors that a server made are kept, so that the next call costs only those of new texts.
    Raises :class:`~finetune_switch.exceptions.EmbeddingError`.
    """
    import numpy as np

    vectors = vectors_of([*questions, *examples, *UNRELATED])
    known = [example for example in examples if example in vectors]
    if not known:
        return [-1.0] * len(questions)
    held = np.stack([vectors[example] for example in known])
    baseline = baseline_similarity_of(np.stack([vectors[text] for text in UNRELATED]))
    same = get_embedder(active_space()).thresholds.same_question
    return [
        _best(text, known, scaled(held @ vectors[text], baseline, same), threshold, language)
        if text in vectors
        else -1.0
        for text in questions
    ]


def _best(
    question: str, examples: Sequence[str], found: Any, threshold: float, language: str
) -> float:
    """The highest similarity, without those examples above the threshold that ask differently."""
    if _letters(question) in map(_letters, examples):
        # Models may tell capital letters apart.
        return 1.0
    name = language_name(language)
    for place in (-found).argsort():
        if found[place] < threshold or ask_the_same(question, examples[place], name):
            return float(found[place])
    return 0.0


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))


def baseline_similarity_of(vectors: Vectors) -> float:
    """The mean cosine of all pairs, clipped to the range from 0 to just below 1."""
    count = len(vectors)
    mean = (float((vectors @ vectors.T).sum()) - count) / (count * (count - 1))
    return min(max(mean, 0.0), MOST_UNLIKENESS)


def scaled(cosines: Any, baseline_similarity: float, same_question: float) -> Any:
    """Convert an array of cosines to similarities; see the module's docstring."""
    linear = ((cosines - baseline_similarity) / (1 - baseline_similarity)).clip(0, 1)
    return linear ** (math.log(DEFAULT_THRESHOLD) / math.log(same_question))


def embed_before_save(prepared: PreparedAnswer) -> None:
    """Embed the examples of an answer that is about to be saved.

    The form has done so already, outside of its transaction. Where the model does not answer, the
    prepared answer is saved without vectors, and the list says so.
    """
    if prepared.embedded_examples == prepared.examples:
        return
    _embed_or_warn(prepared)


def _embed_or_warn(prepared: PreparedAnswer) -> bool:
    try:
        embed_examples(prepared)
    except EmbeddingError as error:
        logger.warning("A prepared answer has no vectors of its examples: %s", error)
        return False
    return True


def renew_vectors() -> int:
    """Embed the examples whose vectors are missing or come from another model than the index's.

    Returns how many are left without vectors. Answers that are edited meanwhile are skipped.
    """
    left = 0
    name = current_model_name()
    for prepared in PreparedAnswer.objects.exclude(examples="").defer("answer", "words"):
        if not is_stale(prepared, name):
            continue
        if not _embed_or_warn(prepared):
            left += 1
            continue
        PreparedAnswer.objects.filter(pk=prepared.pk, examples=prepared.examples).update(
            vectors=prepared.vectors,
            embedding_model=prepared.embedding_model,
            baseline_similarity=prepared.baseline_similarity,
        )
    return left


def is_stale(prepared: PreparedAnswer, name: str) -> bool:
    """Whether its examples have no vectors of the model with this name."""
    return bool(prepared.questions) and (not prepared.vectors or prepared.embedding_model != name)


def current_model_name() -> str:
    """The name of the model that embeds questions; empty where its server does not respond.

    One query and, where nothing was indexed yet, a model on a server may be asked for a vector.
    """
    if (space := active_space()) is not None:
        return str(space)
    try:
        return embed_texts([]).model
    except EmbeddingError:
        return ""


class Row(NamedTuple):
    """What is read of a prepared answer. ``vectors`` are those of its examples."""

    pk: int
    kind: str
    words: str
    threshold: float
    examples: str
    answer: str
    page_id: int | None
    locale_id: int
    locale__language_code: str
    embedding_model: str
    baseline_similarity: float
    vectors: bytes


def similarity(question: str, rows: Iterable[Row]) -> dict[int, float]:
    """The similarity of the question to the best example of each row, by primary key.

    Rows embedded by another model are left out. Empty where the question cannot be embedded.
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
    cosines = held.reshape(-1, len(vector)) @ vector
    same = get_embedder(space).thresholds.same_question
    found, start = {}, 0
    for row in rows:
        end = start + len(row.vectors) // size
        known = scaled(cosines[start:end], row.baseline_similarity, same)
        examples, language = split_lines(row.examples), row.locale__language_code
        found[row.pk] = _best(question, examples, known, row.threshold, language)
        start = end
    return found


def _name_of(space: EmbeddingSpace | None, dimensions: int) -> str:
    if space is None:
        embedder = get_embedder()
        space = EmbeddingSpace(
            connection=embedder.connection,
            model_name=embedder.model_name,
            dimensions=dimensions,
        )
    return str(space)
