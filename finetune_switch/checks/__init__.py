"""System checks of a project's settings. They contact no server and do not import litellm."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.db import DatabaseError, connections, router

from finetune_switch import conf

from .index import check_index_models, check_store
from .options import check_options

VECTOR_INDEX = "wagtail-vector-index"
VECTOR_INDEX_REMEDY = f'pip install --no-deps "{VECTOR_INDEX}==0.10.*"'

WORKERLESS = ("ImmediateBackend", "DummyBackend")
# Each process has its own cache, or nothing is cached.
UNSHARED_CACHES = ("LocMemCache", "DummyCache")


def register_checks() -> None:
    checks.register(check_options, "finetune_switch")
    checks.register(check_vector_index, "finetune_switch")
    checks.register(check_index_models, "finetune_switch")
    checks.register(check_store, "finetune_switch")
    checks.register(check_sqlite, "finetune_switch")
    checks.register(check_middleware, "finetune_switch")
    checks.register(check_workers, "finetune_switch")
    checks.register(check_index_is_current, checks.Tags.database)
    checks.register(check_limits_are_shared, "finetune_switch", deploy=True)


def check_vector_index(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    uses_it = apps.is_installed("wagtail_vector_index")
    adapter = apps.is_installed("finetune_switch.vector_index")
    if not (uses_it or adapter):
        return []
    try:
        version(VECTOR_INDEX)
    except PackageNotFoundError:
        return [
            checks.Error(
                f"{VECTOR_INDEX} is not installed, but INSTALLED_APPS contains it or its adapter.",
                hint=f"Install it: {VECTOR_INDEX_REMEDY}",
                id="finetune_switch.E008",
            )
        ]
    found: list[checks.CheckMessage] = []
    if adapter and uses_it:
        found += _check_adapter_import()
    if uses_it and not adapter:
        found.append(
            checks.Warning(
                "wagtail_vector_index is installed without its adapter: its indexes are not "
                "searched for answers, and index.query() does not follow the switch.",
                hint='Add "finetune_switch.vector_index" to INSTALLED_APPS.',
                id="finetune_switch.W002",
            )
        )
    if adapter and not uses_it:
        found.append(
            checks.Error(
                "finetune_switch.vector_index is in INSTALLED_APPS, but wagtail_vector_index "
                "is not.",
                hint='Add "wagtail_vector_index" to INSTALLED_APPS, or remove the adapter.',
                id="finetune_switch.E009",
            )
        )
    return found


def _check_adapter_import() -> list[checks.CheckMessage]:
    error = getattr(apps.get_app_config("finetune_switch_vector_index"), "import_error", None)
    if error is None:
        return []
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    is_ours_to_name = missing and not missing.startswith("wagtail_vector_index")
    return [
        checks.Error(
            # Its unreleased versions move modules without another version number.
            f"{VECTOR_INDEX} is installed, but its adapter cannot be imported: {error}.",
            # It is installed with --no-deps, so its own dependencies may be missing.
            hint=f"Install what is missing: pip install {missing}"
            if is_ours_to_name
            else f"Install the supported version: {VECTOR_INDEX_REMEDY}",
            id="finetune_switch.E008",
        )
    ]


def check_sqlite(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    return [
        checks.Warning(
            f'The SQLite database "{alias}" may raise "database is locked" when several '
            "questions are asked at the same time.",
            hint=f'Set in DATABASES["{alias}"]["OPTIONS"]: {", ".join(missing)}.',
            id="finetune_switch.W003",
        )
        for alias, missing in missing_sqlite_options()
    ]


def missing_sqlite_options() -> Iterator[tuple[str, list[str]]]:
    """Yield the alias of each SQLite database that lacks options, and these options."""
    for alias, database in settings.DATABASES.items():
        if not str(database.get("ENGINE", "")).endswith("sqlite3"):
            continue
        options = database.get("OPTIONS") or {}
        needed = {
            '"transaction_mode": "IMMEDIATE"': options.get("transaction_mode") == "IMMEDIATE",
            '"timeout": 20': float(options.get("timeout") or 0) >= 20,
            '"init_command": "PRAGMA journal_mode=WAL;"': "journal_mode=wal"
            in str(options.get("init_command", "")).lower(),
        }
        if missing := [option for option, is_set in needed.items() if not is_set]:
            yield alias, missing


def check_middleware(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    if "finetune_switch.middleware.CurrentSiteMiddleware" in settings.MIDDLEWARE:
        return []
    return [
        checks.Warning(
            "CurrentSiteMiddleware is missing: code that asks questions without a request, such as "
            "index.query(), uses the default site's switch on every site.",
            hint='Add "finetune_switch.middleware.CurrentSiteMiddleware" to MIDDLEWARE.',
            id="finetune_switch.W004",
        )
    ]


def check_workers(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Warns only if the project configures the index, and so expects it to be current."""
    if not conf.declared().get("INDEX"):
        return []
    task_backend = (getattr(settings, "TASKS", None) or {}).get("default", {}).get("BACKEND", "")
    if task_backend and task_backend.rsplit(".", 1)[-1] not in WORKERLESS:
        return []
    return [
        checks.Warning(
            "There is no worker for background tasks: published pages are found only after "
            "this command is run: manage.py finetune_switch index --changed",
            hint="Set TASKS to a backend with workers, such as django_tasks_db.DatabaseBackend, "
            "or run that command regularly.",
            id="finetune_switch.W005",
        )
    ]


def check_index_is_current(
    app_configs: Any, databases: Iterable[str] | None = None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """Runs only with ``check --database`` and ``migrate``, since it reads the database."""
    from finetune_switch.index.overview import EMBEDDINGS_REMEDY, embedding_notes, rebuild_state
    from finetune_switch.models import EmbeddingSpace

    using = router.db_for_read(EmbeddingSpace)
    if using not in (databases or ()):
        return []
    try:
        tables = connections[using].introspection.table_names()
        # Before the first migration there is no index.
        if EmbeddingSpace._meta.db_table not in tables:
            return []
        needed, notes = rebuild_state().is_needed, embedding_notes()
    except DatabaseError:
        return []
    if not needed and EMBEDDINGS_REMEDY in notes:
        return [
            checks.Warning(" ".join(notes[:-1]), hint=EMBEDDINGS_REMEDY, id="finetune_switch.W009")
        ]
    if not needed:
        return []
    return [
        checks.Warning(
            "The index needs a rebuild: it was built with another embedding model than the one in "
            "the settings. The old model is used until then.",
            hint="Run: manage.py finetune_switch index",
            id="finetune_switch.W006",
        )
    ]


def check_limits_are_shared(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Runs only with ``check --deploy``: in development, a site has one process."""
    alias = conf.visitors().cache
    cache = settings.CACHES.get(str(alias), {}).get("BACKEND", "").rsplit(".", 1)[-1]
    if cache not in UNSHARED_CACHES:
        return []
    return [
        checks.Warning(
            f'The cache "{alias}" is not shared ({cache}): each process counts visitors\' '
            "questions separately, so more are answered than the limits allow.",
            hint="Use a cache that all processes share, such as Redis or Memcached, in "
            f'CACHES["{alias}"], or set {conf.SETTING}["VISITORS"]["CACHE"] to another alias.',
            id="finetune_switch.W007",
        )
    ]
