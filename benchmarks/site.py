"""The sites that are measured, with databases of their own and model servers beside them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PROJECT = ROOT / "tests" / "bare_project"
START_SECONDS = 20


def project_environment(database: Path, **variables: str) -> dict[str, str]:
    """Variables for a ``manage.py`` of the bare site that runs from the checkout."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("BARE_")},
        "DJANGO_SETTINGS_MODULE": "bare.settings",
        "PYTHONPATH": str(ROOT),
        "BARE_DATABASE": str(database),
        **variables,
    }


@contextmanager
def migrated_site(*, postgresql: bool = False, **variables: str) -> Iterator[tuple[Any, str]]:
    """Set Django up in this process, migrate, and give the default site and the engine's name.

    On SQLite in a file, with the settings that the docs give, or on PostgreSQL. Once a process.
    """
    import django
    import environ

    with database_url(postgresql=postgresql) as url:
        wanted = environ.Env.db_url_config(url)
        os.environ.update(project_environment(Path(wanted["NAME"]), **variables))
        sys.path.insert(0, str(PROJECT))
        if postgresql:
            from bare import settings

            settings.DATABASES["default"] = {**wanted, "CONN_MAX_AGE": 60}
        django.setup()
        from django.core.management import call_command
        from django.db import connection, connections
        from wagtail.models import Site

        call_command("migrate", verbosity=0)
        yield Site.objects.get(is_default_site=True), connection.display_name
        connections.close_all()


@contextmanager
def demo_database(*, postgresql: bool = False) -> Iterator[str]:
    """Set Django up with the demo's settings on an empty database, and give the engine's name.

    Its types of page are indexed by wagtail-vector-index as well, which keeps and finds them in its
    own way. Once a process.
    """
    with database_url(postgresql=postgresql) as url:
        os.environ |= {"DJANGO_SETTINGS_MODULE": "demo_site.settings", "DATABASE_URL": url}
        import django

        from demo_site import settings

        kind = "pgvector.Pgvector" if postgresql else "numpy.Numpy"
        settings.WAGTAIL_VECTOR_INDEX_STORAGE_PROVIDERS = {
            "default": {"STORAGE_PROVIDER": f"wagtail_vector_index.storage.{kind}StorageProvider"}
        }
        settings.WAGTAIL_VECTOR_INDEX["EMBEDDING_BACKENDS"] = {
            "default": {
                "CLASS": "finetune_switch.vector_index.embeddings.EmbeddedEmbeddingBackend",
                "CONFIG": {"MODEL_ID": "use-multilingual-v3"},
            }
        }
        django.setup()
        from django.core.management import call_command
        from django.db import connection, connections

        call_command("migrate", verbosity=0)
        yield connection.display_name
        connections.close_all()


@contextmanager
def database_url(*, postgresql: bool = False) -> Iterator[str]:
    """The address of a database of its own, with or without its tables.

    Tests, which have no time to migrate one for each benchmark, give one that is migrated:
    ``BENCHMARK_POSTGRESQL`` is the address of a PostgreSQL.
    """
    if not postgresql:
        with tempfile.TemporaryDirectory(prefix="finetune-benchmark-") as folder:
            yield f"sqlite:///{sqlite_file(folder)}"
    elif given := os.environ.get("BENCHMARK_POSTGRESQL"):
        yield given
    else:
        from tests.postgres import private_server

        with private_server() as url:
            yield url


def sqlite_file(folder: str) -> Path:
    """The name of a new file there, or a copy of the database ``BENCHMARK_SQLITE``."""
    path = Path(folder) / "site.sqlite3"
    if given := os.environ.get("BENCHMARK_SQLITE"):
        shutil.copy(given, path)
    return path


@contextmanager
def standin_process() -> Iterator[str]:
    """The stand-in for OpenAI and Ollama, as fast as it can, in a process of its own; its URL."""
    with tempfile.TemporaryDirectory(prefix="finetune-standin-") as folder:
        port_file = Path(folder) / "port.json"
        command = [sys.executable, "-m", "demo_site.standin", "--port-file", str(port_file)]
        process = subprocess.Popen(
            [*command, "--tokens-per-second", "0", "--first-token-seconds", "0"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )
        try:
            deadline = time.monotonic() + START_SECONDS
            while not port_file.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("The stand-in did not start.")
                time.sleep(0.05)
            yield json.loads(port_file.read_text(encoding="utf-8"))["url"]
        finally:
            process.terminate()
            process.wait(10)
