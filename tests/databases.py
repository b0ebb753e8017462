"""The database of the tests: migrated once in a run, and as it was again after each test."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management.color import no_style
from django.db import connections, transaction
from django.db.models.signals import post_migrate
from django.test import TransactionTestCase, override_settings
from django.test.utils import setup_databases
from filelock import FileLock

# What ``migrate`` wrote about the code is as true after a test as before it.
KEPT = {"django_migrations", "django_content_type", "auth_permission"}

# In the folder that the workers share.
MIGRATED, LOCK, IN_USE = "migrated", "migrated.lock", ".in-use"


def set_up_database(folder: Path, worker: str) -> None:
    """Lead ``default`` to a migrated database of this worker's own.

    Wagtail's migrations take longer than most files of tests. Whichever of the workers that share
    ``folder`` comes first runs them, and each copies what it made, as Django's own parallel runner
    does.
    """
    connection = connections["default"]
    if connection.vendor == "sqlite":
        # In a file: asynchronous work reaches the database from threads of its own.
        connection.settings_dict["TEST"]["NAME"] = str(folder / "migrated.sqlite3")
    made = folder / MIGRATED
    with FileLock(folder / LOCK):
        if made.exists():
            connection.settings_dict["NAME"] = made.read_text(encoding="utf-8")
        else:
            setup_databases(verbosity=0, interactive=False, serialized_aliases=[])
            made.write_text(connection.settings_dict["NAME"], encoding="utf-8")
        # PostgreSQL copies no database that somebody is connected to.
        connection.close()
        connection.creation.clone_test_db(worker, verbosity=0)
        (folder / f"{worker}{IN_USE}").touch()
    connection.settings_dict.update(connection.creation.get_test_db_clone_settings(worker))
    _make_site()
    if connection.vendor == "sqlite":
        kept = sqlite3.connect(":memory:")
        connection.connection.backup(kept)
        TransactionTestCase._fixture_teardown = lambda _test: _restore_file(kept)
    else:
        baseline = Baseline()
        TransactionTestCase._fixture_teardown = lambda _test: baseline.restore()


def copy_migrated_database(folder: Path, name: str) -> None:
    """Make a database of this name, as ``migrate`` leaves it, for servers of their own."""
    connection = connections["default"]
    migrated = (folder / MIGRATED).read_text(encoding="utf-8")
    if connection.vendor == "sqlite":
        shutil.copy(migrated, name)
        return
    with FileLock(folder / LOCK), connection._nodb_cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE {migrated}")


def tear_down_database(folder: Path, worker: str) -> None:
    """Drop this worker's database and, with the last one, what all of them were copied from."""
    connection = connections["default"]
    connections.close_all()
    with FileLock(folder / LOCK):
        connection.creation.destroy_test_db(verbosity=0)
        (folder / f"{worker}{IN_USE}").unlink()
        if not list(folder.glob(f"*{IN_USE}")):
            made = folder / MIGRATED
            connection.settings_dict["NAME"] = made.read_text(encoding="utf-8")
            connection.creation.destroy_test_db(verbosity=0)
            made.unlink()


def the_site() -> Any:
    """The default site with a home page, and the rows that ``migrate`` makes without a seed.

    It is there already, unless a test has removed it.
    """
    from wagtail.models import Site

    sites = Site.objects.select_related("root_page").filter(root_page__slug="harbour")
    return sites.first() or _make_site()


def _make_site() -> Any:
    from wagtail.models import Locale, Page, Site

    from demo_site.models import HomePage
    from finetune_switch.backends.registration import synchronise_backends
    from finetune_switch.models import ChatBackend

    Locale.objects.get_or_create(language_code="en-gb")
    remove_site()
    root = Page.get_first_root_node() or Page.add_root(instance=Page(title="Root", slug="root"))
    home = HomePage(
        title="Harbour", slug="harbour", strapline="Boats", introduction="A harbour with boats."
    )
    root.add_child(instance=home)
    site = Site.objects.create(
        hostname="localhost", site_name="Harbour", root_page=home, is_default_site=True
    )
    ChatBackend.objects.all().delete()
    with override_settings(FINETUNE_SWITCH={**settings.FINETUNE_SWITCH, "SEED_BACKEND": None}):
        synchronise_backends()
    return site


def remove_site() -> None:
    """Remove every page but the root, and the site with them, for a test that makes its own."""
    from wagtail.models import Page

    for page in Page.objects.filter(depth=2):
        page.delete()


def _restore_file(kept: sqlite3.Connection) -> None:
    """Each page of the file as it was: quicker than to make a site anew for each test."""
    connection = connections["default"]
    connection.ensure_connection()
    kept.backup(connection.connection)


class Baseline:
    """The rows of every table of a PostgreSQL as they are now, to have them again after each test.

    In place of ``flush``, which has each app make its content types and permissions anew, and
    truncates all of some 130 tables although most are empty.
    """

    def __init__(self) -> None:
        self.connection = connections["default"]
        self.rows = {}
        with self.connection.cursor() as cursor:
            for table in self._filled():
                with cursor.copy(f"COPY {self._quote(table)} TO STDOUT") as copy:
                    self.rows[table] = b"".join(copy)
        self.was_migrated = False
        post_migrate.connect(self._hear)

    def restore(self) -> None:
        left = set() if self.was_migrated else KEPT
        # Keys are checked where the transaction ends, so that no table need go before another.
        with transaction.atomic(), self.connection.cursor() as cursor:
            for table in set(self._filled()) - left:
                cursor.execute(f"DELETE FROM {self._quote(table)}")
            for table in self.rows.keys() - left:
                with cursor.copy(f"COPY {self._quote(table)} FROM STDIN") as copy:
                    copy.write(self.rows[table])
            if self.was_migrated:
                # It may have numbered everything anew.
                models = apps.get_models(include_auto_created=True)
                for statement in self.connection.ops.sequence_reset_sql(no_style(), models):
                    cursor.execute(statement)
                apps.get_model("contenttypes.contenttype").objects.clear_cache()
        self.was_migrated = False

    def _hear(self, **_signal: Any) -> None:
        """A test has migrated, or flushed, which ends like a migration."""
        self.was_migrated = True

    def _filled(self) -> list[str]:
        tables = self.connection.introspection.django_table_names(
            only_existing=True, include_views=False
        )
        is_filled = "SELECT '{}' WHERE EXISTS (SELECT 1 FROM {})"
        with self.connection.cursor() as cursor:
            cursor.execute(
                " UNION ALL ".join(is_filled.format(table, self._quote(table)) for table in tables)
            )
            return [table for (table,) in cursor.fetchall()]

    def _quote(self, table: str) -> str:
        return self.connection.ops.quote_name(table)
