"""The index on the home page, in the menu and in the checks."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core import checks as django_checks
from django.utils import timezone

from finetune_switch import adapters, checks
from finetune_switch.models import EmbeddingSpace, PendingUpdate
from tests.pages import address
from tests.screens import add_page

DATABASE_TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": ["default"]}}
IMMEDIATE = {"default": {"BACKEND": "django_tasks.backends.immediate.ImmediateBackend"}}


class TestHome:
    @pytest.fixture(autouse=True)
    def all_is_well(self, site, switch, hosted, admin):
        admin.post("backends:check", hosted.pk)
        PendingUpdate.objects.all().delete()

    def next_thing(self, person):
        page = person.get("wagtailadmin_home")
        return [link.text for link in page.soup.select(".finetune-home p:last-child > a")]

    def test_nothing_is_indexed(self, admin, monkeypatch):
        monkeypatch.setattr(adapters, "_index_sources", [])
        page = admin.get("wagtailadmin_home")
        assert page.links("Nothing is indexed yet.") == [address("index:index")]

    def test_other_indexes_are_enough(self, admin):
        assert "Nothing is indexed" not in admin.get("wagtailadmin_home").text

    def test_rebuild_is_needed(self, full, admin, another_model):
        page = admin.get("wagtailadmin_home")
        assert page.links("The index needs a rebuild") == [address("index:index")]

    def test_recent_changes_are_no_problem(self, full, site, admin):
        add_page(site, "New")
        assert "to be indexed" not in admin.get("wagtailadmin_home").text
        long_ago = timezone.now() - timedelta(hours=1)
        PendingUpdate.objects.update(marked_at=long_ago)
        assert "1 change waits to be indexed." in admin.get("wagtailadmin_home").text

    def test_failed_changes(self, full, site, admin):
        PendingUpdate.objects.create(model="a.b", object_id="1", error="It is down.")
        assert "1 change could not be indexed." in admin.get("wagtailadmin_home").text


class TestMenu:
    @pytest.mark.parametrize(
        ("role", "shown"),
        [("editor", False), ("viewer", False), ("settings", True), ("indexer", True)],
    )
    def test_permission(self, site, switch, log_in, role, shown):
        html = log_in(role).get("wagtailadmin_home").html
        assert (address("index:index") in html) == shown

    def test_permission_is_in_the_group_form(self, site, admin):
        page = admin.get("wagtailusers_groups:add")
        assert "Can build the index" in page.text


class TestChecks:
    def test_rebuild_is_a_database_warning(self, full, another_model):
        assert checks.check_index_is_current(None) == []
        found = checks.check_index_is_current(None, databases=["default"])
        assert [message.id for message in found] == ["finetune_switch.W006"]
        assert "manage.py finetune_switch index" in found[0].hint

    def test_no_warning(self, full):
        assert checks.check_index_is_current(None, databases=["default"]) == []

    def test_before_the_first_migration(self, site, another_model, monkeypatch):
        monkeypatch.setattr(EmbeddingSpace._meta, "db_table", "not_there_yet")
        assert checks.check_index_is_current(None, databases=["default"]) == []

    def test_only_with_the_database_tag(self, full, another_model):
        ids = {message.id for message in django_checks.run_checks()}
        assert "finetune_switch.W006" not in ids
        with_database = django_checks.run_checks(databases=["default"])
        assert "finetune_switch.W006" in {message.id for message in with_database}

    @pytest.mark.parametrize(
        ("index", "task_backends", "warned"),
        [
            ({"MODELS": []}, None, True),
            ({"MODELS": []}, IMMEDIATE, True),
            ({"MODELS": []}, DATABASE_TASKS, False),
            ({}, None, False),
            (None, IMMEDIATE, False),
        ],
    )
    def test_tasks_without_a_worker(self, settings, index, task_backends, warned):
        settings.FINETUNE_SWITCH = {} if index is None else {"INDEX": index}
        settings.TASKS = task_backends
        ids = [message.id for message in checks.check_workers(None)]
        assert ids == (["finetune_switch.W005"] if warned else [])
