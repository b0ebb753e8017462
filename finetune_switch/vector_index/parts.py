"""Which objects of the site's own index belong to an index of wagtail-vector-index."""

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

# A part of so few objects, or of so few chunks, is searched exactly, without the store.
FEW = 1_000


class Part:
    """The objects of some querysets, as documents of the site's own index know them.

    A queryset is asked when a question is: what has left it since is not found any more.
    """

    def __init__(self, querysets: Iterable[Any]) -> None:
        # A manager is as good as a queryset, and comes without a result that it remembers.
        self.querysets: list[QuerySet[Any]] = [queryset.all() for queryset in querysets]
        self._labels = [labels_of(queryset.model) for queryset in self.querysets]

    @classmethod
    def of(cls, index: Any) -> Part:
        """That of an index. Raises ``ImproperlyConfigured`` where it has no querysets."""
        querysets = getattr(index, "querysets", None)
        # Of pages it gives the live ones, but a slice or a union cannot be filtered any further.
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
        """The types of its objects."""
        return set().union(*self._labels)

    def keys(self) -> Iterator[Key]:
        """All of its objects, of their most specific type."""
        for queryset in self.querysets:
            model = queryset.model
            if issubclass(model, AbstractPage):
                for pk, kind in queryset.values_list("pk", "content_type_id"):
                    yield _label(kind), str(pk)
            else:
                for pk in queryset.values_list("pk", flat=True):
                    yield model._meta.label_lower, str(pk)

    def documents(self) -> Q | None:
        """What documents have to be for it; ``None`` where that would name too many of them."""
        wanted = Q(pk__in=[])
        for queryset, labels in zip(self.querysets, self._labels, strict=True):
            of_type = Q(document__model__in=labels)
            if is_narrow(queryset):
                pks = list(queryset.values_list("pk", flat=True)[: FEW + 1])
                if len(pks) > FEW:
                    return None
                of_type &= Q(document__object_id__in=list(map(str, pks)))
            wanted |= of_type
        return wanted

    def only(self, keys: Collection[Key]) -> set[Key]:
        """Those of the keys that belong to it."""
        found: set[Key] = set()
        for queryset, labels in zip(self.querysets, self._labels, strict=True):
            asked = {key for key in keys if key[0] in labels and key not in found}
            if asked and is_narrow(queryset):
                there = _among(queryset, {object_id for _label, object_id in asked})
                asked = {key for key in asked if key[1] in there}
            found |= asked
        return found

    def fetch(self, keys: Iterable[Key]) -> list[Model]:
        """The objects of these keys in their order, of the querysets' models; without any gone."""
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
    """What an index holds, in the words of its models: "Stories", "Article pages"."""
    models = dict.fromkeys(queryset.model for queryset in getattr(index, "querysets", ()))
    return capfirst(", ".join(str(model._meta.verbose_name_plural) for model in models))


def labels_of(model: type[Model]) -> set[str]:
    """The types whose objects are of this model: itself, and what inherits from it."""
    return {known._meta.label_lower for known in apps.get_models() if issubclass(known, model)}


def document_key(instance: Model) -> Key:
    """How the site's own index knows an object."""
    if isinstance(instance, AbstractPage):
        model = instance.specific_class or type(instance)
        return model._meta.label_lower, str(instance.pk)
    return instance._meta.label_lower, str(instance.pk)


def is_narrow(queryset: QuerySet[Any]) -> bool:
    """Whether it leaves out any object of its model that is live."""
    query = queryset.query
    return _is_fixed(queryset) or not _says_live(query.where)


def _is_fixed(queryset: QuerySet[Any]) -> bool:
    """Whether it cannot be filtered any further."""
    query = queryset.query
    return bool(query.is_sliced or query.combinator or query.distinct_fields)


def _says_live(where: WhereNode) -> bool:
    """Whether it asks for nothing, or for no more than what our index asks for as well."""
    if where.negated or where.connector != "AND":
        return not where.children
    return all(
        _says_live(child)
        if isinstance(child, WhereNode)
        else isinstance(child, Exact)
        and getattr(getattr(child.lhs, "target", None), "name", "") == "live"
        and child.rhs is True
        for child in where.children
    )


def _among(queryset: QuerySet[Any], ids: Collection[str]) -> set[str]:
    if not _is_fixed(queryset):
        queryset = queryset.filter(pk__in=ids)
    return {str(pk) for pk in queryset.values_list("pk", flat=True)}


def _label(content_type_id: int) -> str:
    kind = ContentType.objects.get_for_id(content_type_id)
    return f"{kind.app_label}.{kind.model}"
