"""What `manage.py check` says of the settings. No database, no network, no litellm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.db import DatabaseError, connections, router

from finetune_switch import conf

from .index import check_index_models, check_store
from .visitors import check_limits_are_shared, check_visitors, unknown_options

VECTOR_INDEX = "wagtail-vector-index"
VECTOR_INDEX_VERSION = "0.10"
VECTOR_INDEX_REMEDY = f'pip install --no-deps "{VECTOR_INDEX}=={VECTOR_INDEX_VERSION}.*"'

WORKERLESS = ("ImmediateBackend", "DummyBackend")


def register_checks() -> None:
    checks.register(check_options, "finetune_switch")
    checks.register(check_connections, "finetune_switch")
    checks.register(check_vector_index, "finetune_switch")
    checks.register(check_index_models, "finetune_switch")
    checks.register(check_store, "finetune_switch")
    checks.register(check_sqlite, "finetune_switch")
    checks.register(check_middleware, "finetune_switch")
    checks.register(check_workers, "finetune_switch")
    checks.register(check_index_is_current, checks.Tags.database)
    checks.register(check_limits_are_shared, "finetune_switch", deploy=True)


def check_options(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    declared = getattr(settings, conf.SETTING, {})
    if not isinstance(declared, Mapping):
        return [checks.Error(f"{conf.SETTING} must be a dictionary.", id="finetune_switch.E001")]
    found: list[checks.CheckMessage] = unknown_options(
        conf.SETTING, declared, conf.OPTIONS, "finetune_switch.E002"
    )
    found += _check_deadlines(f'{conf.SETTING}["DEADLINES"]', declared.get("DEADLINES"))
    days = declared.get("RETENTION_DAYS", 1)
    if days is not None and (not isinstance(days, int) or isinstance(days, bool) or days < 1):
        found.append(
            checks.Error(
                f'{conf.SETTING}["RETENTION_DAYS"] must be a number of days, or None to keep '
                f"visitors' questions for ever, not {days!r}.",
                id="finetune_switch.E003",
            )
        )
    threads = declared.get("DATABASE_THREADS", 1)
    if not isinstance(threads, int) or isinstance(threads, bool) or threads < 1:
        found.append(
            checks.Error(
                f'{conf.SETTING}["DATABASE_THREADS"] must be a whole number above 0, '
                f"not {threads!r}.",
                id="finetune_switch.E003",
            )
        )
    if seed := declared.get("SEED_BACKEND"):
        found += unknown_options(
            f'{conf.SETTING}["SEED_BACKEND"]', seed, conf.SEED_OPTIONS, "finetune_switch.E002"
        )
        if seed.get("CONNECTION") not in conf.connection_aliases():
            found.append(
                checks.Error(
                    f'{conf.SETTING}["SEED_BACKEND"]["CONNECTION"] names '
                    f"{seed.get('CONNECTION')!r}, which CONNECTIONS does not declare.",
                    id="finetune_switch.E006",
                )
            )
    found += check_visitors(f'{conf.SETTING}["VISITORS"]', declared.get("VISITORS"))
    return found + _check_index(f'{conf.SETTING}["INDEX"]', declared.get("INDEX"))


def _check_index(path: str, index: Any) -> list[checks.CheckMessage]:
    if not index:
        return []
    if not isinstance(index, Mapping):
        return [checks.Error(f"{path} must be a dictionary.", id="finetune_switch.E001")]
    found: list[checks.CheckMessage] = unknown_options(
        path, index, conf.INDEX_OPTIONS, "finetune_switch.E004"
    )
    for option in ("MODELS", "EXCLUDE_PAGE_TYPES", "EXCLUDE_FIELDS"):
        if not isinstance(index.get(option) or [], list | tuple):
            found.append(
                checks.Error(f'{path}["{option}"] must be a list.', id="finetune_switch.E001")
            )
    if not isinstance(index.get("STORE_OPTIONS") or {}, Mapping):
        found.append(
            checks.Error(
                f'{path}["STORE_OPTIONS"] must be a dictionary.', id="finetune_switch.E001"
            )
        )
    return found + _check_embeddings(f'{path}["EMBEDDINGS"]', index.get("EMBEDDINGS"))


def _check_embeddings(path: str, embeddings: Any) -> list[checks.CheckMessage]:
    if not embeddings:
        return []
    if not isinstance(embeddings, Mapping):
        return [checks.Error(f"{path} must be a dictionary.", id="finetune_switch.E001")]
    found: list[checks.CheckMessage] = unknown_options(
        path, embeddings, conf.EMBEDDING_OPTIONS, "finetune_switch.E004"
    )
    found += [
        checks.Error(
            f'{path} lacks the option "{option}".',
            hint="Without EMBEDDINGS the embedded model is used.",
            id="finetune_switch.E005",
        )
        for option in conf.REQUIRED_EMBEDDING_OPTIONS
        if not embeddings.get(option)
    ]
    alias = embeddings.get("CONNECTION")
    if alias and alias not in conf.connection_aliases():
        found.append(
            checks.Error(
                f'{path}["CONNECTION"] names {alias!r}, which CONNECTIONS does not declare.',
                id="finetune_switch.E006",
            )
        )
    for option in ("DIMENSIONS", "BATCH_SIZE", "MAX_TOKENS"):
        number = embeddings.get(option)
        if number is not None and (
            not isinstance(number, int) or isinstance(number, bool) or number < 1
        ):
            found.append(
                checks.Error(
                    f'{path}["{option}"] must be a whole number above 0, not {number!r}.',
                    id="finetune_switch.E003",
                )
            )
    if not isinstance(embeddings.get("PARAMETERS") or {}, Mapping):
        found.append(
            checks.Error(f'{path}["PARAMETERS"] must be a dictionary.', id="finetune_switch.E001")
        )
    return found


def check_connections(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    declared = getattr(settings, conf.SETTING, {})
    if not isinstance(declared, Mapping):
        return []
    connections = declared.get("CONNECTIONS") or {}
    if not isinstance(connections, Mapping):
        return [
            checks.Error(
                f'{conf.SETTING}["CONNECTIONS"] must be a dictionary of connections by alias.',
                id="finetune_switch.E001",
            )
        ]
    found: list[checks.CheckMessage] = []
    for alias, connection in connections.items():
        path = f'{conf.SETTING}["CONNECTIONS"]["{alias}"]'
        if not isinstance(connection, Mapping):
            found.append(checks.Error(f"{path} must be a dictionary.", id="finetune_switch.E001"))
            continue
        found += _check_connection(path, connection)
    return found


def _check_connection(path: str, connection: Mapping[str, Any]) -> list[checks.CheckMessage]:
    found: list[checks.CheckMessage] = unknown_options(
        path, connection, conf.CONNECTION_OPTIONS, "finetune_switch.E004"
    )
    found += [
        checks.Error(
            f'{path} lacks the option "{option}" ({conf.CONNECTION_OPTIONS[option]}).',
            id="finetune_switch.E005",
        )
        for option in conf.REQUIRED_CONNECTION_OPTIONS
        if not connection.get(option)
    ]
    api_base = connection.get("API_BASE")
    if (
        api_base
        and not callable(api_base)
        and not str(api_base).startswith(("http://", "https://"))
    ):
        found.append(
            checks.Error(
                f'{path}["API_BASE"] must begin with http:// or https://, or be a callable '
                "that returns such an address.",
                id="finetune_switch.E007",
            )
        )
    if api_base and connection.get("API_BASE_FILE"):
        found.append(
            checks.Error(
                f'{path} has both "API_BASE" and "API_BASE_FILE"; give one of them.',
                id="finetune_switch.E007",
            )
        )
    return found + _check_deadlines(f'{path}["DEADLINES"]', connection.get("DEADLINES"))


def _check_deadlines(path: str, deadlines: Any) -> list[checks.CheckMessage]:
    if not deadlines:
        return []
    if not isinstance(deadlines, Mapping):
        return [checks.Error(f"{path} must be a dictionary.", id="finetune_switch.E001")]
    found: list[checks.CheckMessage] = unknown_options(
        path, deadlines, conf.DEADLINE_OPTIONS, "finetune_switch.E004"
    )
    found += [
        checks.Error(
            f'{path}["{option}"] must be a number of seconds above 0, not {seconds!r}.',
            id="finetune_switch.E003",
        )
        for option, seconds in deadlines.items()
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds <= 0
    ]
    return found


def check_vector_index(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    uses_it = apps.is_installed("wagtail_vector_index")
    adapter = apps.is_installed("finetune_switch.vector_index")
    if not (uses_it or adapter):
        return []
    try:
        installed = version(VECTOR_INDEX)
    except PackageNotFoundError:
        return [
            checks.Error(
                f"{VECTOR_INDEX} is not installed, but INSTALLED_APPS names it or its adapter.",
                hint=f"Install it: {VECTOR_INDEX_REMEDY}",
                id="finetune_switch.E008",
            )
        ]
    found: list[checks.CheckMessage] = []
    if installed.split(".")[:2] != VECTOR_INDEX_VERSION.split("."):
        found.append(
            checks.Warning(
                f"{VECTOR_INDEX} {installed} is installed; the adapter is made for "
                f"{VECTOR_INDEX_VERSION}.",
                hint=f"Install the version it is made for: {VECTOR_INDEX_REMEDY}",
                id="finetune_switch.W001",
            )
        )
    if adapter and uses_it:
        found += _check_adapter_import()
    if uses_it and not adapter:
        found.append(
            checks.Warning(
                "wagtail_vector_index is installed, but its adapter is not: its indexes are not "
                "searched for answers, and index.query() does not follow the switch.",
                hint='Add "finetune_switch.vector_index" to INSTALLED_APPS.',
                id="finetune_switch.W002",
            )
        )
    if adapter and not uses_it:
        found.append(
            checks.Error(
                "finetune_switch.vector_index is in INSTALLED_APPS, but wagtail_vector_index, "
                "which it adapts, is not.",
                hint='Add "wagtail_vector_index" to INSTALLED_APPS as well, or take the adapter '
                "out.",
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
            f"{VECTOR_INDEX} is installed, but its adapter cannot be imported: {error}.",
            # Installed with --no-deps, it brings nothing that it needs.
            hint=f"Install what is missing: pip install {missing}"
            if is_ours_to_name
            else f"Install the version it is made for: {VECTOR_INDEX_REMEDY}",
            id="finetune_switch.E008",
        )
    ]


def check_sqlite(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    found: list[checks.CheckMessage] = []
    for alias, database in settings.DATABASES.items():
        if not str(database.get("ENGINE", "")).endswith("sqlite3"):
            continue
        options = database.get("OPTIONS") or {}
        missing = [
            what
            for what, is_set in (
                ('"transaction_mode": "IMMEDIATE"', options.get("transaction_mode") == "IMMEDIATE"),
                ('"timeout": 20', float(options.get("timeout") or 0) >= 20),
                (
                    '"init_command": "PRAGMA journal_mode=WAL;"',
                    "journal_mode=wal" in str(options.get("init_command", "")).lower(),
                ),
            )
            if not is_set
        ]
        if missing:
            found.append(
                checks.Warning(
                    f'The SQLite database "{alias}" will say "database is locked" when several '
                    "questions are asked at the same moment.",
                    hint=f'Set in DATABASES["{alias}"]["OPTIONS"]: {", ".join(missing)}.',
                    id="finetune_switch.W003",
                )
            )
    return found


def check_middleware(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    if "finetune_switch.middleware.CurrentSiteMiddleware" in settings.MIDDLEWARE:
        return []
    return [
        checks.Warning(
            "CurrentSiteMiddleware is missing: code that asks without a request, such as "
            "index.query(), follows the default site's switch on every site.",
            hint='Add "finetune_switch.middleware.CurrentSiteMiddleware" to MIDDLEWARE.',
            id="finetune_switch.W004",
        )
    ]


def check_workers(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Only where a site has set up its index, and so means it to be current."""
    declared = getattr(settings, conf.SETTING, None)
    if not (isinstance(declared, Mapping) and declared.get("INDEX")):
        return []
    task_backend = (getattr(settings, "TASKS", None) or {}).get("default", {}).get("BACKEND", "")
    if task_backend and task_backend.rsplit(".", 1)[-1] not in WORKERLESS:
        return []
    return [
        checks.Warning(
            "Background tasks have no worker: what is published is only marked, and questions "
            "find it once somebody has run: manage.py finetune_switch index --changed",
            hint="Set TASKS to a backend with workers, such as django_tasks_db.DatabaseBackend, "
            "or run that command regularly.",
            id="finetune_switch.W005",
        )
    ]


def check_index_is_current(
    app_configs: Any, databases: Iterable[str] | None = None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """Reads the database, so only ``check --database`` (and ``migrate``) asks it."""
    from finetune_switch.index.overview import rebuild_state
    from finetune_switch.models import EmbeddingSpace

    using = router.db_for_read(EmbeddingSpace)
    if using not in (databases or ()):
        return []
    try:
        tables = connections[using].introspection.table_names()
        # Before the first migration there is nothing to be current.
        needed = EmbeddingSpace._meta.db_table in tables and rebuild_state().is_needed
    except DatabaseError:
        return []
    if not needed:
        return []
    return [
        checks.Warning(
            "The index needs a rebuild: the settings name another embedding model than the one "
            "it was made by, which answers until then.",
            hint="Run: manage.py finetune_switch index",
            id="finetune_switch.W006",
        )
    ]
