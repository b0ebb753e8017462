"""Titles of other objects within a text: marked while it is read, then looked up in one query.

A page with a hundred images needs one query for their titles.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import CharField, Model
from wagtail.models import AbstractPage
from wagtail.rich_text import features

from finetune_switch.access import Asker
from finetune_switch.access.visibility import page_model, pages_open_to

# Code points that are not characters; markup.clean() removes them from texts.
_BEGIN, _END = "\ufdd0", "\ufdd1"
_MENTION = re.compile(f"{_BEGIN}(page|image|document):([^{_END}]*){_END}")


def mention(kind: str, pk: Any) -> str:
    """A mark for the title of a page, an image or a document."""
    return f"{_BEGIN}{kind}:{pk}{_END}"


def mention_object(instance: Model) -> str:
    """The name of a chosen object, or a mark that is replaced by it.

    For an image it is the alternative text where the chooser has one, and empty where the image is
    decorative. An object that is not live has an empty name.
    """
    if isinstance(instance, AbstractPage):
        return mention("page", instance.pk)
    if getattr(instance, "live", True) is False or getattr(instance, "decorative", False) is True:
        return ""
    return getattr(instance, "contextual_alt_text", None) or name_of(instance)[1]


def name_of(instance: Model, *, apart_from: Collection[str] = ()) -> tuple[str | None, str]:
    """The field that holds an object's title or name, and its value.

    Without such a field, ``None`` and ``str()`` of the object.
    """
    for field in instance._meta.concrete_fields:
        if field.name in ("title", "name") and isinstance(field, CharField):
            value = getattr(instance, field.attname)
            if field.name not in apart_from and isinstance(value, str) and value.strip():
                return field.name, value
    return None, str(instance)


def fill_in(texts: Iterable[str]) -> list[str]:
    """Replace the marks in texts by titles. One query for each kind of object."""
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
        # The link's own text stands before it, and is often the title already.
        before = match.string[max(0, match.start() - len(found) - 1) : match.start()]
        return "" if before.rstrip().casefold().endswith(found.casefold()) else f" ({found})"

    return [_MENTION.sub(title, text) if _BEGIN in text else text for text in texts]


def _titles(kind: str, pks: Collection[str]) -> dict[str, str]:
    if kind == "page":
        # Readers of the text may not be allowed to open the pages that it links to.
        pks = _valid(page_model(), pks)
        return {pk: str(page.title) for pk, page in pages_open_to(Asker.anonymous(), pks).items()}
    handlers = features.get_embed_types() if kind == "image" else features.get_link_types()
    if (handler := handlers.get(kind)) is None:
        return {}
    model: type[Model] = handler.get_model()
    rows = model._default_manager.filter(pk__in=_valid(model, pks))
    return {str(pk): title for pk, title in rows.values_list("pk", "title")}


def _valid(model: type[Model], pks: Iterable[str]) -> list[str]:
    """Those that can be primary keys of this model: markup may hold anything."""
    kept = []
    for pk in pks:
        try:
            model._meta.pk.to_python(pk)
        except ValidationError:
            continue
        kept.append(pk)
    return kept
