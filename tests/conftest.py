"""Parts that many tests share: a model server on a real socket, a site, and its database."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection

from demo_site.standin import StandIn
from tests.databases import Kept, make_site, the_site, threads_in_transaction

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

pytest_plugins = ["tests.screens"]

API_KEY = "sk-tests-0123456789abcdef"


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if connection.vendor == "sqlite":
        # In a file: asynchronous work reaches the database from threads of its own.
        folder = tmp_path_factory.mktemp("database")
        connection.settings_dict["TEST"]["NAME"] = str(folder / "test.sqlite3")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Every test finds the same site, whatever was there before it."""
    with django_db_blocker.unblock():
        make_site()
        kept = Kept()
    yield
    del kept


@pytest.fixture(autouse=True)
def database_threads(request: pytest.FixtureRequest) -> Iterator[None]:
    """Where a test's transaction is rolled back, the plugin's threads are part of it."""
    if request.node.get_closest_marker("django_db") or "db" in request.fixturenames:
        request.getfixturevalue("db")
        if connection.in_atomic_block:
            with threads_in_transaction():
                yield
            return
    yield


@pytest.fixture(scope="session")
def _standin() -> Iterator[StandIn]:
    from finetune_switch.backends.calls import import_litellm

    # As the first question of a process would, which takes longer than some deadlines here.
    import_litellm()
    with StandIn() as server:
        yield server


@pytest.fixture
def standin(_standin: StandIn) -> StandIn:
    """OpenAI's API and Ollama's on one port. What earlier tests asked it is forgotten."""
    _standin.clear()
    return _standin


@pytest.fixture
def connections(settings: Any, standin: StandIn) -> dict[str, dict[str, Any]]:
    """``FINETUNE_SWITCH["CONNECTIONS"]`` with the stand-in behind them; a test may change it."""
    declared: dict[str, dict[str, Any]] = {
        "openai": {
            "PROVIDER": "openai",
            "LABEL": "Hosted",
            "API_BASE": standin.openai_url,
            "API_KEY": API_KEY,
            "DATA_DESTINATION": "a test of OpenAI",
        },
        "ollama": {
            "PROVIDER": "ollama_chat",
            "LABEL": "Our own",
            "API_BASE": standin.url,
            "DATA_DESTINATION": "a test of Ollama",
        },
    }
    settings.FINETUNE_SWITCH = {
        "CONNECTIONS": declared,
        # Far above what an answer takes, so that none of them strikes unless a test means it.
        "DEADLINES": {"FIRST_TOKEN": 10, "IDLE": 10, "TOTAL": 20},
        "RETENTION_DAYS": 30,
        "INDEX": {"EMBEDDINGS": "multilingual"},
    }
    return declared


@pytest.fixture
def site(db: None, settings: Any) -> Any:
    """The default site with a home page, and the rows that ``migrate`` makes without a seed."""
    from django.core.cache import cache

    cache.clear()
    settings.FINETUNE_SWITCH = {**settings.FINETUNE_SWITCH, "SEED_BACKEND": None}
    return the_site()


@pytest.fixture
def quiet_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """The middle of a minute, of a day and of a month, so that none of them ends in a test."""
    from finetune_switch.limits import budgets

    now = datetime(2027, 3, 14, 12, 30, 30, tzinfo=UTC)
    monkeypatch.setattr(budgets, "local_now", lambda: now)


@pytest.fixture
def make_page(site: Any) -> Any:
    """A live article below the home page, or below ``parent``."""
    from wagtail.models import Page

    from demo_site.models import ArticlePage

    def make(title: str, text: str, parent: Any = None, **values: Any) -> ArticlePage:
        page = ArticlePage(
            title=title, introduction=text, body=[("paragraph", f"<p>{text}</p>")], **values
        )
        # Fetched anew: a copy of the parent does not know of the children it has got since.
        return Page.objects.get(pk=(parent or site.root_page).pk).add_child(instance=page)

    return make


@pytest.fixture
def reindex() -> Any:
    """Rebuilds wagtail-vector-index's own index of the articles."""
    from demo_site.models import ArticlePage

    return lambda: ArticlePage.vector_index.rebuild_index()


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Any:
    """A question asked to its end, by ``answer()`` and by ``aanswer()``."""
    from tests.helpers import ask_async, ask_sync

    return ask_sync if request.param == "sync" else ask_async


@pytest.fixture
def collections(site: Any) -> None:
    from wagtail.models import Collection

    if Collection.get_first_root_node() is None:
        Collection.add_root(name="Root")


@pytest.fixture
def image(collections: None) -> Any:
    from wagtail.images.models import Image

    def make(title: str) -> Image:
        # Without a file on disk, which nothing here opens.
        image = Image(title=title, file="x.png", width=1, height=1)
        Image.objects.bulk_create([image])
        return Image.objects.get(title=title)

    return make


@pytest.fixture
def document(collections: None) -> Any:
    from wagtail.documents.models import Document

    def make(title: str) -> Document:
        Document.objects.bulk_create([Document(title=title, file="x.pdf")])
        return Document.objects.get(title=title)

    return make
