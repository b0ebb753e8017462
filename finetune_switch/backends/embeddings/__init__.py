"""Embedding models."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, connections
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from wagtail.coreutils import get_content_languages

from finetune_switch import conf
from finetune_switch.connections import get_connection
from finetune_switch.exceptions import ConnectionNotConfigured, EmbeddingError
from finetune_switch.models import EmbeddingSpace

from .embedded import (
    BY_OPTION,
    EMBEDDED_MODELS,
    EmbeddedEmbedder,
    EmbeddedModel,
    model_for,
    primary,
)

if TYPE_CHECKING:
    from .base import Embedder

__all__ = [
    "chosen_model",
    "get_embedder",
    "model_of_index",
    "same_space",
    "unsupported_languages",
]


def get_embedder(space: EmbeddingSpace | None = None) -> Embedder:
    """The embedder of a space or, without one, of the settings.

    Raises :class:`~finetune_switch.exceptions.EmbeddingError` if the settings no longer declare its
    connection, or the model no longer comes with this package. There is no fallback: vectors of
    different models cannot be compared.
    """
    wanted = conf.embedding_settings()
    if space is None:
        return EmbeddedEmbedder(chosen_model()) if wanted is None else _on_server(wanted)
    if not space.connection:
        model = EMBEDDED_MODELS.get(space.model_name)
        if model is not None and model.dimensions == space.dimensions:
            return EmbeddedEmbedder(model)
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
    return _on_server(wanted, expected=space.dimensions)


def chosen_model() -> EmbeddedModel:
    """The model of this package that the settings name.

    ``auto`` is the model of the index. Without an index, it is chosen by the languages of the
    site's content: a site that gets another language later keeps its model until somebody decides.
    """
    if model := BY_OPTION.get(conf.embedded_model()):
        return model
    return model_of_index() or model_for(get_content_languages())


def model_of_index() -> EmbeddedModel | None:
    """The model of this package that the index, or one that is being built, is made with."""
    spaces = EmbeddingSpace.objects.filter(connection="", model_name__in=EMBEDDED_MODELS)
    names = spaces.order_by("-is_active", "-pk").values_list("model_name", flat=True)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        name = _first(names)
    else:
        # wagtail-vector-index makes its backends on the event loop, where Django allows no query.
        with ThreadPoolExecutor(1) as pool:
            name = pool.submit(_first, names, close=True).result()
    return EMBEDDED_MODELS[name] if name else None


def _first(names: QuerySet[Any, str], *, close: bool = False) -> str | None:
    try:
        return names.first()
    except DatabaseError:
        # Nothing is migrated yet.
        return None
    finally:
        if close:
            connections[names.db].close()


def unsupported_languages(model: EmbeddedModel, languages: Iterable[str]) -> list[str]:
    """Those of these language codes that the model was not trained on."""
    return [code for code in languages if primary(code) not in model.languages]


def same_space(embedder: Embedder, space: EmbeddingSpace) -> bool:
    """Whether the embedder's vectors may be compared with those of the space."""
    return (
        embedder.connection == space.connection
        and embedder.model_name == space.model_name
        and embedder.dimensions in (None, space.dimensions)
    )


def _on_server(wanted: conf.EmbeddingSettings, *, expected: int | None = None) -> Embedder:
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
