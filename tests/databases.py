"""The database of the tests: migrated once in a run, and emptied quickly after each test."""

from __future__ import annotations

from pathlib import Path

from django.db import connections, transaction
from django.test import TransactionTestCase
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
    TransactionTestCase._fixture_teardown = _empty_tables


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


def _empty_tables(test: TransactionTestCase) -> None:
    """In place of ``flush``, which has each app make its content types and permissions anew, and
    truncates all of some 130 tables although most are empty.
    """
    connection = connections["default"]
    quote = connection.ops.quote_name
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    is_filled = "SELECT '{}' WHERE EXISTS (SELECT 1 FROM {})"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            " UNION ALL ".join(
                is_filled.format(table, quote(table)) for table in set(tables) - KEPT
            )
        )
        # Keys are checked where the transaction ends, so that no table need go before another.
        for (table,) in cursor.fetchall():
            cursor.execute(f"DELETE FROM {quote(table)}")
