from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models import Model
from django.db.models.signals import post_delete, post_migrate, post_save, pre_delete, pre_save
from wagtail.signals import post_page_move

from .backends.registration import synchronise_backends
from .index import upkeep
from .index.signals import index_activated
from .prepared.similarity import embed_before_save, renew_vectors


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


def mark_before_delete(sender: type[Model], instance: Model, **kwargs: Any) -> None:
    # Afterwards nobody knows any more which pages showed it.
    upkeep.mark_users(instance)


def mark_after_delete(sender: type[Model], instance: Model, **kwargs: Any) -> None:
    upkeep.mark_saved(instance)


def mark_after_move(sender: Any, instance: Any, **kwargs: Any) -> None:
    upkeep.mark_page(instance.pk, subtree=True)


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


def register_signal_handlers() -> None:
    post_migrate.connect(
        synchronise_after_migrate, dispatch_uid="finetune_switch.synchronise_after_migrate"
    )
    post_save.connect(mark_after_save, dispatch_uid="finetune_switch.mark_after_save")
    pre_delete.connect(mark_before_delete, dispatch_uid="finetune_switch.mark_before_delete")
    post_delete.connect(mark_after_delete, dispatch_uid="finetune_switch.mark_after_delete")
    pre_save.connect(
        embed_examples_before_save,
        sender="finetune_switch.PreparedAnswer",
        dispatch_uid="finetune_switch.embed_examples_before_save",
    )
    index_activated.connect(
        renew_vectors_of_prepared_answers,
        dispatch_uid="finetune_switch.renew_vectors_of_prepared_answers",
    )
    post_page_move.connect(mark_after_move, dispatch_uid="finetune_switch.mark_after_move")
