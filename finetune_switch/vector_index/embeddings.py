"""Our embeddings as embedding backends of wagtail-vector-index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from wagtail_vector_index.ai_utils.backends.base import BaseEmbeddingBackend, BaseEmbeddingConfig

from finetune_switch.backends.embeddings import chosen_model, get_embedder
from finetune_switch.backends.embeddings.base import Embedder, Vectors
from finetune_switch.backends.embeddings.embedded import EmbeddedEmbedder

UNKNOWN_DIMENSIONS = 0

# Seen in the vectors of a model, by connection and model name.
_dimensions: dict[tuple[str, str], int] = {}


class EmbeddedEmbeddingConfig(BaseEmbeddingConfig):
    @classmethod
    def _get_token_limit(cls, *, model_id: str) -> int:
        return chosen_model().max_tokens

    @classmethod
    def _get_embedding_output_dimensions(cls, *, model_id: str) -> int:
        return chosen_model().dimensions


class EmbeddedEmbeddingBackend(BaseEmbeddingBackend[EmbeddedEmbeddingConfig]):
    """The embedding model of this package, which needs no service and no download.

    ``MODEL_ID`` is ignored: the model is that of ``FINETUNE_SWITCH["INDEX"]["EMBEDDINGS"]``.
    """

    config_cls = EmbeddedEmbeddingConfig

    def embed(self, inputs: Iterable[str], **kwargs: Any) -> Iterator[list[float]]:
        return iter(EmbeddedEmbedder(chosen_model()).embed(list(inputs)).tolist())

    async def aembed(self, inputs: Iterable[str], **kwargs: Any) -> Iterator[list[float]]:
        return iter((await EmbeddedEmbedder(chosen_model()).aembed(list(inputs))).tolist())


class SiteEmbeddingConfig(BaseEmbeddingConfig):
    """Configured by ``FINETUNE_SWITCH["INDEX"]["EMBEDDINGS"]``. ``TOKEN_LIMIT`` can be lower."""

    @classmethod
    def get_token_limit(cls, *, model_id: str, custom_value: int | None) -> int:
        limit = get_embedder().max_tokens
        if custom_value is None:
            return limit
        return min(limit, super().get_token_limit(model_id=model_id, custom_value=custom_value))

    @classmethod
    def get_embedding_output_dimensions(cls, *, model_id: str, custom_value: int | None) -> int:
        return _known_dimensions(get_embedder()) or UNKNOWN_DIMENSIONS


class SiteEmbeddingBackend(BaseEmbeddingBackend[SiteEmbeddingConfig]):
    """The embedding model of the site's own index.

    ``MODEL_ID`` is ignored. Batch size, address and key come from ``FINETUNE_SWITCH``. Raises
    :class:`~finetune_switch.exceptions.EmbeddingError`.
    """

    config_cls = SiteEmbeddingConfig

    def embed(self, inputs: Iterable[str], **kwargs: Any) -> Iterator[list[float]]:
        _reject_parameters(kwargs)
        embedder = get_embedder()
        return _rows(embedder, embedder.embed(list(inputs)))

    async def aembed(self, inputs: Iterable[str], **kwargs: Any) -> Iterator[list[float]]:
        _reject_parameters(kwargs)
        embedder = get_embedder()
        return _rows(embedder, await embedder.aembed(list(inputs)))

    @property
    def embedding_output_dimensions(self) -> int:
        """From the settings or an earlier vector; otherwise a short text is embedded once."""
        if not (known := _known_dimensions(get_embedder())):
            known = len(next(self.embed(["How many numbers?"])))
        return known


def _known_dimensions(embedder: Embedder) -> int | None:
    return embedder.dimensions or _dimensions.get((embedder.connection, embedder.model_name))


def _rows(embedder: Embedder, vectors: Vectors) -> Iterator[list[float]]:
    if len(vectors):
        _dimensions[embedder.connection, embedder.model_name] = vectors.shape[1]
    return iter(vectors.tolist())


def _reject_parameters(parameters: dict[str, Any]) -> None:
    if parameters:
        raise TypeError(
            'The site\'s embedding backend takes its parameters from FINETUNE_SWITCH["INDEX"]'
            f'["EMBEDDINGS"]["PARAMETERS"], not from the call: {", ".join(parameters)}.'
        )
