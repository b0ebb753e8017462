"""Our embeddings as embedding backends of wagtail-vector-index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from wagtail_vector_index.ai_utils.backends.base import BaseEmbeddingBackend, BaseEmbeddingConfig

from finetune_switch.backends.embeddings import embedded, get_embedder
from finetune_switch.backends.embeddings.base import Embedder, Vectors

# Of an embedding model whose vectors nobody has seen yet.
UNKNOWN = 0

_dimensions: dict[tuple[str, str], int] = {}
"""Of the vectors that came, by connection and model."""


class EmbeddedEmbeddingConfig(BaseEmbeddingConfig):
    @classmethod
    def _get_token_limit(cls, *, model_id: str) -> int:
        return embedded.MAX_TOKENS

    @classmethod
    def _get_embedding_output_dimensions(cls, *, model_id: str) -> int:
        return embedded.DIMENSIONS


class EmbeddedEmbeddingBackend(BaseEmbeddingBackend[EmbeddedEmbeddingConfig]):
    """Needs no service and no download. ``MODEL_ID`` is only a name."""

    config_cls = EmbeddedEmbeddingConfig

    def embed(self, inputs: Iterable[str], **kwargs: Any) -> Iterator[list[float]]:
        return iter(embedded.EmbeddedEmbedder().embed(list(inputs)).tolist())

    async def aembed(self, inputs: Iterable[str], **kwargs: Any) -> Iterator[list[float]]:
        return iter((await embedded.EmbeddedEmbedder().aembed(list(inputs))).tolist())


class SiteEmbeddingConfig(BaseEmbeddingConfig):
    """What ``FINETUNE_SWITCH["INDEX"]["EMBEDDINGS"]`` says; a ``TOKEN_LIMIT`` may be lower."""

    @classmethod
    def get_token_limit(cls, *, model_id: str, custom_value: int | None) -> int:
        most = get_embedder().max_tokens
        if custom_value is None:
            return most
        return min(most, super().get_token_limit(model_id=model_id, custom_value=custom_value))

    @classmethod
    def get_embedding_output_dimensions(cls, *, model_id: str, custom_value: int | None) -> int:
        return _known_dimensions(get_embedder()) or UNKNOWN


class SiteEmbeddingBackend(BaseEmbeddingBackend[SiteEmbeddingConfig]):
    """The embedding model of the site's own index, whichever the settings name.

    ``MODEL_ID`` is only a name. Texts are sent in the batches that the settings allow, with the
    connection's address and key. Raises :class:`~finetune_switch.exceptions.EmbeddingError`.
    """

    config_cls = SiteEmbeddingConfig

    def embed(self, inputs: Iterable[str], **kwargs: Any) -> Iterator[list[float]]:
        _refuse(kwargs)
        embedder = get_embedder()
        return _rows(embedder, embedder.embed(list(inputs)))

    async def aembed(self, inputs: Iterable[str], **kwargs: Any) -> Iterator[list[float]]:
        _refuse(kwargs)
        embedder = get_embedder()
        return _rows(embedder, await embedder.aembed(list(inputs)))

    @property
    def embedding_output_dimensions(self) -> int:
        """Where neither the settings nor an earlier vector tell, the model is asked once."""
        if not (known := _known_dimensions(get_embedder())):
            known = len(next(self.embed(["How many numbers?"])))
        return known


def _known_dimensions(embedder: Embedder) -> int | None:
    return embedder.dimensions or _dimensions.get((embedder.connection, embedder.model_name))


def _rows(embedder: Embedder, vectors: Vectors) -> Iterator[list[float]]:
    if len(vectors):
        _dimensions[embedder.connection, embedder.model_name] = vectors.shape[1]
    return iter(vectors.tolist())


def _refuse(parameters: dict[str, Any]) -> None:
    if parameters:
        raise TypeError(
            'The site\'s embedding backend takes its parameters from FINETUNE_SWITCH["INDEX"]'
            f'["EMBEDDINGS"]["PARAMETERS"], not from the call: {", ".join(parameters)}.'
        )
