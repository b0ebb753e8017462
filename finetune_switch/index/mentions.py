"""Titles of other objects in texts.

Reading a text inserts a marker for each title; one query then finds all titles of a type.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from django.db.models import CharField, Model
from wagtail.models import AbstractPage
from wagtail.rich_text import features

from finetune_switch.access import Asker
from finetune_switch.access.collections import is_private_document, without_private_documents
from finetune_switch.access.visibility import page_model, pages_open_to, valid_keys

# Code points that are not characters; markup.clean() removes them from texts.
_BEGIN, _END = "\ufdd0", "\ufdd1"
_MENTION = re.compile(f"{_BEGIN}(page|image|document):([^{_END}]*){_END}")


def mention(kind: str, pk: Any) -> str:
    """The marker for the title of a page, an image or a document."""
    return f"{_BEGIN}{kind}:{pk}{_END}"


def has_mention(text: str) -> bool:
    return _BEGIN in text


def mention_object(instance: Model) -> str:
    """The title of a chosen object, or a marker for it.

    Images have their contextual alternative text if there is one. The title is empty for decorative
    images and for objects that are not live.
    """
    if isinstance(instance, AbstractPage):
        return mention("page", instance.pk)
    if getattr(instance, "live", True) is False or getattr(instance, "decorative", False) is True:
        return ""
    if is_private_document(instance):
        return ""
    return getattr(instance, "contextual_alt_text", None) or name_of(instance)[1]


def name_of(instance: Model, *, excluded: Collection[str] = ()) -> tuple[str | None, str]:
    """The name and the value of an object's title or name field.

    ``None`` and ``str()`` of the object if there is no such field.
    """
    for field in instance._meta.concrete_fields:
        if field.name in ("title", "name") and isinstance(field, CharField):
            value = getattr(instance, field.attname)
            if field.name not in excluded and isinstance(value, str) and value.strip():
                return field.name, value
    return None, str(instance)


def fill_in(texts: Iterable[str]) -> list[str]:
    """Replace the markers in texts by titles. One query for each type of object."""
    texts = list(texts)
    wanted: dict[str, set[str]] = {}
    for text in texts:
        if _BEGIN in text:
            for kind, pk in _MENTION.findall(text):
                wanted.setdefault(kind, set()).add(pk)
    if not wanted:
        return texts
    titles = {kind: _titles(kind, pks) for kind, pks in wanted.items()}

    def title(match: re.Match[str]) -> str:
        kind, pk = match.groups()
        found = titles[kind].get(pk, "")
        if kind != "document" or not found:
            return found
        # The text of the link precedes the marker and is often the title.
        before = match.string[max(0, match.start() - len(found) - 1) : match.start()]
        return "" if before.rstrip().casefold().endswith(found.casefold()) else f" ({found})"

    return [_MENTION.sub(title, text) if _BEGIN in text else text for text in texts]


def _titles(kind: str, pks: Collection[str]) -> dict[str, str]:
    if kind == "page":
        # Readers of the text may have no permission to open linked pages.
        pks = valid_keys(page_model(), pks)
        return {pk: str(page.title) for pk, page in pages_open_to(Asker.anonymous(), pks).items()}
    handlers = features.get_embed_types() if kind == "image" else features.get_link_types()
    if (handler := handlers.get(kind)) is None:
        return {}
    model: type[Model] = handler.get_model()
    rows = model._default_manager.filter(pk__in=valid_keys(model, pks))
    if kind == "document":
        # Readers of the text may have no permission to open them.
        rows = without_private_documents(rows)
    return {str(pk): title for pk, title in rows.values_list("pk", "title")}
