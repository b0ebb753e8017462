"""The indexed objects and their places in the site."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, TypeAlias, TypeVar

from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model, Q, QuerySet
from wagtail.models import (
    AbstractPage,
    DraftStateMixin,
    PageViewRestriction,
    Site,
    TranslatableMixin,
)

from finetune_switch import adapters, conf
from finetune_switch.access import Asker
from finetune_switch.access.visibility import (
    group_ids,
    may_see,
    object_site_ids,
    page_model,
    site_ids_of,
)
from finetune_switch.models import Exclusion

logger = logging.getLogger("finetune_switch.index")

BATCH = 50
PLACE = ("site_id", "locale_id", "path", "is_restricted")

Key: TypeAlias = tuple[str, str]
"""The lower-case label of an object's model, and its primary key as a string."""


@dataclass(frozen=True)
class Indexed:
    """An indexed object and its place in the site."""

    instance: Model
    model: str
    object_id: str
    site_id: int | None
    locale_id: int | None
    path: str
    is_restricted: bool

    @property
    def key(self) -> Key:
        return self.model, self.object_id

    @property
    def place(self) -> dict[str, Any]:
        """The columns of its document that do not depend on the text."""
        return {name: getattr(self, name) for name in PLACE}


T = TypeVar("T")


def batched(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


class Sources:
    """The indexed objects.

    Restrictions, exclusions and settings are read by the constructor.
    """

    def __init__(self) -> None:
        self._restricted = _restricted_paths()
        self._left_out_ids, self._left_out_paths = _exclusions()
        self._left_out_types = left_out_types()
        self._models = indexed_models()

    @cached_property
    def _sites(self) -> dict[int, Site]:
        return Site.objects.in_bulk()

    @property
    def labels(self) -> set[str]:
        """Labels of the indexed models other than pages."""
        return {model._meta.label_lower for model in self._models}

    def count(self) -> int:
        return sum(count for _model, count in self.types())

    def types(self) -> list[tuple[type[Model], int]]:
        """The number of objects of each type, without types that have none."""
        counted = [(model, queryset.count()) for model, queryset in self._querysets()]
        return [(model, count) for model, count in counted if count]

    def key_batches(self) -> Iterator[list[Key]]:
        """The keys of all objects, at most ``BATCH`` at a time."""
        for model, queryset in self._querysets():
            pks = queryset.order_by("pk").values_list("pk", flat=True)
            batch = list(pks[:BATCH])
            while batch:
                yield [(model._meta.label_lower, str(pk)) for pk in batch]
                batch = list(pks.filter(pk__gt=batch[-1])[:BATCH])

    def batches(self) -> Iterator[list[Indexed]]:
        """All objects, at most ``BATCH`` at a time."""
        for keys in self.key_batches():
            if found := self.find(keys):
                yield found

    def find(self, keys: Iterable[Key]) -> list[Indexed]:
        """The indexed objects with these keys."""
        found: list[Indexed] = []
        for label, ids in group_ids(keys).items():
            model = find_model(label)
            queryset = None if model is None else self._queryset(model)
            if model is not None and queryset is not None:
                rows = queryset.filter(pk__in=ids).order_by("pk")
                found += [item for row in rows if (item := self._indexed(model, row))]
        return found

    def _querysets(self) -> Iterator[tuple[type[Model], QuerySet[Any]]]:
        kinds = page_model()._default_manager.filter(self._wanted_pages()).values("content_type")
        page_types = ContentType.objects.filter(pk__in=kinds).order_by("pk")
        for model in [*(kind.model_class() for kind in page_types), *self._models]:
            if model is not None and (queryset := self._queryset(model)) is not None:
                yield model, queryset

    def _queryset(self, model: type[Model]) -> QuerySet[Any] | None:
        if issubclass(model, AbstractPage):
            if model._meta.label_lower in self._left_out_types:
                return None
            # The manager also returns pages of subclasses.
            kind = ContentType.objects.get_for_model(model)
            return model._default_manager.filter(self._wanted_pages(), content_type=kind)
        if model not in self._models:
            return None
        rows = model._default_manager.all()
        return rows.filter(live=True) if issubclass(model, DraftStateMixin) else rows

    def _wanted_pages(self) -> Q:
        wanted = Q(live=True, depth__gt=1)
        if self._left_out_ids:
            wanted &= ~Q(pk__in=self._left_out_ids)
        for path in self._left_out_paths:
            wanted &= ~Q(path__startswith=path)
        return wanted

    def _indexed(self, model: type[Model], row: Any) -> Indexed | None:
        label, object_id = model._meta.label_lower, str(row.pk)
        locale_id = row.locale_id if isinstance(row, TranslatableMixin) else None
        if not isinstance(row, AbstractPage):
            ids = object_site_ids(row)
            # Those of several sites are checked when they are found.
            site = self._sites.get(*ids) if ids and len(ids) == 1 else None
            hidden = not may_see(Asker.anonymous(), row, site=site)
            site_id = site.pk if site is not None else None
            return Indexed(row, label, object_id, site_id, locale_id, "", hidden)
        sites = site_ids_of(row)
        if not sites:
            # The page is not in the tree of a site, so it has no URL.
            return None
        site_id = sites.pop() if len(sites) == 1 else None
        restricted = any(row.path.startswith(path) for path in self._restricted)
        return Indexed(row, label, object_id, site_id, locale_id, row.path, restricted)


def indexed_models() -> list[type[Model]]:
    """The indexed models other than pages, from the settings and from adapters.

    Invalid labels in the settings are logged once and skipped.
    """
    named = [model for label in conf.indexed_model_labels() if (model := _named_model(str(label)))]
    return list(dict.fromkeys([*named, *adapters.adapter_models()]))


def left_out_types() -> set[str]:
    """Labels of the page types that the settings exclude."""
    return {str(label).lower() for label in conf.excluded_page_types()}


def find_model(label: str) -> type[Model] | None:
    """The model with this label; ``None`` if no installed app has it."""
    try:
        return apps.get_model(label)
    except (LookupError, ValueError):
        return None


@lru_cache
def _named_model(label: str) -> type[Model] | None:
    model = find_model(label)
    if model is None or issubclass(model, AbstractPage):
        logger.error(
            'FINETUNE_SWITCH["INDEX"]["MODELS"] names "%s", which is not a model that can be '
            "indexed. It is ignored. manage.py check says more.",
            label,
        )
        return None
    return model


def _restricted_paths() -> list[str]:
    """Tree paths of private pages and their aliases. Descendants are private as well."""
    guarded = PageViewRestriction.objects.exclude(restriction_type=PageViewRestriction.NONE)
    # The restrictions of an alias are those of its source.
    pages = page_model()._default_manager.filter(
        pk__in=guarded.values("page_id"), alias_of__isnull=True
    )
    return list(_with_aliases(pages).values())


def _exclusions() -> tuple[list[int], list[str]]:
    """Primary keys of excluded pages, and tree paths of pages excluded with their subtree.

    Aliases are excluded with their sources.
    """
    pages = page_model()._default_manager
    single, whole = (
        _with_aliases(
            pages.filter(pk__in=Exclusion.objects.filter(subtree=subtree).values("page_id"))
        )
        for subtree in (False, True)
    )
    return list(single), list(whole.values())


def _with_aliases(pages: QuerySet[Any]) -> dict[int, str]:
    """Tree paths of these pages and of all their aliases, by primary key."""
    found = dict(pages.values_list("pk", "path"))
    latest = set(found)
    while latest:
        aliases = page_model()._default_manager.filter(alias_of__in=latest)
        paths = dict(aliases.values_list("pk", "path"))
        latest = set(paths) - set(found)
        found.update(paths)
    return found
