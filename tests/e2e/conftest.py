"""A person at a browser: a real server, a real Chromium, and a stand-in for the models."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, expect

from finetune_switch.models import ChatBackend, Switch
from tests.index_helpers import build

from .browser import chromium, find_chromium
from .chatting import SAID
from .person import Person

# Playwright keeps an event loop running in the thread of the tests.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

# The first check of a process imports litellm, which takes seconds on a busy machine.
SECONDS = 30
expect.set_options(timeout=SECONDS * 1000)

_numbers = itertools.count(1)

MISSING = "no Chromium on this machine: apt-get install chromium"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if find_chromium() is None:
        if os.environ.get("CI"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with chromium() as browser:
        yield browser


@pytest.fixture
def backends(site: Any, connections: dict[str, dict[str, Any]]) -> dict[str, ChatBackend]:
    """A hosted model, which answers, and a fine-tune to switch to."""
    rows = {
        "hosted": ChatBackend(
            alias="hosted",
            label="The hosted model",
            connection="openai",
            model_name="standin-hosted",
        ),
        "tuned": ChatBackend(
            alias="tuned",
            label="Our fine-tune",
            connection="ollama",
            model_name="standin-finetuned:latest",
        ),
    }
    for row in rows.values():
        row.save()
    Switch.objects.create(site=site).activate(rows["hosted"], expected=None)
    return rows


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A window of its own for each test, wide and light unless the test wants another."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(SECONDS * 1000)
    yield context
    context.close()


@pytest.fixture
def visitor(context: BrowserContext, live_server: Any, backends: dict) -> Iterator[Person]:
    """Somebody who is not logged in. What their browser complains of fails the test."""
    person = Person(context.new_page(), live_server.url)
    yield person
    assert person.complaints == []


@pytest.fixture
def lead(visitor: Person, site: Any) -> Person:
    """The content lead, logged in, who may do everything."""
    user = get_user_model().objects.create_superuser(
        "nell", "nell@example.org", first_name="Nell", last_name="Marwood"
    )
    log_in(visitor.page, visitor.address, user)
    return visitor


def log_in(page: Page, address: str, user: Any) -> None:
    client = Client()
    client.force_login(user)
    name = django_settings.SESSION_COOKIE_NAME
    page.context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": address}])


@pytest.fixture
def scene(lead: Person, site: Any, make_page: Any, backends: dict[str, ChatBackend]) -> Any:
    """Some pages, and what was compared on them."""
    from .comparing import Scene

    return Scene(site, make_page, backends)


@pytest.fixture
def behave(standin: Any) -> Callable[..., str]:
    """Has a backend ask a model that behaves somehow; gives the model's name."""

    def behave(row: ChatBackend, **behaviour: Any) -> str:
        name = f"compared-{next(_numbers)}"
        standin.add_model(name, listed=False, **behaviour)
        row.model_name = name
        row.save()
        return name

    return behave


@pytest.fixture
def lighthouse(visitor: Person, site, make_page, backends, behave) -> Page:
    """The home page, where the widget stands in its place."""
    make_page("Lighthouse", "The lighthouse opens at 9am, and a ticket costs £24.")
    build()
    behave(backends["hosted"], answer=SAID)
    visitor.page.goto(visitor.address)
    return visitor.page
