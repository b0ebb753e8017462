"""The indexed fields of a model, and its fields with text that are not indexed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any

from django.db import models
from django.utils.text import capfirst
from modelcluster.fields import ParentalKey
from treebeard.models import Node
from wagtail.fields import StreamField
from wagtail.search.index import Indexed, RelatedFields, SearchField

from finetune_switch import adapters, conf

FIGURES = (
    models.DateField,
    models.DecimalField,
    models.FloatField,
    models.IntegerField,
    models.TimeField,
)
# Words in the names of fields that style a page or identify a part of it.
STYLING = frozenset(
    ["align", "alignment", "anchor", "classname", "color", "colour", "css", "icon", "slug", "uuid"]
)
# Such words in the names of choices: other fields of these names may have text.
_STYLING_CHOICES = STYLING | {"layout", "size", "style", "template", "theme", "variant", "width"}


@dataclass(frozen=True)
class MissingField:
    """A field with text, or a relation to rows with text, that is not indexed.

    ``line`` is its entry in ``search_fields``, or empty for models without; ``setting`` its entry
    in ``INCLUDE_FIELDS``.
    """

    name: str
    line: str
    setting: str


def indexed_fields(model: type[models.Model]) -> list[Any]:
    """The ``SearchField`` and ``RelatedFields`` that are indexed.

    Those of ``search_fields``, or all text fields of models without, and ``INCLUDE_FIELDS``.
    """
    fields = declared_fields(model)
    if not fields and not _search_fields(model):
        fields = [SearchField(f.name) for f in model._meta.concrete_fields if is_text(f)]
    if included := conf.included_fields():
        known = {field.field_name for field in fields}
        others = [field for field in model._meta.get_fields() if field.name not in known]
        # Rows come after the text of the object.
        others.sort(key=is_inline)
        fields += [_included(field) for field in others if _is_named(model, field.name, included)]
    return fields


def missing_fields(model: type[models.Model]) -> list[MissingField]:
    """Fields and inline relations with text that are neither indexed nor excluded.

    Fields that a property or a method in ``search_fields`` reads count as indexed.
    """
    known = {field.field_name for field in indexed_fields(model)}
    known |= _names_in_code(model, known) | {"title", "name"}
    label, is_indexed = model._meta.label, issubclass(model, Indexed)
    is_declared = adapters.adapter_fields(model) is not None
    found: list[MissingField] = []
    for field in model._meta.get_fields():
        name = field.name
        if name in known or _is_named(model, name, conf.excluded_fields()):
            continue
        line = ""
        if is_inline(field):
            related: Any = field.related_model
            rows = ", ".join(f'index.SearchField("{row}")' for row in _row_fields(related))
            line = f'index.RelatedFields("{name}", [{rows}]),' if _has_text(related) else ""
        elif field.concrete and is_text(field) and not getattr(field, "choices", None):
            kind = "EmbeddingField" if is_declared else "index.SearchField"
            line = f'{kind}("{name}"),'
        if line:
            # Rows cannot be named in the fields of an adapter.
            is_usable = is_indexed and not (is_declared and line.startswith("index."))
            found.append(MissingField(name, line if is_usable else "", f"{label}.{name}"))
    return found


def is_inline(field: Any) -> bool:
    """Whether a field is the relation to the rows of an inline panel."""
    return (
        bool(field.one_to_many)
        and isinstance(getattr(field, "field", None), ParentalKey)
        and not field.related_model.__module__.startswith("wagtail.")
    )


def is_text(field: Any) -> bool:
    """Whether a field has text for readers: no slugs, URLs, tree paths and passwords."""
    model = field.model
    if isinstance(field, StreamField):
        return not model.__module__.startswith("wagtail.")
    return (
        isinstance(field, models.CharField | models.TextField)
        and not field.primary_key
        and field.editable
        and not isinstance(field, models.SlugField | models.URLField)
        and field.name != "password"
        and not (field.name == "path" and issubclass(model, Node))
        and not model.__module__.startswith("wagtail.")
    )


def is_styling(name: str) -> bool:
    """Whether a name is one of a field that styles a page or identifies a part of it."""
    return not STYLING.isdisjoint(name.lower().split("_"))


def label_of(model: type[models.Model], name: str) -> str:
    """The label of a field; empty for properties and methods."""
    field = next((field for field in model._meta.get_fields() if field.name == name), None)
    return str(capfirst(getattr(field, "verbose_name", "")))


def declared_fields(model: type[models.Model]) -> list[Any]:
    """The ``SearchField`` and ``RelatedFields`` in ``search_fields``, or those of an adapter."""
    if (names := adapters.adapter_fields(model)) is not None:
        return [SearchField(name) for name in names]
    return [
        field for field in _search_fields(model) if isinstance(field, SearchField | RelatedFields)
    ]


def _search_fields(model: Any) -> list[Any]:
    return model.get_search_fields() if issubclass(model, Indexed) else []


def _included(field: Any) -> SearchField | RelatedFields:
    related: Any = field.related_model if field.is_relation else None
    if not isinstance(related, type(models.Model)):
        return SearchField(field.name)
    names = _row_fields(related) or [
        f.name for f in related._meta.concrete_fields if f.name in ("title", "name")
    ]
    return RelatedFields(field.name, [SearchField(name) for name in names])


def _row_fields(model: type[models.Model]) -> list[str]:
    """The fields of an inline row that readers see."""
    fields = [field for field in model._meta.concrete_fields if field.editable]
    is_timed = any(isinstance(field, models.TimeField | models.DateField) for field in fields)
    return [
        field.name
        for field in fields
        if not field.is_relation
        and not field.primary_key
        and not is_styling(field.name)
        and not (field.choices and not _STYLING_CHOICES.isdisjoint(field.name.split("_")))
        and (
            is_text(field)
            or isinstance(field, FIGURES)
            # Opening hours may have a field "closed".
            or (is_timed and isinstance(field, models.BooleanField))
        )
    ]


def _has_text(model: type[models.Model]) -> bool:
    fields = {field.name: field for field in model._meta.concrete_fields}
    return any(not isinstance(fields[name], models.BooleanField) for name in _row_fields(model))


def _is_named(model: type[models.Model], name: str, entries: Collection[str]) -> bool:
    """Whether an entry ``app_label.Model.field`` names this field of the model or a base class."""
    if not entries:
        return False
    metas: list[Any] = [getattr(base, "_meta", None) for base in model.__mro__]
    labels = {meta.label_lower for meta in metas if meta is not None}
    for entry in entries:
        label, _dot, field = str(entry).rpartition(".")
        if field == name and label.lower() in labels:
            return True
    return False


def _names_in_code(model: type[models.Model], names: Iterable[str]) -> set[str]:
    """The names that these properties and methods of the model use, also through others."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        attribute: Any = getattr(model, waiting.pop(), None)
        function = getattr(attribute, "fget", None) or getattr(attribute, "func", None) or attribute
        code = getattr(function, "__code__", None)
        further = set(_names_of(code)) - found if isinstance(code, CodeType) else set()
        found |= further
        waiting += further
    return found


def _names_of(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_of(constant)
