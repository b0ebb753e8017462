"""The models whose changes can change indexed texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.apps import apps
from django.db.models import Model
from wagtail.documents import get_document_model
from wagtail.fields import StreamField
from wagtail.images import get_image_model
from wagtail.models import AbstractPage, get_page_models

from .content import relations_of


def shown_models(indexed: Iterable[type[Model]]) -> set[type[Model]]:
    """The ``indexed`` models and the models shown in them or in pages, without page models.

    They are found from field definitions: rich text shows images and documents, StreamFields show
    chosen objects, ``search_fields`` and properties show related objects. Subclasses are included,
    since signals are sent by the concrete class.
    """
    found: set[type[Model]] = {get_image_model(), get_document_model()}
    waiting: list[type[Model]] = [*get_page_models(), *indexed]
    read: set[type[Model]] = set()
    while waiting:
        if (model := waiting.pop()) in read:
            continue
        read.add(model)
        if not issubclass(model, AbstractPage):
            found.add(model)
        related = {target for _path, target in relations_of(model)}
        waiting += related
        found |= {*related, *_chosen_models(model), *_models_of_relations(model)}
    return {
        model
        for model in apps.get_models()
        if not issubclass(model, AbstractPage) and issubclass(model, tuple(found))
    }


def _models_of_relations(model: type[Model]) -> Iterator[type[Model]]:
    """Related models of the project's own fields: a property in ``search_fields`` may show them."""
    for field in model._meta.get_fields():
        is_own = not field.model.__module__.startswith("wagtail.")
        is_forward = field.concrete and (
            field.many_to_one or field.one_to_one or field.many_to_many
        )
        if is_own and is_forward:
            related = field.related_model
            if isinstance(related, type) and not _is_internal(related):
                yield related


def _is_internal(model: type[Model]) -> bool:
    """Models that mixins refer to: revisions, locales, content types."""
    return model.__module__.startswith(("wagtail.models", "django.contrib.contenttypes"))


def _chosen_models(model: type[Model]) -> Iterator[type[Model]]:
    for field in model._meta.get_fields():
        if isinstance(field, StreamField):
            yield from _chosen_in(field.stream_block)


def _chosen_in(block: Any) -> Iterator[type[Model]]:
    if isinstance(target := getattr(block, "target_model", None), type):
        yield target
    # A ListBlock has one child block, other structural blocks have several.
    children = [*getattr(block, "child_blocks", {}).values(), getattr(block, "child_block", None)]
    for child in filter(None, children):
        yield from _chosen_in(child)
