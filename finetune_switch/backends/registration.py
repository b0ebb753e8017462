"""Rows for what the settings declare: the built-in backend, the seed, and the adapters' aliases."""

from __future__ import annotations

import itertools
import re
from typing import Any

from django.utils.text import slugify

from finetune_switch import adapters, conf
from finetune_switch.models import ChatBackend


def synchronise_backends(using: str = "default") -> list[ChatBackend]:
    """Give everything that the settings declare its row; returns the rows that are new.

    A row whose alias has left the settings stays, since exchanges point to it and it may come
    back; it is shown as gone.
    """
    created = [_ensure_extractive(using)]
    if created[0] is not None:
        # At the very first time only: who deletes the seed's row does not want it back.
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
    """The alias that is wanted, or the first one like it that no row has."""
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
    """The new row; ``None`` where another process has made it meanwhile.

    Aliases are unique, and every process tries the same ones in the same order, so each finds the
    row that another has made.
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
