"""The migrations say what the models do, and bring what an editor needs."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission
from django.core.management import call_command

from finetune_switch.admin.permissions import GRANTABLE
from finetune_switch.models import ChatBackend

pytestmark = pytest.mark.django_db


def test_no_change_lacks_its_migration(capsys):
    call_command("makemigrations", "finetune_switch", "--check", "--dry-run")
    assert "No changes detected" in capsys.readouterr().out


def test_every_permission_that_can_be_given_is_there():
    found = Permission.objects.filter(content_type__app_label="finetune_switch")
    assert set(GRANTABLE) | {"change_switch"} <= set(found.values_list("codename", flat=True))


def test_a_fresh_site_can_answer_without_a_model():
    (row,) = ChatBackend.objects.filter(kind=ChatBackend.Kind.EXTRACTIVE)
    assert (row.alias, row.unavailable_reason) == ("extractive", "")


def test_the_seed_of_the_settings_has_its_row(settings):
    ChatBackend.objects.all().delete()
    call_command("migrate", verbosity=0)
    seed = settings.FINETUNE_SWITCH["SEED_BACKEND"]
    (row,) = ChatBackend.objects.editable()
    assert (row.model_name, row.connection) == (seed["MODEL_NAME"], seed["CONNECTION"])
    assert row.prompt_version == 1
