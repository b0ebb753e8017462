"""Where the vectors of the index are searched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured

from finetune_switch import conf

from .extension import is_supported

if TYPE_CHECKING:
    from .base import VectorStore

__all__ = ["STORES", "get_store"]

STORES = ("memory", "pgvector")


def get_store(
    using: str = "default", *, store: str | None = None, options: Mapping[str, Any] | None = None
) -> VectorStore:
    """The store of that name, else of the settings, else the one that fits the database.

    That is pgvector on a PostgreSQL that has it, and the memory of each process anywhere else.
    Raises ``ImproperlyConfigured`` where there is no such store or it does not know an option.
    """
    name = store if store is not None else conf.index_store()
    values = options or {}
    if name is None:
        name = "pgvector" if is_supported(using) else "memory"
    if name == "pgvector":
        from .pgvector import PgvectorStore

        return PgvectorStore(values, using)
    if name == "memory":
        from .memory import MemoryStore

        return MemoryStore(values)
    raise ImproperlyConfigured(
        f'FINETUNE_SWITCH["INDEX"]["STORE"] must be one of {", ".join(STORES)}, not {name!r}.'
    )
