from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission
from django.core.management import call_command

from finetune_switch.admin.permissions import GRANTABLE
from finetune_switch.models import ChatBackend

pytestmark = pytest.mark.django_db


def test_no_missing_migrations(capsys):
    call_command("makemigrations", "finetune_switch", "--check", "--dry-run")
    assert "No changes detected" in capsys.readouterr().out


def test_grantable_permissions_exist():
    found = Permission.objects.filter(content_type__app_label="finetune_switch")
    assert set(GRANTABLE) | {"change_switch"} <= set(found.values_list("codename", flat=True))


def test_a_fresh_site_can_answer_without_a_model():
    (row,) = ChatBackend.objects.filter(kind=ChatBackend.Kind.EXTRACTIVE)
    assert (row.alias, row.unavailable_reason) == ("extractive", "")


def test_migrate_creates_the_seed_backend(settings):
    ChatBackend.objects.all().delete()
    call_command("migrate", verbosity=0)
    seed = settings.FINETUNE_SWITCH["SEED_BACKEND"]
    (row,) = ChatBackend.objects.editable()
    assert (row.model_name, row.connection) == (seed["MODEL_NAME"], seed["CONNECTION"])
    assert row.prompt_version == 1
