"""Keeping the index current: saves create a PendingUpdate, and a task processes it.

The row is saved in the transaction of the change, so no change is lost if a worker is killed. If
the task backend has no worker, ``manage.py finetune_switch index --changed`` processes the rows.
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
from modelcluster.fields import ParentalKey
from wagtail.models import AbstractPage, PageViewRestriction, Site

from finetune_switch.access.visibility import page_model
from finetune_switch.models import Exclusion, PendingUpdate

from .content import objects_that_use

logger = logging.getLogger("finetune_switch.index")

# Visitors do not see changes of these fields.
INTERNAL_FIELDS = frozenset(
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
        "last_login",
    }
)
_paused: ContextVar[bool] = ContextVar("finetune_switch_upkeep_paused", default=False)


@contextmanager
def paused() -> Iterator[None]:
    """Create no PendingUpdates: for bulk loads, before a build of the whole index."""
    token = _paused.set(True)
    try:
        yield
    finally:
        _paused.reset(token)


def runs_inside_the_request() -> bool:
    """Whether the task backend has no worker: tasks run immediately or never."""
    backend = task_backends["default"]
    return backend.__class__.__name__ in ("ImmediateBackend", "DummyBackend")


def mark(model: str, object_id: Any, *, subtree: bool = False) -> None:
    """Save a PendingUpdate for an object, and enqueue its task.

    Database errors are logged, not raised: an editor's save must not fail because of the index.
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
        logger.exception("A change of %s %s could not be marked for the index.", model, object_id)
        return
    if not runs_inside_the_request():
        transaction.on_commit(partial(_enqueue, model, str(object_id)), using=using, robust=True)


def _enqueue(model: str, object_id: str) -> None:
    from .tasks import update_index

    update_index.enqueue(model, object_id)


def mark_saved(instance: Model, update_fields: Collection[str] | None = None) -> None:
    """Mark a saved object, or its parent if it is an inline child."""
    if update_fields is not None and INTERNAL_FIELDS.issuperset(update_fields):
        return
    parents = [
        getattr(instance, field.name)
        for field in instance._meta.concrete_fields
        if isinstance(field, ParentalKey)
    ]
    for changed in [parent for parent in parents if parent is not None] or [instance]:
        mark_changed(changed)


def mark_changed(instance: Model) -> None:
    """Mark the objects whose documents depend on a changed or deleted object."""
    if isinstance(instance, PageViewRestriction | Exclusion):
        mark_page(instance.page_id, subtree=True)
    elif isinstance(instance, Site):
        # A new root page may change the site of every page.
        mark_everything()
    else:
        mark(label_of(instance), instance.pk)


def mark_users(instance: Model) -> None:
    """Mark the objects whose text contains this one's. Call it before deletion."""
    for model, object_id in objects_that_use(label_of(instance), instance.pk):
        mark(model, object_id)


def mark_page(page_id: int, *, subtree: bool = False) -> None:
    page = page_model()._default_manager.filter(pk=page_id).first()
    if page is not None:
        mark(label_of(page), page.pk, subtree=subtree)


def mark_everything() -> None:
    if (root := page_model().get_first_root_node()) is not None:
        mark_page(root.pk, subtree=True)


def label_of(instance: Model) -> str:
    """The label of an object's most specific type."""
    specific = instance.specific_class if isinstance(instance, AbstractPage) else None
    return (specific or instance)._meta.label_lower
