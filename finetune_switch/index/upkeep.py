"""Keeping the index current: a change leaves a mark, and a task works it off.

Marks are rows, written with the change itself, so that none is lost with a worker. Under a task
backend that would do the work inside the request they are all there is: ``manage.py finetune_switch
index --changed`` works them off.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

from django.db import DatabaseError, router, transaction
from django.db.models import Model
from django.utils import timezone
from django_tasks import task_backends
from wagtail.documents import get_document_model_string
from wagtail.images import get_image_model_string
from wagtail.models import AbstractPage, PageViewRestriction, Site

from finetune_switch.access.visibility import page_model
from finetune_switch.models import Exclusion, PendingUpdate

from .sources import indexed_models

logger = logging.getLogger("finetune_switch.index")

# A page's own save of a draft: nothing that visitors see has changed.
DRAFT_FIELDS = frozenset(
    {
        "draft_title",
        "has_unpublished_changes",
        "latest_revision",
        "latest_revision_created_at",
        "locked",
        "locked_at",
        "locked_by",
        "go_live_at",
        "expire_at",
    }
)
_paused: ContextVar[bool] = ContextVar("finetune_switch_upkeep_paused", default=False)


@contextmanager
def paused() -> Iterator[None]:
    """Leave no marks: for bulk loads, after which the whole index is built."""
    token = _paused.set(True)
    try:
        yield
    finally:
        _paused.reset(token)


def runs_inside_the_request() -> bool:
    """Whether tasks have no worker: they would be done while somebody waits, or not at all."""
    backend = task_backends["default"]
    return backend.__class__.__name__ in ("ImmediateBackend", "DummyBackend")


def mark(model: str, object_id: Any, *, subtree: bool = False) -> None:
    """Note that an object's documents are out of date, and have them updated.

    Never raises: publishing goes on, whatever happens to the index.
    """
    if _paused.get():
        return
    using = router.db_for_write(PendingUpdate)
    row = PendingUpdate(
        model=model, object_id=str(object_id), subtree=subtree, marked_at=timezone.now()
    )
    try:
        with transaction.atomic(using):
            PendingUpdate.objects.using(using).bulk_create(
                [row],
                update_conflicts=True,
                unique_fields=["model", "object_id"],
                update_fields=["marked_at", "attempts", "error", *(["subtree"] if subtree else [])],
            )
    except DatabaseError:
        logger.exception("The index was not told of a change to %s %s.", model, object_id)
        return
    if not runs_inside_the_request():
        transaction.on_commit(partial(_enqueue, model, str(object_id)), using=using, robust=True)


def _enqueue(model: str, object_id: str) -> None:
    from .tasks import update_index

    update_index.enqueue(model, object_id)


def mark_saved(instance: Model, update_fields: Collection[str] | None = None) -> None:
    """An object was saved."""
    if isinstance(instance, AbstractPage):
        if update_fields is None or not DRAFT_FIELDS.issuperset(update_fields):
            mark(instance._meta.label_lower, instance.pk)
    elif isinstance(instance, PageViewRestriction | Exclusion):
        mark_page(instance.page_id, subtree=True)
    elif isinstance(instance, Site):
        # It may have had another root before: every page may be on another site now.
        mark_everything()
    elif instance._meta.app_label != PendingUpdate._meta.app_label and (
        instance._meta.label_lower in _other_models()
    ):
        # Our own rows are looked at no further: one is written with every question.
        mark(instance._meta.label_lower, instance.pk)


def mark_users(instance: Model) -> None:
    """Note the objects whose text shows the title of one that is about to go."""
    label = instance._meta.label_lower
    if isinstance(instance, AbstractPage) or label in _other_models():
        from .content import objects_that_use

        for model, object_id in objects_that_use(label, instance.pk):
            mark(model, object_id)


def mark_page(page_id: int, *, subtree: bool = False) -> None:
    """A page whose type is not known yet."""
    page = page_model()._default_manager.filter(pk=page_id).select_related("content_type").first()
    if page is not None and page.specific_class is not None:
        mark(page.specific_class._meta.label_lower, page.pk, subtree=subtree)


def mark_everything() -> None:
    if (root := page_model().get_first_root_node()) is not None:
        mark_page(root.pk, subtree=True)


def _other_models() -> set[str]:
    """Models that are no pages and whose text may be in the index, by itself or within pages."""
    from wagtail.snippets.models import get_snippet_models

    used = {get_image_model_string().lower(), get_document_model_string().lower()}
    used |= {model._meta.label_lower for model in get_snippet_models()}
    return used | {model._meta.label_lower for model in indexed_models()}
