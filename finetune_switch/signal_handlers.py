from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate

from .registration import synchronise_backends


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


def register_signal_handlers() -> None:
    post_migrate.connect(
        synchronise_after_migrate, dispatch_uid="finetune_switch.synchronise_after_migrate"
    )
