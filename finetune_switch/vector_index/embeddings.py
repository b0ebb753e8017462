"""In-process embeddings as an embedding backend of wagtail-vector-index."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any

from wagtail_vector_index.ai_utils.backends.base import BaseEmbeddingBackend, BaseEmbeddingConfig

from ..embeddings import embedded


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
        return iter(embedded.embed(inputs))

    async def aembed(self, inputs: Iterable[str], **kwargs: Any) -> Iterator[list[float]]:
        return iter(await asyncio.to_thread(embedded.embed, list(inputs)))
