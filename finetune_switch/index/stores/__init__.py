"""Stores that search the vectors of the index."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING

from django.core.exceptions import ImproperlyConfigured

from finetune_switch import conf

from .extension import is_supported, missing_packages

if TYPE_CHECKING:
    from .base import VectorStore

logger = logging.getLogger("finetune_switch.index")

STORES = ("memory", "pgvector")
REMEDY = 'Run: pip install "wagtail-finetune-switch[postgres]"'


def get_store(using: str = "default", *, store: str | None = None) -> VectorStore:
    """Return the store with this name, or the one in the settings.

    Without either, it is pgvector if the database supports it, and the memory store otherwise.
    Raises ``ImproperlyConfigured`` for an unknown name.
    """
    name = store if store is not None else conf.index_store()
    if name is None:
        name = "pgvector" if is_supported(using) else "memory"
    elif name == "pgvector" and missing_packages():
        _log_fallback()
        name = "memory"
    if name == "pgvector":
        from .pgvector import PgvectorStore

        return PgvectorStore(using)
    if name == "memory":
        from .memory import MemoryStore

        return MemoryStore()
    raise ImproperlyConfigured(
        f'FINETUNE_SWITCH["INDEX"]["STORE"] must be one of {", ".join(STORES)}, not {name!r}.'
    )


@cache
def _log_fallback() -> None:
    logger.warning(
        "The packages of the pgvector store are not installed: the memory store is used. %s", REMEDY
    )
