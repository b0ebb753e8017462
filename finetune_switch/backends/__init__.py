"""Chat backends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finetune_switch import adapters
from finetune_switch.connections import get_connection
from finetune_switch.exceptions import ConnectionNotConfigured

from .base import BackendConfig, BaseChatBackend

if TYPE_CHECKING:
    from finetune_switch.models import ChatBackend

__all__ = ["BackendConfig", "BaseChatBackend", "backend_config", "get_backend"]


def get_backend(row: ChatBackend) -> BaseChatBackend:
    """Make the chat backend of a row.

    Raises :class:`~finetune_switch.exceptions.ConnectionNotConfigured` if the settings no longer
    declare its connection or alias. There is no fallback: no other model than the chosen one may
    answer.
    """
    if row.kind == row.Kind.EXTRACTIVE:
        from .extractive import ExtractiveChatBackend

        return ExtractiveChatBackend(backend_config(row))
    if row.kind == row.Kind.ADAPTER:
        backend = adapters.build_backend(row.connection, backend_config(row))
        if backend is None:
            raise ConnectionNotConfigured(row.unavailable_reason, code="misconfigured")
        return backend
    from .litellm import LiteLLMChatBackend

    return LiteLLMChatBackend(backend_config(row))


def backend_config(row: ChatBackend) -> BackendConfig:
    """The configuration of a row. Raises ``ConnectionNotConfigured``."""
    connection = None
    if row.kind == row.Kind.CONNECTION:
        connection = get_connection(row.connection)
    return BackendConfig(
        alias=row.alias,
        label=row.label,
        model_name=row.model_name,
        connection=connection,
        parameters=row.parameters or {},
        deadlines=row.deadlines,
        context_window=None if row.kind == row.Kind.EXTRACTIVE else row.context_window,
    )
