"""The interface of embedders, and checks of their input and output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from finetune_switch.exceptions import EmbeddingError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Vectors: TypeAlias = "NDArray[np.float32]"


@dataclass(frozen=True)
class Thresholds:
    """Cosine similarities that mean the same for each embedding model. Measured for those that
    come with the package; docs/index-of-pages.md has the figures."""

    related: float = 0.25
    """The least similarity of a passage to a question that it may answer."""
    answers: float = 0.6
    """The least score of a text that is quoted (``backends.extraction``)."""
    same_question: float = 0.92
    """The least similarity of two questions with the same answer, as a share of the way from the
    mean of unrelated questions to 1."""
    same_subject: float = 0.55
    """The least average similarity of questions in a group."""
    speaks_of: float = 0.85
    """The least similarity, plus the share of common words, of a passage about a question."""
    same_meaning: float = 0.6
    """The least similarity of a passage about a question, whatever its words."""


class Embedder(Protocol):
    """Computes vectors of texts. Failures are raised as :class:`EmbeddingError`.

    ``connection``, ``model_name`` and ``dimensions`` identify the space of the vectors. Vectors of
    different spaces are never compared.
    """

    connection: str
    """Alias of the connection; empty for the embedded model."""
    model_name: str
    dimensions: int | None
    """The size of a vector; ``None`` if not known yet."""
    title_share: float
    """How much of a chunk's vector is that of its title, from 0 to 1."""
    thresholds: Thresholds
    max_tokens: int
    """The maximum length of a text, in tokens of :meth:`count_tokens`."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """A float32 array of shape ``(len(texts), dimensions)``, every row of length 1."""

    async def aembed(self, texts: Sequence[str]) -> Vectors:
        """Like :meth:`embed`, without blocking the event loop."""

    def count_tokens(self, text: str) -> int:
        """The number of tokens of a text, exact or estimated."""


class WrongDimensions(EmbeddingError):
    """The vectors have another size than those of the index. ``found`` is their size."""

    def __init__(self, found: int, expected: int) -> None:
        self.found = found
        super().__init__(
            format_lazy(
                gettext_lazy(
                    "Embeddings: the model gave vectors of {found} numbers instead of {expected}."
                ),
                found=found,
                expected=expected,
            ),
            code="wrong_dimensions",
            remedy=_(
                "Is it still the same model behind that name? Set DIMENSIONS right, or leave it "
                "out, and rebuild the index."
            ),
        )


def clean_texts(texts: Sequence[str]) -> list[str]:
    """The texts with unpaired surrogates replaced.

    Raises :class:`EmbeddingError` for a blank text. Servers reject it, or leave its vector out.
    """
    cleaned = [text.encode("utf-8", "replace").decode() for text in texts]
    for number, text in enumerate(cleaned, 1):
        if not text or text.isspace():
            raise EmbeddingError(
                format_lazy(
                    gettext_lazy("Embeddings: text {number} of {count} is empty."),
                    number=number,
                    count=len(cleaned),
                ),
                code="empty_text",
                remedy=_("An empty text has no meaning to search by: leave it out."),
            )
    return cleaned


def check_vectors(raw: Any, count: int, dimensions: int | None) -> Vectors:
    """The output of a model, as float32 of shape ``(count, dimensions)`` with rows of length 1.

    ``raw`` is an array or a sequence of rows; ``dimensions`` is ``None`` if unknown. Raises
    :class:`EmbeddingError` for missing vectors, another size, NaN, infinity and vectors of zeros.
    """
    import numpy as np

    if len(raw) != count:
        raise _unusable(
            gettext_lazy("Embeddings: the model gave {found} vectors for {count} texts."),
            code="half_batch",
            remedy=_("Send fewer texts at once: lower BATCH_SIZE. The server's log may say why."),
            found=len(raw),
            count=count,
        )
    if not count:
        return np.empty((0, dimensions or 0), dtype=np.float32)
    try:
        # Numbers too large for float32 become infinite, and are rejected below.
        with np.errstate(over="ignore"):
            vectors = np.asarray(raw, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise _uneven(raw, dimensions) from error
    if vectors.ndim != 2:
        raise _unusable(
            gettext_lazy("Embeddings: the model gave something other than vectors."),
            code="not_vectors",
            remedy=_("Is it an embedding model? A chat model does not make vectors."),
        )
    if vectors.shape[1] != (dimensions or vectors.shape[1]):
        raise WrongDimensions(vectors.shape[1], dimensions or 0)
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise _without_direction(vectors, lengths)
    return vectors / lengths[:, np.newaxis].astype(np.float32)


def _uneven(raw: Any, dimensions: int | None) -> EmbeddingError:
    """Rows that do not make an array: of several sizes, or not of numbers."""
    try:
        sizes = [len(row) for row in raw]
    except TypeError:
        sizes = []
    expected = dimensions or (sizes[0] if sizes else 0)
    for size in sizes:
        if size != expected:
            return WrongDimensions(size, expected)
    return _unusable(
        gettext_lazy("Embeddings: the model gave vectors with something other than numbers."),
        code="not_vectors",
        remedy=_("Look at PROVIDER and API_BASE of the connection, and at the server's log."),
    )


def _without_direction(vectors: Vectors, lengths: Any) -> EmbeddingError:
    import numpy as np

    at = int(np.argmin(np.isfinite(lengths) & (lengths > 0)))
    row = vectors[at]
    values = {"number": at + 1, "count": len(vectors)}
    if np.isfinite(row).all():
        return _unusable(
            gettext_lazy("Embeddings: the vector of text {number} of {count} has length 0."),
            code="zero_vector",
            remedy=_("The model cannot represent this text. Try another embedding model."),
            **values,
        )
    return _unusable(
        gettext_lazy(
            "Embeddings: the vector of text {number} of {count} holds “{value}”, which is no "
            "number."
        ),
        code="not_finite",
        remedy=_("The model or its quantisation is broken on this server: pull it again."),
        value="NaN" if np.isnan(row).any() else "Infinity",
        **values,
    )


def _unusable(message: Any, *, code: str, remedy: str, **values: Any) -> EmbeddingError:
    return EmbeddingError(format_lazy(message, **values), code=code, remedy=remedy)
