"""The part of the site's own index that belongs to an index of wagtail-vector-index."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from typing import Any

from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ImproperlyConfigured
from django.db import NotSupportedError
from django.db.models import Model, Q, QuerySet
from django.db.models.lookups import Exact
from django.db.models.sql.where import WhereNode
from django.utils.text import capfirst
from wagtail.models import AbstractPage

from finetune_switch.access.visibility import group_ids
from finetune_switch.index.writing import Key

# Parts with at most this many objects and chunks are searched exactly, without the store.
EXACT_SEARCH_LIMIT = 1_000


class Part:
    """The objects of some querysets, mapped to documents of the site's own index.

    The querysets are evaluated for each search, so that objects that no longer match are not found.
    """

    def __init__(self, querysets: Iterable[Any]) -> None:
        # Accepts managers too, and drops cached results.
        self.querysets: list[QuerySet[Any]] = [queryset.all() for queryset in querysets]
        self._labels = [labels_of(queryset.model) for queryset in self.querysets]

    @classmethod
    def of(cls, index: Any) -> Part:
        """The part of an index. Raises ``ImproperlyConfigured`` if it has no querysets."""
        querysets = getattr(index, "querysets", None)
        # This filters pages by live(), which fails for slices and unions.
        with suppress(AttributeError, TypeError, NotSupportedError):
            querysets = index._get_querysets()
        if querysets is None:
            raise ImproperlyConfigured(
                f'The index "{type(index).__name__}" has no querysets. The storage provider '
                "finetune_switch.vector_index.storage.SiteStorageProvider keeps objects of models: "
                "give the index another one by its storage_provider_alias."
            )
        return cls(querysets)

    @property
    def models(self) -> list[type[Model]]:
        return list(dict.fromkeys(queryset.model for queryset in self.querysets))

    @property
    def labels(self) -> set[str]:
        return set().union(*self._labels)

    def keys(self) -> Iterator[Key]:
        """The keys of all objects, with their most specific type."""
        for queryset in self.querysets:
            model = queryset.model
            if issubclass(model, AbstractPage):
                for pk, kind in queryset.values_list("pk", "content_type_id"):
                    yield _label(kind), str(pk)
            else:
                for pk in queryset.values_list("pk", flat=True):
                    yield model._meta.label_lower, str(pk)

    def documents(self) -> Q | None:
        """A filter for the part's documents; ``None`` if it would list too many objects."""
        wanted = Q(pk__in=[])
        for queryset, labels in zip(self.querysets, self._labels, strict=True):
            of_type = Q(document__model__in=labels)
            if is_filtered(queryset):
                pks = list(queryset.values_list("pk", flat=True)[: EXACT_SEARCH_LIMIT + 1])
                if len(pks) > EXACT_SEARCH_LIMIT:
                    return None
                of_type &= Q(document__object_id__in=list(map(str, pks)))
            wanted |= of_type
        return wanted

    def only(self, keys: Collection[Key]) -> set[Key]:
        """The keys that belong to the part."""
        found: set[Key] = set()
        for queryset, labels in zip(self.querysets, self._labels, strict=True):
            asked = {key for key in keys if key[0] in labels and key not in found}
            if asked and is_filtered(queryset):
                there = _keys_in(queryset, {object_id for _label, object_id in asked})
                asked = {key for key in asked if key[1] in there}
            found |= asked
        return found

    def fetch(self, keys: Iterable[Key]) -> list[Model]:
        """The existing objects with these keys, in order, as instances of the querysets' models."""
        wanted = list(keys)
        rows: dict[Key, Model] = {}
        for label, ids in group_ids(wanted).items():
            for model, labels in zip(
                (queryset.model for queryset in self.querysets), self._labels, strict=True
            ):
                if label in labels:
                    found = model._default_manager.filter(pk__in=ids)
                    rows |= {(label, str(row.pk)): row for row in found}
                    break
        return [rows[key] for key in wanted if key in rows]


def label_of(index: Any) -> str:
    """The plural names of an index's models, such as "Stories" or "Article pages"."""
    models = dict.fromkeys(queryset.model for queryset in getattr(index, "querysets", ()))
    return capfirst(", ".join(str(model._meta.verbose_name_plural) for model in models))


def labels_of(model: type[Model]) -> set[str]:
    """The labels of a model and its subclasses."""
    return {known._meta.label_lower for known in apps.get_models() if issubclass(known, model)}


def document_key(instance: Model) -> Key:
    """The key of an object in the site's own index."""
    if isinstance(instance, AbstractPage):
        model = instance.specific_class or type(instance)
        return model._meta.label_lower, str(instance.pk)
    return instance._meta.label_lower, str(instance.pk)


def is_filtered(queryset: QuerySet[Any]) -> bool:
    """Whether the queryset excludes any live object of its model."""
    return _cannot_be_filtered(queryset) or not _only_filters_live(queryset.query.where)


def _cannot_be_filtered(queryset: QuerySet[Any]) -> bool:
    query = queryset.query
    return bool(query.is_sliced or query.combinator or query.distinct_fields)


def _only_filters_live(where: WhereNode) -> bool:
    """Whether the only conditions are ``live=True``, which our index requires as well."""
    if where.negated or where.connector != "AND":
        return not where.children
    return all(
        _only_filters_live(child)
        if isinstance(child, WhereNode)
        else isinstance(child, Exact)
        and getattr(getattr(child.lhs, "target", None), "name", "") == "live"
        and child.rhs is True
        for child in where.children
    )


def _keys_in(queryset: QuerySet[Any], ids: Collection[str]) -> set[str]:
    if not _cannot_be_filtered(queryset):
        queryset = queryset.filter(pk__in=ids)
    return {str(pk) for pk in queryset.values_list("pk", flat=True)}


def _label(content_type_id: int) -> str:
    kind = ContentType.objects.get_for_id(content_type_id)
    return f"{kind.app_label}.{kind.model}"
