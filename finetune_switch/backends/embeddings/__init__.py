"""Embedding models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from finetune_switch import conf
from finetune_switch.connections import get_connection
from finetune_switch.exceptions import ConnectionNotConfigured, EmbeddingError

if TYPE_CHECKING:
    from finetune_switch.models import EmbeddingSpace

    from .base import Embedder

__all__ = ["get_embedder", "same_space"]


def get_embedder(space: EmbeddingSpace | None = None) -> Embedder:
    """The embedder of a space or, without one, of the settings.

    Raises :class:`~finetune_switch.exceptions.EmbeddingError` if the settings no longer declare its
    connection. There is no fallback: vectors of different models cannot be compared.
    """
    wanted = conf.embedding_settings()
    if space is None:
        return _build(wanted)
    if not space.connection:
        embedder = _build(None)
        if same_space(embedder, space):
            return embedder
        raise EmbeddingError(
            gettext_lazy("Embeddings: the model that this index was made with is gone."),
            code="misconfigured",
            remedy=_('Rebuild the index: "%s" no longer comes with this package.')
            % space.model_name,
        )
    if wanted is None or (wanted.connection, wanted.model_name) != (
        space.connection,
        space.model_name,
    ):
        wanted = conf.EmbeddingSettings(space.connection, space.model_name)
    return _build(wanted, expected=space.dimensions)


def same_space(embedder: Embedder, space: EmbeddingSpace) -> bool:
    """Whether the embedder's vectors may be compared with those of the space."""
    return (
        embedder.connection == space.connection
        and embedder.model_name == space.model_name
        and embedder.dimensions in (None, space.dimensions)
    )


def _build(wanted: conf.EmbeddingSettings | None, *, expected: int | None = None) -> Embedder:
    if wanted is None:
        from .embedded import EmbeddedEmbedder

        return EmbeddedEmbedder()
    from .litellm import LiteLLMEmbedder

    try:
        connection = get_connection(wanted.connection)
    except ConnectionNotConfigured as error:
        raise EmbeddingError(
            gettext_lazy("Embeddings: the connection of the embedding model is not configured."),
            code=error.code,
            remedy=_(
                'Declare FINETUNE_SWITCH["CONNECTIONS"]["%(alias)s"] in the settings, or choose '
                "another embedding model there and rebuild the index."
            )
            % {"alias": wanted.connection},
        ) from error
    return LiteLLMEmbedder(
        connection,
        wanted.model_name,
        # The size of the index's vectors takes precedence over the setting.
        dimensions=wanted.dimensions if expected in (None, wanted.dimensions) else None,
        expected=expected,
        batch_size=wanted.batch_size,
        max_tokens=wanted.max_tokens,
        parameters=wanted.parameters,
    )
