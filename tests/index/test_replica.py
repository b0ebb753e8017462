"""A project whose router reads from a replica: nothing is written there."""

from __future__ import annotations

import copy
import re
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections

from finetune_switch.access import Asker
from finetune_switch.answers import answer
from finetune_switch.index.exclusions import set_exclusion
from finetune_switch.models import Document, Exchange, PendingUpdate, Switch
from tests.index_helpers import build

pytestmark = pytest.mark.django_db(transaction=True)

_WRITES = re.compile(
    r"\s*(?:INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|COPY|TRUNCATE)\b|.*FOR UPDATE", re.I | re.S
)


class ReplicaRouter:
    def db_for_read(self, model: type, **hints: Any) -> str:
        return "replica"

    def db_for_write(self, model: type, **hints: Any) -> str:
        return "default"

    def allow_relation(self, first: Any, second: Any, **hints: Any) -> bool:
        return True


@pytest.fixture
def replica(settings: Any):
    """The default database by another alias that refuses to write; gives refused statements."""
    refused: list[str] = []

    def refuse(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        # Wagtail itself writes to the database that a page was read from.
        if "finetune_switch" in str(sql) and _WRITES.match(str(sql)):
            refused.append(str(sql))
            raise AssertionError(f"Written to the replica: {sql}")
        return execute(sql, params, many, context)

    default = connections["default"]
    default.ensure_connection()
    stand_in = copy.copy(default)
    stand_in.alias = "replica"
    stand_in.execute_wrappers = [refuse]
    connections["replica"] = stand_in
    settings.DATABASE_ROUTERS = [f"{__name__}.ReplicaRouter"]
    yield refused
    settings.DATABASE_ROUTERS = []
    del connections["replica"]


def test_index(replica: list[str], make_page: Any) -> None:
    page = make_page("Lamp", "The lamp was lit in 1871.")
    assert not build().error
    page.introduction = "The lamp was lit in 1902."
    page.save_revision().publish()
    assert PendingUpdate.objects.exists()
    build(changed_only=True)
    assert not PendingUpdate.objects.exists()
    gone = make_page("Bell", "The bell rings at noon.")
    build(changed_only=True)
    assert Document.objects.filter(title="Bell").exists()
    gone.unpublish()
    build(changed_only=True)
    assert not Document.objects.filter(title="Bell").exists()
    set_exclusion(page, left_out=True)
    build(changed_only=True)
    assert not Document.objects.filter(title="Lamp").exists()
    assert replica == []


def test_questions_and_commands(replica: list[str], make_page: Any) -> None:
    make_page("Lamp", "The lamp was lit in 1871.")
    for command in (["index"], ["index", "--changed", "--verify"], ["use", "extractive"]):
        call_command("finetune_switch", *command, stdout=StringIO(), stderr=StringIO())
    assert "1871" in answer("When was the lamp lit?", asker=Asker.anonymous()).text
    assert Exchange.objects.get().outcome == "complete"
    assert Switch.objects.exists()
    call_command("finetune_switch", "purge", stdout=StringIO())
    assert replica == []
