"""The plain text of an object, read from the search fields of its type."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import FieldDoesNotExist
from django.db import InterfaceError, OperationalError, models
from django.utils import translation
from treebeard.models import Node
from wagtail.blocks import StreamValue
from wagtail.fields import RichTextField, StreamField
from wagtail.models import AbstractPage, ReferenceIndex, SpecificMixin, TranslatableMixin
from wagtail.rich_text import RichText
from wagtail.search.index import Indexed, RelatedFields, SearchField

from finetune_switch.access import Asker
from finetune_switch.access.visibility import page_model, pages_open_to

from .blocks import stream_texts
from .markup import clean, html_to_text, join, tidy, write_out
from .mentions import fill_in, mention_object, name_of

logger = logging.getLogger("finetune_switch.index")


@dataclass(frozen=True)
class Section:
    """A part of an object's text, with the id of the HTML element that shows it, if there is one.

    Paragraphs have an empty line between them. There is never more than one.
    """

    text: str
    anchor: str = ""


@dataclass(frozen=True)
class Content:
    """The text of an object, in the order in which its type declares its fields."""

    title: str
    sections: tuple[Section, ...] = ()

    @property
    def digest(self) -> str:
        """The sha256 of everything, in hex."""
        everything = [self.title, *((part.text, part.anchor) for part in self.sections)]
        return hashlib.sha256(json.dumps(everything).encode()).hexdigest()


def content_of(
    obj: models.Model, *, excluded_fields: Collection[str] = (), block_anchor: str = ""
) -> Content:
    """The text of a page, a snippet or any other object, in the language of its locale.

    It is read from the ``search_fields`` of the most specific type; of a type without any, from all
    fields that hold text. Each block of a StreamField is a section. The title is not repeated.

    ``excluded_fields`` names what is left out, as ``app_label.Model.field``, where ``Model`` may
    be a base class, or as ``app_label.Model.field.block`` for the blocks of that name at any depth
    of the field. ``block_anchor`` is the format of the blocks' HTML ids, such as ``block-{id}``.

    A field that cannot be read is left out with a warning. Where the database is out of reach,
    :class:`~django.db.OperationalError` or :class:`~django.db.InterfaceError` is raised instead.
    """
    obj = obj.specific if isinstance(obj, SpecificMixin) else obj
    reader = _FieldReader(_rules(tuple(excluded_fields)), block_anchor)
    with translation.override(_language(obj)):
        title_field, title = reader.title(obj)
        fields = list(reader.read(obj, _fields_of(type(obj)), apart_from=title_field))
        texts = fill_in([title, *(section.text for field in fields for section in field)])
    tidied = map(tidy, texts)
    title = " ".join(next(tidied).split())
    seen: set[tuple[str, ...]] = {(title,)}
    sections: list[Section] = []
    for field in fields:
        found = [Section(next(tidied), section.anchor) for section in field]
        found = [section for section in found if section.text]
        said = tuple(section.text for section in found)
        if said not in seen:
            seen.add(said)
            sections += found
    return Content(title, tuple(sections))


def objects_that_use(model: str, pk: Any) -> Iterator[tuple[str, str]]:
    """Objects whose text may show this one, as ``(app_label.model, pk)`` pairs.

    ``model`` is ``app_label.model_name``; pages are named by their most specific type. They are
    found through Wagtail's index of references, which forgets a deleted object, and through
    ``search_fields`` for relations that it does not follow.
    """
    try:
        target = apps.get_model(model)
    except LookupError:
        # Its app has left the settings since it was marked.
        return
    base = (target._meta.get_parent_list() or [target])[-1]
    kind = ContentType.objects.get_for_model(base, for_concrete_model=False)
    rows = ReferenceIndex.objects.filter(to_content_type=kind, to_object_id=str(pk))
    found: set[tuple[type[models.Model], str]] = set()
    for type_id, object_id in rows.values_list("content_type_id", "object_id").distinct():
        if (source := ContentType.objects.get_for_id(type_id).model_class()) is not None:
            found.add((source, object_id))
    for source in apps.get_models():
        for path, related in relations_of(source):
            if issubclass(target, related):
                pks = source._default_manager.filter(**{path: pk}).values_list("pk", flat=True)
                found.update((source, str(key)) for key in pks)
    pages = {key for source, key in found if issubclass(source, AbstractPage)}
    types = page_model()._default_manager.filter(pk__in=pages)
    specific = {
        (label, str(key))
        for key, type_id in types.values_list("pk", "content_type_id")
        for label in [_label(ContentType.objects.get_for_id(type_id))]
    }
    others = {
        (source._meta.label_lower, key)
        for source, key in found
        if not issubclass(source, AbstractPage)
    }
    yield from sorted(specific | others)


def _label(kind: ContentType) -> str:
    return f"{kind.app_label}.{kind.model}"


def relations_of(model: type[models.Model]) -> Iterator[tuple[str, type[models.Model]]]:
    """Each relation that the search fields of a model follow: its lookup, and its other end."""

    def follow(
        model: type[models.Model], fields: Iterable[Any], prefix: str
    ) -> Iterator[tuple[str, type[models.Model]]]:
        for field in fields:
            if not isinstance(field, RelatedFields):
                continue
            try:
                related = field.get_field(model).related_model
            except FieldDoesNotExist:
                continue
            if isinstance(related, type):
                path = f"{prefix}{field.field_name}"
                yield path, related
                yield from follow(related, field.fields, f"{path}__")

    yield from follow(model, _search_fields(model), "")


def _search_fields(model: Any) -> list[Any]:
    return model.get_search_fields() if issubclass(model, Indexed) else []


def _language(obj: models.Model) -> str:
    """The language for dates and names of choices: that of the object, not of the request."""
    if getattr(settings, "WAGTAIL_I18N_ENABLED", False) and isinstance(obj, TranslatableMixin):
        return str(obj.locale.language_code)
    return settings.LANGUAGE_CODE


def _fields_of(model: type[models.Model]) -> list[Any]:
    """The search fields of a type; without any, all its fields that hold text."""
    if declared := _search_fields(model):
        return [field for field in declared if isinstance(field, SearchField | RelatedFields)]
    return [SearchField(field.name) for field in model._meta.concrete_fields if _is_text(field)]


def _is_text(field: models.Field[Any, Any]) -> bool:
    if isinstance(field, StreamField):
        return True
    if not isinstance(field, models.CharField | models.TextField) or field.primary_key:
        return False
    # Slugs, addresses, tree paths and passwords are strings, but not text for readers.
    model = field.model
    return (
        field.editable
        and not isinstance(field, models.SlugField | models.URLField)
        and field.name != "password"
        and not (field.name == "path" and issubclass(model, Node))
        and not model.__module__.startswith("wagtail.")
    )


@dataclass(frozen=True)
class _Rules:
    """What is left out: ``(label of the model, field)`` → names of blocks, or ``None`` for all."""

    by_field: Mapping[tuple[str, str], frozenset[str] | None]

    def names_left_out(self, model: type, field: str) -> frozenset[str] | None:
        """Names within a field that are left out, ``None`` if the field itself is."""
        names: frozenset[str] = frozenset()
        for base in model.__mro__:
            meta = getattr(base, "_meta", None)
            if meta is not None and (meta.label_lower, field) in self.by_field:
                further = self.by_field[meta.label_lower, field]
                if further is None:
                    return None
                names |= further
        return names


@lru_cache(maxsize=64)
def _rules(excluded: tuple[str, ...]) -> _Rules:
    by_field: dict[tuple[str, str], frozenset[str] | None] = {}
    for entry in excluded:
        app_label, model, field, *block = entry.split(".")
        key = f"{app_label}.{model}".lower(), field
        names = by_field.get(key, frozenset())
        by_field[key] = names | {block[0]} if block and names is not None else None
    return _Rules(by_field)


@dataclass(frozen=True)
class _FieldReader:
    rules: _Rules
    block_anchor: str

    def title(self, obj: models.Model) -> tuple[str | None, str]:
        """The name of the field that holds it, if it is one, and the title."""
        if isinstance(obj, AbstractPage):
            return "title", obj.title
        names = ("title", "name")
        left_out = [name for name in names if self.rules.names_left_out(type(obj), name) is None]
        return name_of(obj, apart_from=left_out)

    def read(
        self,
        obj: models.Model,
        fields: Iterable[Any],
        *,
        apart_from: str | None = None,
        left_out: Collection[str] = (),
    ) -> Iterator[list[Section]]:
        """The sections of each field."""
        for field in fields:
            name = field.field_name
            names = self.rules.names_left_out(type(obj), name)
            if names is None or name == apart_from or name in left_out:
                continue
            try:
                if isinstance(field, RelatedFields):
                    yield self._related(obj, field, names)
                elif isinstance(field, SearchField):
                    yield self._own(obj, field, names)
            except (InterfaceError, OperationalError):
                raise
            except Exception:
                logger.warning(
                    "The field %s of %s %s is left out of the index: it cannot be read.",
                    name,
                    obj._meta.label,
                    obj.pk,
                    exc_info=True,
                )

    def _own(
        self, obj: models.Model, search_field: Any, left_out: Collection[str]
    ) -> list[Section]:
        try:
            field = obj._meta.get_field(search_field.field_name)
        except FieldDoesNotExist:
            return [Section(_say(search_field.get_value(obj)))]
        if isinstance(field, StreamField):
            value = field.value_from_object(obj)
            texts = stream_texts(value, left_out=left_out, block_anchor=self.block_anchor)
            return [Section(text, anchor) for text, anchor in texts]
        if isinstance(field, RichTextField):
            return [Section(html_to_text(field.value_from_object(obj) or ""))]
        if field.many_to_one or field.one_to_one:
            # Its value is a primary key; RelatedFields say what of the other object is text.
            return []
        if getattr(field, "choices", None):
            display: Any = getattr(obj, f"get_{field.name}_display", None)
            if display is not None:
                return [Section(_say(display()))]
        return [Section(_say(search_field.get_value(obj)))]

    def _related(self, obj: models.Model, field: Any, left_out: Collection[str]) -> list[Section]:
        """What the objects at the other end of a relation say, a section for each of them."""
        value = field.get_value(obj)
        if value is None:
            return []
        found = [value] if isinstance(value, models.Model) else list(value.all())
        return [
            Section(
                join(
                    section.text
                    for sections in self.read(related, field.fields, left_out=left_out)
                    for section in sections
                )
            )
            for related in _open_to_all(found)
        ]


def _open_to_all(found: Sequence[models.Model]) -> list[models.Model]:
    """Without drafts, and without pages that are private."""
    pages = [str(row.pk) for row in found if isinstance(row, AbstractPage)]
    open_pages = pages_open_to(Asker.anonymous(), pages)
    return [
        row
        for row in found
        if (
            str(row.pk) in open_pages
            if isinstance(row, AbstractPage)
            else getattr(row, "live", True) is not False
        )
    ]


def _say(value: Any) -> str:
    """Any value that a field, a property or a method may give, in words."""
    if value is None or isinstance(value, bool | bytes | memoryview):
        return ""
    if isinstance(value, RichText):
        return html_to_text(value.source)
    if hasattr(value, "__html__"):
        return html_to_text(str(value))
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, StreamValue):
        return join(text for text, _anchor in stream_texts(value))
    if isinstance(value, models.Model):
        return mention_object(value)
    if isinstance(value, Mapping):
        return join(map(_say, value.values()))
    if isinstance(value, Iterable):
        return join(map(_say, value))
    kind = type(value)
    if kind.__str__ is object.__str__ and kind.__repr__ is object.__repr__:
        # Its text would be an address in memory.
        return ""
    return write_out(value)
