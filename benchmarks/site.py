"""The sites that are measured, with databases of their own and model servers beside them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
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
def migrated_site(
    database: Mapping[str, Any] | None = None, **variables: str
) -> Iterator[tuple[Any, str]]:
    """Set Django up in this process, migrate, and give the default site and the engine's name.

    On SQLite in a file, with the settings that the docs give, or on ``database``. Once a process.
    """
    import django

    with tempfile.TemporaryDirectory(prefix="finetune-benchmark-") as folder:
        path = Path(folder) / "bare.sqlite3"
        os.environ.update(project_environment(path, **variables))
        sys.path.insert(0, str(PROJECT))
        if database is not None:
            from bare import settings

            settings.DATABASES["default"] = dict(database)
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
    with tempfile.TemporaryDirectory(prefix="finetune-benchmark-") as folder, ExitStack() as stack:
        url = f"sqlite:///{Path(folder) / 'demo.sqlite3'}"
        if postgresql:
            from tests.postgres import private_server

            url = stack.enter_context(private_server())
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
                "CONFIG": {"MODEL_ID": "wordllama-256"},
            }
        }
        django.setup()
        from django.core.management import call_command
        from django.db import connection, connections

        call_command("migrate", verbosity=0)
        yield connection.display_name
        connections.close_all()


@contextmanager
def private_postgresql() -> Iterator[dict[str, Any]]:
    """A PostgreSQL that nobody else knows of, as an entry for ``DATABASES``."""
    import environ

    from tests.postgres import private_server

    with private_server() as url:
        yield {**environ.Env.db_url_config(url), "CONN_MAX_AGE": 60}


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
