"""Errors of single objects, which must not fail a search."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from django.db import InterfaceError, OperationalError
from django.db.models import Model

logger = logging.getLogger("finetune_switch.retrieval")

# Errors of the database are not errors of one object.
FATAL = (InterfaceError, OperationalError)
_MAX_LOGGED = 10_000

_METHODS = ("__str__", "get_absolute_url", "get_url", "get_url_parts")

_logged: set[Hashable] = set()
_collected: ContextVar[dict[tuple[str, str], str] | None] = ContextVar(
    "finetune_switch_faults", default=None
)


@contextmanager
def collecting() -> Iterator[dict[tuple[str, str], str]]:
    """Collect the faults that are reported in this context, by model label and primary key."""
    faults: dict[tuple[str, str], str] = {}
    token = _collected.set(faults)
    try:
        yield faults
    finally:
        _collected.reset(token)


def report(instance: Model, fault: str, error: Exception) -> None:
    """Log the fault of an object, once in each process for the same methods."""
    label, pk = instance._meta.label, str(instance.pk)
    if (faults := _collected.get()) is not None:
        faults[label, pk] = f"{fault} ({type(error).__name__}: {error})"
    methods = tuple(getattr(type(instance), name, None) for name in _METHODS)
    key = (label, pk, fault, methods)
    if key not in _logged and len(_logged) < _MAX_LOGGED:
        _logged.add(key)
        logger.warning("%s %s %s", label, pk, fault, exc_info=error)
