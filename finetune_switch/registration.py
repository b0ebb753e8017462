"""Rows for what the settings declare: the built-in backend, the seed, and the adapters' aliases."""

from __future__ import annotations

import re

from django.utils.text import slugify

from . import adapters, conf
from .models import ChatBackend


def synchronise_backends(using: str = "default") -> list[ChatBackend]:
    """Give everything that the settings declare its row; returns the rows that are new.

    A row whose alias has left the settings stays, since exchanges point to it and it may come
    back; it is shown as gone.
    """
    created = [_ensure_extractive(using), _ensure_seed(using)]
    known = {
        row.connection: row
        for row in ChatBackend.objects.using(using).filter(kind=ChatBackend.Kind.ADAPTER)
    }
    for alias, declared in adapters.declared_backends().items():
        values = {
            "label": declared.label,
            "model_name": declared.model_name,
            "context_window": declared.context_window or 4096,
        }
        row = known.get(alias)
        if row is None:
            created.append(
                _create(using, kind=ChatBackend.Kind.ADAPTER, connection=alias, **values)
            )
        elif changed := [name for name, value in values.items() if getattr(row, name) != value]:
            for name in changed:
                setattr(row, name, values[name])
            row.save(using=using, update_fields=[*changed, "updated_at"])
    return [row for row in created if row is not None]


def free_alias(wanted: str, using: str = "default") -> str:
    """The alias that is wanted, or the first one like it that no row has."""
    stem = slugify(re.sub(r"[.:/]", "-", wanted))[:90] or "backend"
    taken = set(
        ChatBackend.objects.using(using)
        .filter(alias__startswith=stem)
        .values_list("alias", flat=True)
    )
    if stem not in taken:
        return stem
    number = 2
    while f"{stem}-{number}" in taken:
        number += 1
    return f"{stem}-{number}"


def _ensure_extractive(using: str) -> ChatBackend | None:
    if ChatBackend.objects.using(using).filter(kind=ChatBackend.Kind.EXTRACTIVE).exists():
        return None
    row = ChatBackend.extractive()
    row.alias = free_alias(row.alias, using)
    row.save(using=using)
    return row


def _ensure_seed(using: str) -> ChatBackend | None:
    seed = conf.seed_backend()
    if seed is None or ChatBackend.objects.using(using).editable().exists():
        return None
    return _create(
        using,
        kind=ChatBackend.Kind.CONNECTION,
        connection=seed["CONNECTION"],
        model_name=seed["MODEL_NAME"],
        label=seed.get("LABEL") or seed["MODEL_NAME"],
        context_window=seed.get("CONTEXT_WINDOW") or 4096,
        alias=seed.get("ALIAS"),
    )


def _create(using: str, **values: object) -> ChatBackend:
    is_adapter = values["kind"] == ChatBackend.Kind.ADAPTER
    name = values.pop("alias", None) or values["connection" if is_adapter else "label"]
    row = ChatBackend(alias=free_alias(str(name), using), **values)
    row.save(using=using)
    return row
