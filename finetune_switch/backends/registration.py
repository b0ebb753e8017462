"""Create rows for the built-in backend, the seed backend and the adapters' aliases."""

from __future__ import annotations

import itertools
import re
from typing import Any

from django.utils.text import slugify

from finetune_switch import adapters, conf
from finetune_switch.models import ChatBackend


def synchronise_backends(using: str = "default") -> list[ChatBackend]:
    """Create or update the rows of all declared backends; returns the new rows.

    A row whose alias is no longer declared stays, because exchanges refer to it and the alias may
    return.
    """
    created = [_ensure_extractive(using)]
    if created[0] is not None:
        # Only on the first run, so that a deleted seed backend does not come back.
        created.append(_create_seed(using))
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
                _create(using, alias, kind=ChatBackend.Kind.ADAPTER, connection=alias, **values)
            )
        elif changed := [name for name, value in values.items() if getattr(row, name) != value]:
            for name in changed:
                setattr(row, name, values[name])
            row.save(using=using, update_fields=[*changed, "updated_at"])
    return [row for row in created if row is not None]


def _stem(wanted: str) -> str:
    return slugify(re.sub(r"[.:/]", "-", wanted))[:90] or "backend"


def free_alias(wanted: str, using: str = "default") -> str:
    """A free alias: the wanted one, or the first free one with a number."""
    stem = _stem(wanted)
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
    return _create(
        using,
        row.alias,
        kind=row.kind,
        connection=row.connection,
        label=row.label,
        system_prompt=row.system_prompt,
    )


def _create_seed(using: str) -> ChatBackend | None:
    seed = conf.seed_backend()
    if seed is None or ChatBackend.objects.using(using).editable().exists():
        return None
    label = seed.get("LABEL") or seed["MODEL_NAME"]
    return _create(
        using,
        seed.get("ALIAS") or label,
        kind=ChatBackend.Kind.CONNECTION,
        connection=seed["CONNECTION"],
        model_name=seed["MODEL_NAME"],
        label=label,
        context_window=seed.get("CONTEXT_WINDOW") or 4096,
    )


def _create(using: str, wanted: str, **values: Any) -> ChatBackend | None:
    """The new row; ``None`` if another process has created it.

    Aliases are unique and every process tries the same ones in the same order, so a process finds
    the row of another one.
    """
    stem = _stem(wanted)
    for number in itertools.count(1):
        row, is_new = ChatBackend.objects.using(using).get_or_create(
            alias=stem if number == 1 else f"{stem}-{number}", defaults=values
        )
        if is_new:
            return row
        if (row.kind, row.connection) == (values["kind"], values["connection"]):
            return None
    raise AssertionError("unreachable")
