from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any
from weakref import WeakSet

from django.apps import AppConfig, apps
from django.core.signals import request_started
from django.db.backends.signals import connection_created
from django.db.models import Model, QuerySet
from django.db.models.signals import (
    ModelSignal,
    post_delete,
    post_migrate,
    post_save,
    pre_delete,
    pre_save,
)
from django.dispatch import Signal
from wagtail.models import (
    AbstractPage,
    Collection,
    CollectionViewRestriction,
    PageLogEntry,
    PageViewRestriction,
    Site,
    get_page_models,
)
from wagtail.signals import copy_for_translation_done, post_page_move

from . import adapters
from .access.visibility import page_model
from .backends.registration import synchronise_backends
from .index import upkeep
from .index.exclusions import follow_copy, follow_logged_copy
from .index.shown_models import shown_models
from .index.signals import index_activated
from .index.sources import indexed_models
from .models import Exclusion, PreparedAnswer
from .prepared.similarity import embed_before_save, renew_vectors

RESTRICTIONS = (PageViewRestriction, CollectionViewRestriction)
RECONNECT_UID = "finetune_switch.reconnect_indexed_models"


def synchronise_after_migrate(
    sender: AppConfig, using: str = "default", plan: Any = None, **kwargs: Any
) -> None:
    if sender.label == "finetune_switch" and _tables_exist(using):
        synchronise_backends(using=using)


def _tables_exist(using: str) -> bool:
    from django.db import connections

    from .models import SystemPrompt

    # `migrate finetune_switch zero` sends the signal as well.
    return SystemPrompt._meta.db_table in connections[using].introspection.table_names()


def mark_after_save(
    sender: type[Model],
    instance: Model,
    raw: bool = False,
    update_fields: Any = None,
    **kwargs: Any,
) -> None:
    if not raw:
        upkeep.mark_saved(instance, update_fields)


# The querysets whose deletion has been marked. Each of their objects sends a signal.
_deletions: WeakSet[QuerySet[Any]] = WeakSet()


def mark_before_delete(
    sender: type[Model], instance: Model, origin: Any = None, **kwargs: Any
) -> None:
    # Wagtail's index of references forgets a deleted object.
    if not isinstance(instance, AbstractPage):
        upkeep.mark_users(instance)
    elif not isinstance(origin, QuerySet) or not issubclass(origin.model, AbstractPage):
        upkeep.mark_deleted_pages(page_model()._default_manager.filter(pk=instance.pk))
    elif origin not in _deletions:
        _deletions.add(origin)
        upkeep.mark_deleted_pages(origin)


def mark_after_delete(sender: type[Model], instance: Model, **kwargs: Any) -> None:
    upkeep.mark_changed(instance)


def mark_after_move(sender: Any, instance: Any, **kwargs: Any) -> None:
    upkeep.mark_page(instance.pk, subtree=True)


def exclude_alias(
    sender: type[Model], instance: Any, created: bool = False, raw: bool = False, **kwargs: Any
) -> None:
    if created and not raw and instance.alias_of_id is not None:
        follow_copy(instance.alias_of_id, instance)


def exclude_translation(sender: Any, source_obj: Any, target_obj: Any, **kwargs: Any) -> None:
    if isinstance(target_obj, AbstractPage):
        follow_copy(source_obj.pk, target_obj)


def exclude_copy(
    sender: type[Model], instance: Any, created: bool = False, raw: bool = False, **kwargs: Any
) -> None:
    # Page.copy() sends no signal of its own, but writes to the log.
    if created and not raw and instance.action == "wagtail.copy":
        follow_logged_copy(instance)


def embed_examples_before_save(
    sender: type[Model],
    instance: Any,
    raw: bool = False,
    update_fields: Any = None,
    **kwargs: Any,
) -> None:
    if not raw and (update_fields is None or "examples" in update_fields):
        embed_before_save(instance)


def renew_vectors_of_prepared_answers(sender: Any, **kwargs: Any) -> None:
    renew_vectors()


def connect_indexed_models() -> None:
    """Connect the signals of the models that the index depends on, and of no others.

    Safe to repeat: adapters may register models later. Takes 7 µs if the models are the same.
    """
    _connect_models(frozenset(indexed_models()))


def reconnect_indexed_models(sender: Any, signal: Signal, **kwargs: Any) -> None:
    connect_indexed_models()
    if apps.ready and not adapters.has_model_sources():
        # Without adapters, the models depend on the settings only.
        signal.disconnect(dispatch_uid=RECONNECT_UID)


@cache
def _connect_models(indexed: frozenset[type[Model]]) -> None:
    page = page_model()
    shown = shown_models(indexed)
    # Deleting a page also sends the signals of its base class; saving it does not.
    others = [Site, Collection, *RESTRICTIONS]
    _connect(post_save, mark_after_save, [*get_page_models(), *shown, *others])
    _connect(pre_delete, mark_before_delete, [page, *shown])
    _connect(post_delete, mark_after_delete, [*shown, Site, *RESTRICTIONS])


def _connect(signal: ModelSignal, handler: Callable[..., None], models: Iterable[Any]) -> None:
    for model in models:
        signal.connect(handler, sender=model, dispatch_uid=f"finetune_switch.{handler.__name__}")


def register_signal_handlers() -> None:
    post_migrate.connect(
        synchronise_after_migrate, dispatch_uid="finetune_switch.synchronise_after_migrate"
    )
    connect_indexed_models()
    # Adapters may register models after this app is ready, for example in the URLconf.
    for signal in (connection_created, request_started):
        signal.connect(reconnect_indexed_models, dispatch_uid=RECONNECT_UID)
    _connect(post_save, mark_after_save, [Exclusion])
    _connect(post_delete, mark_after_delete, [Exclusion])
    _connect(post_save, exclude_alias, get_page_models())
    _connect(post_save, exclude_copy, [PageLogEntry])
    copy_for_translation_done.connect(
        exclude_translation, dispatch_uid="finetune_switch.exclude_translation"
    )
    _connect(pre_save, embed_examples_before_save, [PreparedAnswer])
    index_activated.connect(
        renew_vectors_of_prepared_answers,
        dispatch_uid="finetune_switch.renew_vectors_of_prepared_answers",
    )
    post_page_move.connect(mark_after_move, dispatch_uid="finetune_switch.mark_after_move")
