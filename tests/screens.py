"""A site with its switch, some backends behind a stand-in, and people with their permissions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from wagtail.models import Page, PageViewRestriction, Site

from demo_site.models import ArticlePage
from finetune_switch.backends.registration import synchronise_backends
from finetune_switch.index.building import run_build
from finetune_switch.index.builds import start_build
from finetune_switch.models import ChatBackend, IndexBuild, PendingUpdate, Switch

from .pages import Admin
from .roles import make_user


@pytest.fixture
def other_site(site: Site) -> Site:
    return Site.objects.create(
        hostname="sail.example.org", site_name="Sail Loft", root_page=site.root_page
    )


@pytest.fixture
def hosted(site: Site, connections: Any) -> ChatBackend:
    return _backend("hosted", label="The hosted model", connection="openai")


@pytest.fixture
def tuned(site: Site, connections: Any) -> ChatBackend:
    return _backend(
        "tuned", label="Our fine-tune", connection="ollama", model_name="standin-finetuned:latest"
    )


@pytest.fixture
def switch(site: Site, hosted: ChatBackend) -> Switch:
    """The hosted model answers; before it, the sentences from the pages did."""
    switch = Switch.objects.create(site=site)
    switch.activate(hosted, expected=None)
    return switch


@pytest.fixture
def extractive(site: Site) -> ChatBackend:
    return ChatBackend.objects.get(kind=ChatBackend.Kind.EXTRACTIVE)


@pytest.fixture
def declared(site: Site, connections: Any, settings: Any) -> ChatBackend:
    """An alias of wagtail-vector-index's settings."""
    settings.WAGTAIL_VECTOR_INDEX = declare_alias(settings.WAGTAIL_VECTOR_INDEX, "legacy")
    synchronise_backends()
    return ChatBackend.objects.get(kind=ChatBackend.Kind.ADAPTER, connection="legacy")


@pytest.fixture
def gone(site: Site, connections: Any) -> ChatBackend:
    """An alias that has left the settings."""
    return _backend(
        "gone", label="Last year's", kind=ChatBackend.Kind.ADAPTER, connection="last-year"
    )


@pytest.fixture
def log_in(site: Site, connections: Any, other_site: Site) -> Callable[[str], Admin]:
    """The admin as somebody in this role finds it."""

    def log_in(role: str) -> Admin:
        client = Client()
        user = make_user(role, other_site=other_site)
        if user.pk:
            client.force_login(user)
        return Admin(client, user)

    return log_in


@pytest.fixture
def admin(log_in: Callable[[str], Admin]) -> Admin:
    return log_in("superuser")


@pytest.fixture
def switcher(log_in: Callable[[str], Admin]) -> Admin:
    return log_in("switcher")


@pytest.fixture
def full(site: Site, connections: Any, other_site: Site) -> IndexBuild:
    """Two articles and the home page, one of them private, all of them indexed."""
    add_page(site, "Boats")
    secret = add_page(site, "Wages")
    PageViewRestriction.objects.create(page=secret, restriction_type=PageViewRestriction.LOGIN)
    build = run_build(start_build())
    assert build.status == IndexBuild.Status.COMPLETE, build.error
    PendingUpdate.objects.all().delete()
    return build


@pytest.fixture
def another_model(settings: Any) -> None:
    """The settings name an embedding model on a connection."""
    settings.FINETUNE_SWITCH = {
        **settings.FINETUNE_SWITCH,
        "INDEX": {"EMBEDDINGS": {"CONNECTION": "openai", "MODEL_NAME": "embed-large"}},
    }


def declare_alias(setting: dict[str, Any], alias: str) -> dict[str, Any]:
    declared = {
        "CLASS": "wagtail_vector_index.ai_utils.backends.echo.EchoChatBackend",
        "CONFIG": {"MODEL_ID": "echo", "TOKEN_LIMIT": 1024},
    }
    return {**setting, "CHAT_BACKENDS": {**setting["CHAT_BACKENDS"], alias: declared}}


def _backend(alias: str, **values: Any) -> ChatBackend:
    backend = ChatBackend(alias=alias, **{"model_name": "test-model", **values})
    backend.save()
    return backend


def add_page(site: Site, title: str, parent: Any = None, **values: Any) -> Any:
    page = ArticlePage(
        title=title, introduction=title, body=[("paragraph", f"<p>{title}.</p>")], **values
    )
    return Page.objects.get(pk=(parent or site.root_page).pk).add_child(instance=page)
