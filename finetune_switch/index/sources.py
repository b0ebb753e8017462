"""Which objects of the site are in the index, and what the index keeps of each beside its text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model, Q, QuerySet
from wagtail.models import (
    AbstractPage,
    DraftStateMixin,
    PageViewRestriction,
    TranslatableMixin,
)

from finetune_switch import adapters, conf
from finetune_switch.access import Asker
from finetune_switch.access.visibility import may_see, page_model, site_ids_of
from finetune_switch.models import Exclusion

BATCH = 200


@dataclass(frozen=True)
class Indexed:
    """An object that is to be in the index, with where it belongs."""

    instance: Model
    model: str
    object_id: str
    site_id: int | None
    locale_id: int | None
    path: str
    is_restricted: bool

    @property
    def key(self) -> tuple[str, str]:
        return self.model, self.object_id


class Sources:
    """Every object that is to be in the index now.

    What does not change while objects are read (restrictions, exclusions, sites) is read once.
    """

    def __init__(self) -> None:
        self._restricted = _restricted_paths()
        self._left_out_ids, self._left_out_paths = _exclusions()
        self._left_out_types = {label.lower() for label in conf.excluded_page_types()}
        self._models = indexed_models()

    @property
    def labels(self) -> set[str]:
        """The models that objects may come from, other than pages."""
        return {model._meta.label_lower for model in self._models}

    def count(self) -> int:
        return sum(queryset.count() for _model, queryset in self._querysets())

    def types(self) -> list[tuple[type[Model], int]]:
        """How many objects there are of each type."""
        counted = [(model, queryset.count()) for model, queryset in self._querysets()]
        return [(model, count) for model, count in counted if count]

    def batches(self) -> Iterator[list[Indexed]]:
        """All of them, some hundreds at a time."""
        for model, queryset in self._querysets():
            last: Any = None
            while True:
                rows = queryset.order_by("pk")
                batch = list((rows if last is None else rows.filter(pk__gt=last))[:BATCH])
                if not batch:
                    break
                last = batch[-1].pk
                if found := [item for row in batch if (item := self._indexed(model, row))]:
                    yield found

    def find(self, keys: Sequence[tuple[str, str]]) -> list[Indexed]:
        """Those of the keys (model and primary key) that are to be in the index."""
        found: list[Indexed] = []
        by_model: dict[str, list[str]] = {}
        for model, object_id in keys:
            by_model.setdefault(model, []).append(object_id)
        for model_class, queryset in self._querysets():
            if ids := by_model.get(model_class._meta.label_lower):
                rows = queryset.filter(pk__in=ids)
                found += [item for row in rows if (item := self._indexed(model_class, row))]
        return found

    def _querysets(self) -> Iterator[tuple[type[Model], QuerySet[Any]]]:
        base = page_model()
        kinds = base._default_manager.filter(self._wanted_pages()).values_list("content_type")
        for kind in ContentType.objects.filter(pk__in=kinds.distinct()).order_by("pk"):
            model = kind.model_class()
            if model is None or model._meta.label_lower in self._left_out_types:
                continue
            # Of exactly this type: a type that another one inherits from lists those as well.
            yield (
                model,
                model._default_manager.filter(self._wanted_pages(), content_type=kind),
            )
        for model in self._models:
            rows = model._default_manager.all()
            if issubclass(model, DraftStateMixin):
                rows = rows.filter(live=True)
            yield model, rows

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
            hidden = not may_see(Asker.anonymous(), row)
            return Indexed(row, label, object_id, None, locale_id, "", hidden)
        sites = site_ids_of(row)
        if not sites:
            # Nobody can reach it: it is beneath no site's root page.
            return None
        site_id = sites.pop() if len(sites) == 1 else None
        restricted = any(row.path.startswith(path) for path in self._restricted)
        return Indexed(row, label, object_id, site_id, locale_id, row.path, restricted)


def indexed_models() -> list[type[Model]]:
    """The models beside pages that are indexed: those of the settings, and of the adapters."""
    named = [apps.get_model(label) for label in conf.indexed_model_labels()]
    return list(dict.fromkeys([*named, *adapters.adapter_models()]))


def _restricted_paths() -> list[str]:
    """Where in the tree everything is private, through aliases of private pages as well."""
    guarded = PageViewRestriction.objects.exclude(restriction_type=PageViewRestriction.NONE)
    # An alias has no restrictions but its source's.
    pages = page_model()._default_manager.filter(
        pk__in=guarded.values("page_id"), alias_of__isnull=True
    )
    return list(_with_aliases(pages).values())


def _exclusions() -> tuple[list[int], list[str]]:
    """Pages that are left out by themselves, and the tree paths of those left out with all
    beneath them; an alias goes with its source."""
    rows = list(Exclusion.objects.values_list("page_id", "subtree"))
    alone = [page_id for page_id, subtree in rows if not subtree]
    whole = [page_id for page_id, subtree in rows if subtree]
    pages = page_model()._default_manager
    return (
        list(_with_aliases(pages.filter(pk__in=alone))),
        list(_with_aliases(pages.filter(pk__in=whole)).values()),
    )


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
