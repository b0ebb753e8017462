"""Keeping the index current: saves create a PendingUpdate, and a task processes it.

The row is saved in the transaction of the change, so no change is lost if a worker is killed. If
the task backend has no worker, ``manage.py finetune_switch index --changed`` processes the rows.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import DatabaseError, router, transaction
from django.db.models import Model, QuerySet
from django.utils import timezone
from django_tasks import task_backends
from modelcluster.fields import ParentalKey
from wagtail.documents import get_document_model
from wagtail.models import (
    AbstractPage,
    Collection,
    CollectionViewRestriction,
    PageViewRestriction,
    Site,
)

from finetune_switch.access.visibility import page_model
from finetune_switch.models import Exclusion, PendingUpdate

from .content import BATCH, objects_that_use, users_of
from .sources import Key

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
    """Save a PendingUpdate for an object, and enqueue its task."""
    mark_all([(model, str(object_id))], subtree=subtree)


def mark_all(keys: Iterable[Key], *, subtree: bool = False) -> None:
    """Save a PendingUpdate for each of these objects, and enqueue their tasks.

    Database errors are logged, not raised: an editor's save must not fail because of the index.
    """
    keys = list(dict.fromkeys(keys))
    if _paused.get() or not keys:
        return
    using = router.db_for_write(PendingUpdate)
    now = timezone.now()
    rows = [
        PendingUpdate(model=model, object_id=object_id, subtree=subtree, marked_at=now)
        for model, object_id in keys
    ]
    try:
        with transaction.atomic(using):
            PendingUpdate.objects.using(using).bulk_create(
                rows,
                batch_size=BATCH,
                update_conflicts=True,
                unique_fields=["model", "object_id"],
                update_fields=["marked_at", "attempts", "error", *(["subtree"] if subtree else [])],
            )
    except DatabaseError:
        logger.exception("Changes of %d objects could not be marked for the index.", len(keys))
        return
    if not runs_inside_the_request():
        transaction.on_commit(partial(_enqueue, keys), using=using, robust=True)


def _enqueue(keys: Iterable[Key]) -> None:
    from .tasks import update_index

    for model, object_id in keys:
        update_index.enqueue(model, object_id)


def mark_saved(instance: Model, update_fields: Iterable[str] | None = None) -> None:
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
    elif isinstance(instance, CollectionViewRestriction):
        mark_collection(instance.collection)
    elif isinstance(instance, Collection):
        mark_collection(instance)
    elif isinstance(instance, Site):
        # A new root page may change the site of every page.
        mark_everything()
    else:
        mark(label_of(instance), instance.pk)


def mark_users(instance: Model) -> None:
    """Mark the objects whose text contains this one's. Call it before deletion."""
    mark_all(objects_that_use(label_of(instance), instance.pk))


def mark_deleted_pages(pages: QuerySet[Any]) -> None:
    """Mark pages that are about to be deleted, and what shows them. A few queries for all."""
    rows = dict(pages.values_list("pk", "content_type_id"))
    keys = [
        (".".join(ContentType.objects.get_for_id(type_id).natural_key()), str(pk))
        for pk, type_id in rows.items()
    ]
    mark_all([*keys, *users_of(keys)])
    Exclusion.objects.filter(page_id__in=list(rows)).delete()


def mark_collection(collection: Collection) -> None:
    """Mark what shows the documents of a collection, or of one beneath it."""
    documents = get_document_model()
    found = documents._default_manager.filter(collection__path__startswith=collection.path)
    label = documents._meta.label_lower
    mark_all(users_of([(label, str(pk)) for pk in found.values_list("pk", flat=True)]))


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
