from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from django.conf import settings
from django.core import checks
from django.db.models import Model
from wagtail.models import AbstractPage, get_page_models

from finetune_switch import conf
from finetune_switch.index.sources import find_model, indexed_models
from finetune_switch.index.stores import REMEDY
from finetune_switch.index.stores.extension import missing_packages

LABEL_REMEDY = "Write the label as app_label.ModelName, or remove it."
FIELD_REMEDY = "Write the field as app_label.ModelName.field, or remove it."


def check_index_models(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    declared = getattr(settings, conf.SETTING, {})
    index = declared.get("INDEX") if isinstance(declared, Mapping) else None
    if not isinstance(index, Mapping):
        return []
    return [
        checks.Error(
            f'{conf.SETTING}["INDEX"]["{option}"] contains {label!r}: {fault}',
            hint=LABEL_REMEDY,
            id="finetune_switch.E011",
        )
        for option, find_fault in FAULTS.items()
        if isinstance(labels := index.get(option), list | tuple)
        for label in labels
        if (fault := _no_model(label) or find_fault(find_model(label)))
    ] + list(_unknown_fields(index.get("INCLUDE_FIELDS")))


def _unknown_fields(entries: Any) -> Iterator[checks.CheckMessage]:
    """Entries of ``INCLUDE_FIELDS`` that name no field of an indexed model or its base classes."""
    known: dict[str, type[Model]] = {}
    if entries and isinstance(entries, list | tuple):
        for model in (*get_page_models(), *indexed_models()):
            for base in model.__mro__:
                if hasattr(base, "_meta"):
                    known.setdefault(base._meta.label_lower, model)
    for entry in entries if known else ():
        label, _dot, name = str(entry).rpartition(".")
        found = known.get(label.lower())
        if found is None:
            fault, name = "no indexed model has that name. It is ignored.", ""
            candidates = {model._meta.label_lower: model._meta.label for model in known.values()}
        else:
            names = [field.name for field in found._meta.get_fields()]
            if name in names:
                continue
            fault = f"{found._meta.label} has no field {name}. It is ignored."
            candidates = {field: f"{found._meta.label}.{field}" for field in names}
        near = get_close_matches(name or label.lower(), candidates, 1)
        yield checks.Error(
            f'{conf.SETTING}["INDEX"]["INCLUDE_FIELDS"] contains {entry!r}: {fault}',
            hint=(f"Did you mean {candidates[near[0]]}? " if near else "") + FIELD_REMEDY,
            id="finetune_switch.E011",
        )


def check_store(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """PostgreSQL stores vectors only if the packages of the extra ``postgres`` are installed."""
    engine = str(settings.DATABASES.get("default", {}).get("ENGINE", ""))
    missing = missing_packages()
    if "postgis" in engine or "postgresql" in engine:
        store = (getattr(settings, conf.SETTING, {}).get("INDEX") or {}).get("STORE")
        if missing and store != "memory":
            return [
                checks.Warning(
                    f"The database is PostgreSQL, but {' and '.join(missing)} cannot be imported: "
                    "each process keeps the whole index in its own memory.",
                    hint=f'{REMEDY}, or set {conf.SETTING}["INDEX"]["STORE"] to "memory".',
                    id="finetune_switch.W008",
                )
            ]
    return []


def _no_model(label: Any) -> str:
    if isinstance(label, str) and find_model(label) is not None:
        return ""
    return "no app in INSTALLED_APPS has a model with that name. It is ignored."


def _not_indexable(model: Any) -> str:
    if issubclass(model, AbstractPage):
        return "pages are always indexed and do not belong here. It is ignored."
    return ""


def _no_page_type(model: Any) -> str:
    return "" if issubclass(model, AbstractPage) else "it is not a page type. It is ignored."


FAULTS: Mapping[str, Callable[[type[Model] | None], str]] = {
    "MODELS": _not_indexable,
    "EXCLUDE_PAGE_TYPES": _no_page_type,
}
