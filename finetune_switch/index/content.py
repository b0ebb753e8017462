"""The plain text of an object, from its search fields."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, TypeAlias

from django.apps import apps
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import FieldDoesNotExist
from django.db import InterfaceError, OperationalError, models
from django.utils import translation
from django.utils.text import capfirst
from wagtail.blocks import StreamValue
from wagtail.fields import RichTextField, StreamField
from wagtail.models import AbstractPage, ReferenceIndex, SpecificMixin, TranslatableMixin
from wagtail.rich_text import RichText
from wagtail.search.index import RelatedFields, SearchField

from finetune_switch.access import Asker
from finetune_switch.access.faults import FATAL, report
from finetune_switch.access.visibility import group_ids, page_model, pages_open_to

from .blocks import stream_texts
from .fields import indexed_fields, is_inline, label_of
from .markup import clean, html_to_text, join, tidy, write_out
from .mentions import fill_in, mention_object, name_of
from .sources import Key, batched, find_model
from .tables import MAX_LINE

logger = logging.getLogger("finetune_switch.index")

# Databases limit the number of query parameters.
BATCH = 500
# A longer text says by itself what it is about.
MAX_LABELLED = 120
ENDINGS = (".", "!", "?", "…", ":", "。", "！", "？")


@dataclass(frozen=True)
class Section:
    """A part of an object's text, and the id of its HTML element if there is one.

    One empty line separates paragraphs.
    """

    text: str
    anchor: str = ""


@dataclass(frozen=True)
class Content:
    """The text of an object, in the order of its search fields."""

    title: str
    sections: tuple[Section, ...] = ()

    @property
    def digest(self) -> str:
        """The SHA-256 of titles, texts and anchors, in hex."""
        values = [self.title, *((section.text, section.anchor) for section in self.sections)]
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def content_of(
    obj: models.Model, *, excluded_fields: Collection[str] = (), block_anchor: str = ""
) -> Content:
    """The text of a page, a snippet or any other object, in the language of its locale.

    It is read from the :func:`~.fields.indexed_fields` of the most specific type. Each block of a
    StreamField is a section, and so are all rows of an inline relation. The title is not repeated.

    ``excluded_fields`` has entries ``app_label.Model.field``, where ``Model`` may be a base class,
    and ``app_label.Model.field.block`` for blocks of that name at any depth. ``block_anchor`` is
    the format of the blocks' HTML ids, such as ``block-{id}``.

    Fields that raise an exception are logged and skipped, except for
    :class:`~django.db.OperationalError` and :class:`~django.db.InterfaceError`: these are raised.
    """
    obj = obj.specific if isinstance(obj, SpecificMixin) else obj
    reader = _FieldReader(_parse_excluded(tuple(excluded_fields)), block_anchor)
    with translation.override(_language(obj)):
        title_field, title = reader.title(obj)
        fields = list(reader.read(obj, indexed_fields(type(obj)), title_field=title_field))
        texts = fill_in([title, *(section.text for field in fields for section in field)])
    tidied = map(tidy, texts)
    title = " ".join(next(tidied).split())
    seen: set[tuple[str, ...]] = {(title,)}
    sections: list[Section] = []
    for field in fields:
        found = [Section(next(tidied), section.anchor) for section in field]
        found = [section for section in found if section.text]
        texts_of_field = tuple(section.text for section in found)
        if texts_of_field not in seen:
            seen.add(texts_of_field)
            sections += found
    return Content(title, tuple(sections))


def objects_that_use(model: str, pk: Any) -> list[Key]:
    """The keys of objects whose text may contain this one's."""
    return users_of([(model, str(pk))])


def users_of(keys: Iterable[Key]) -> list[Key]:
    """The keys of objects whose texts may contain those of these objects.

    They are found in Wagtail's reference index, which has no entries of deleted objects, and by
    ``search_fields`` for relations that it does not have.
    """
    found: set[tuple[type[models.Model], str]] = set()
    for label, ids in group_ids(keys).items():
        # An app may have been removed from the settings.
        if (target := find_model(label)) is not None:
            for some in batched(sorted(ids), BATCH):
                found |= _referring(target, some) | _related_to(target, some)
    pages = {key for source, key in found if issubclass(source, AbstractPage)}
    types = page_model()._default_manager.filter(pk__in=pages)
    specific = {
        (".".join(ContentType.objects.get_for_id(type_id).natural_key()), str(key))
        for key, type_id in types.values_list("pk", "content_type_id")
    }
    others = {
        (source._meta.label_lower, key)
        for source, key in found
        if not issubclass(source, AbstractPage)
    }
    return sorted(specific | others)


def _referring(
    target: type[models.Model], ids: Sequence[str]
) -> set[tuple[type[models.Model], str]]:
    base = (target._meta.get_parent_list() or [target])[-1]
    kind = ContentType.objects.get_for_model(base, for_concrete_model=False)
    rows = ReferenceIndex.objects.filter(to_content_type=kind, to_object_id__in=ids)
    found = set()
    for type_id, object_id in rows.values_list("content_type_id", "object_id").distinct():
        if (source := ContentType.objects.get_for_id(type_id).model_class()) is not None:
            found.add((source, object_id))
    return found


def _related_to(
    target: type[models.Model], ids: Sequence[str]
) -> set[tuple[type[models.Model], str]]:
    found: set[tuple[type[models.Model], str]] = set()
    for source, path, related in _all_relations():
        if issubclass(target, related):
            rows = source._default_manager.filter(**{f"{path}__in": ids})
            found.update((source, str(key)) for key in rows.values_list("pk", flat=True))
    return found


@cache
def _all_relations() -> list[tuple[type[models.Model], str, type[models.Model]]]:
    return [
        (source, path, related)
        for source in apps.get_models()
        for path, related in relations_of(source)
    ]


def relations_of(model: type[models.Model]) -> Iterator[tuple[str, type[models.Model]]]:
    """Yield the lookup and the related model of each relation in the search fields."""

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

    yield from follow(model, indexed_fields(model), "")


def _language(obj: models.Model) -> str:
    """The language for dates and labels of choices."""
    if getattr(settings, "WAGTAIL_I18N_ENABLED", False) and isinstance(obj, TranslatableMixin):
        return str(obj.locale.language_code)
    return settings.LANGUAGE_CODE


_Excluded: TypeAlias = Mapping[tuple[str, str], frozenset[str] | None]
"""``(model label, field)`` → names of excluded blocks, or ``None`` to exclude the field."""


@lru_cache(maxsize=64)
def _parse_excluded(entries: tuple[str, ...]) -> _Excluded:
    excluded: dict[tuple[str, str], frozenset[str] | None] = {}
    for entry in entries:
        app_label, model, field, *block = entry.split(".")
        key = f"{app_label}.{model}".lower(), field
        names = excluded.get(key, frozenset())
        excluded[key] = names | {block[0]} if block and names is not None else None
    return excluded


@dataclass(frozen=True)
class _FieldReader:
    excluded: _Excluded
    block_anchor: str

    def excluded_blocks(self, model: type, field: str) -> frozenset[str] | None:
        """Names of the excluded blocks of a field, or ``None`` if the field is excluded."""
        names: frozenset[str] = frozenset()
        for base in model.__mro__:
            meta = getattr(base, "_meta", None)
            if meta is not None:
                further = self.excluded.get((meta.label_lower, field), frozenset())
                if further is None:
                    return None
                names |= further
        return names

    def title(self, obj: models.Model) -> tuple[str | None, str]:
        """The name of the title field, if there is one, and the title."""
        if isinstance(obj, AbstractPage):
            return "title", obj.title
        names = ("title", "name")
        excluded = [name for name in names if self.excluded_blocks(type(obj), name) is None]
        try:
            return name_of(obj, excluded=excluded)
        except FATAL:
            raise
        except Exception as error:
            report(obj, "has no title in the index.", error)
            return None, ""

    def read(
        self,
        obj: models.Model,
        fields: Iterable[Any],
        *,
        title_field: str | None = None,
        left_out: Collection[str] = (),
        labels: bool = True,
    ) -> Iterator[list[Section]]:
        """Yield the sections of each field, of which short ones begin with its label."""
        for field in fields:
            name = field.field_name
            names = self.excluded_blocks(type(obj), name)
            if names is None or name == title_field or name in left_out:
                continue
            try:
                if isinstance(field, RelatedFields):
                    yield self._related(obj, field, names)
                elif isinstance(field, SearchField):
                    yield self._own(obj, field, names, labels)
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
        self, obj: models.Model, search_field: Any, left_out: Collection[str], labels: bool
    ) -> list[Section]:
        try:
            field = obj._meta.get_field(search_field.field_name)
        except FieldDoesNotExist:
            return [Section(_to_text(search_field.get_value(obj)))]
        if isinstance(field, StreamField):
            value = field.value_from_object(obj)
            texts = stream_texts(value, left_out=left_out, block_anchor=self.block_anchor)
            return [Section(text, anchor) for text, anchor in texts]
        if isinstance(field, RichTextField):
            return [Section(html_to_text(field.value_from_object(obj) or ""))]
        if field.many_to_one or field.one_to_one:
            # The value is a primary key. RelatedFields select the text of the related object.
            return []
        display: Any = None
        if getattr(field, "choices", None):
            display = getattr(obj, f"get_{field.name}_display", None)
        text = _to_text(search_field.get_value(obj) if display is None else display())
        return [Section(_labelled(label_of(type(obj), field.name), text) if labels else text)]

    def _related(self, obj: models.Model, field: Any, left_out: Collection[str]) -> list[Section]:
        """A section for each related object."""
        value = field.get_value(obj)
        if value is None:
            return []
        found = [value] if isinstance(value, models.Model) else list(value.all())
        shown = _open_to_all(found)
        if is_inline(obj._meta.get_field(field.field_name)):
            rows = [self._row(row, field.fields, left_out) for row in shown]
            heading = capfirst(field.field_name.replace("_", " "))
            return [Section(f"{heading}\n\n{join(rows)}")] if any(rows) else []
        label = label_of(type(obj), field.field_name)
        texts = [tidy(self._text(related, field.fields, left_out)) for related in shown]
        together = ", ".join(filter(None, texts))
        if (labelled := _labelled(label, together)) != together:
            return [Section(labelled)]
        return [Section(text) for text in texts]

    def _text(self, obj: models.Model, fields: Iterable[Any], left_out: Collection[str]) -> str:
        found = self.read(obj, fields, left_out=left_out, labels=False)
        return join(section.text for sections in found for section in sections)

    def _row(self, row: models.Model, fields: Iterable[Any], left_out: Collection[str]) -> str:
        """An inline row with the labels of its fields: ``Day: Monday, Opens: 9 a.m.``"""
        short, long = [], []
        for field in fields:
            if self.excluded_blocks(type(row), field.field_name) is None:
                continue
            label = label_of(type(row), field.field_name)
            text = tidy(self._text(row, [field], left_out))
            if getattr(row, field.field_name, None) is True:
                short.append(label)
            elif "\n" in text or len(text) > MAX_LINE:
                long.append(text)
            elif text:
                short.append(f"{label}: {text}" if label else text)
        return join([", ".join(filter(None, short)), *long])


def _labelled(label: str, text: str) -> str:
    """``Price: £5.60``, ``Address: 14 Quarry Lane, Aldersea``; other texts as they are."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    line = ", ".join(part.rstrip(",") for part in lines)
    is_short = 0 < len(line) <= MAX_LABELLED and not line.endswith(ENDINGS)
    is_fact = len(line.split()) <= 3 or any(map(str.isdigit, line)) or "@" in line
    return f"{label}: {line}" if label and is_short and is_fact else text


def _open_to_all(found: Sequence[models.Model]) -> list[models.Model]:
    """Remove drafts and private pages."""
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


def _to_text(value: Any) -> str:
    """The text of any value of a field, property or method."""
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
        return join(map(_to_text, value.values()))
    if isinstance(value, Iterable):
        return join(map(_to_text, value))
    value_class = type(value)
    if value_class.__str__ is object.__str__ and value_class.__repr__ is object.__repr__:
        # str() would return a memory address.
        return ""
    return write_out(value)
