"""What every page of ours has in common: nothing inline, no secret, an accessible skeleton."""

from __future__ import annotations

import re

import pytest
from django.utils import timezone

from finetune_switch.backends.preflight import run_check
from finetune_switch.models import ChatBackend
from tests.conftest import API_KEY
from tests.index_states import STATES, IndexStates
from tests.pages import inline_in

SCREENS = (
    "switch:index",
    "switch:site",
    "confirm",
    "backends:index",
    "backends:add",
    "backends:edit",
    "backends:copy",
    "backends:inspect",
    "backends:delete",
    "backends:check",
    "backends:prompts",
    "backends:modelfile",
    "backends:models",
    "switch:state",
    "settings",
    "home",
    "history",
    "report",
    "index:progress",
    *(f"index, {state}" for state in STATES),
)


@pytest.fixture
def shown(site, switch, hosted, tuned, gone, declared, admin, connections, make_page, settings):
    """Opens a screen, with everything on it that there could be."""
    ChatBackend.objects.filter(pk=tuned.pk).update(
        model_name="standin-deaf:latest", system_prompt="One.\nTwo.", shutdown_date=timezone.now()
    )
    tuned.refresh_from_db()
    run_check(tuned)
    switch.activate(tuned, expected=hosted.pk, user=admin.user)
    switch.activate(hosted, expected=tuned.pk, user=admin.user)

    index_states = IndexStates(site, make_page, settings)

    def show(screen):
        if screen.startswith("index, "):
            index_states.show(screen.removeprefix("index, "))
            return admin.get("index:index")
        match screen:
            case "confirm":
                return admin.post("switch:activate", site.pk, backend=tuned.pk, expected=hosted.pk)
            case "settings":
                return admin.get("wagtailsettings:edit", "finetune_switch", "switch", site.pk)
            case "home":
                return admin.get("wagtailadmin_home")
            case "history":
                return admin.get("backends:history", tuned.pk)
            case "report":
                return admin.get("wagtailadmin_reports:site_history")
            case "backends:models":
                return admin.get(screen, connection="openai")
            case "switch:site" | "switch:state":
                return admin.get(screen, site.pk)
            case "switch:index" | "backends:index" | "backends:add" | "index:progress":
                return admin.get(screen)
        return admin.get(screen, tuned.pk)

    return show


@pytest.mark.parametrize("broken", [False, True])
def test_no_screen_shows_an_address_or_a_key(broken, shown, connections, standin, tuned, hosted):
    secrets = [API_KEY, standin.url, f":{standin.port}"]
    if broken:
        connections["openai"] |= {"API_KEY": "wrong-key", "API_BASE": "http://127.0.0.1:9/v1"}
        connections["ollama"] |= {"API_BASE": "http://secret-host.invalid:4711/x"}
        for backend in (tuned, hosted):
            run_check(backend)
        secrets += ["wrong-key", "127.0.0.1:9", "secret-host", ":4711"]
    pages = {screen: shown(screen) for screen in SCREENS}
    assert {page.status for page in pages.values()} <= {200, 302, 502}
    leaks = {
        screen: secret
        for screen, page in pages.items()
        for secret in secrets
        if re.search(re.escape(secret) + r"\b", page.html)
    }
    assert leaks == {}


HTML = [
    screen
    for screen in SCREENS
    if screen
    not in (
        "switch:index",
        "switch:state",
        "backends:models",
        "backends:modelfile",
        "index:progress",
    )
]


def test_nothing_is_inline(shown):
    """So that a strict Content-Security-Policy passes."""
    found = {screen: inline for screen in HTML if (inline := inline_in(shown(screen).main))}
    assert found == {}


def test_every_page_says_what_it_is(shown):
    for screen in HTML:
        page = shown(screen)
        headings = [tag.get_text(" ").strip() for tag in page.soup.select("h1")]
        assert len(headings) == 1, screen
        assert headings[0], screen
        assert page.soup.title.get_text().strip(), screen
        ids = [tag["id"] for tag in page.soup.select("[id]")]
        assert [found for found in set(ids) if ids.count(found) > 1] == [], screen
        for tag in page.main.select("[aria-labelledby^=finetune-]"):
            assert set(str(tag["aria-labelledby"]).split()) <= set(ids), screen


def test_a_name_is_text_wherever_it_stands(site, switch, hosted, tuned, admin):
    evil = '<img src=x onerror="alert(1)">'
    ChatBackend.objects.filter(pk=tuned.pk).update(label=evil, check_passed=False)
    admin.post("switch:activate", site.pk, backend=tuned.pk, expected=hosted.pk, confirmed="on")
    for name, arguments in (
        ("switch:site", [site.pk]),
        ("backends:index", []),
        ("backends:check", [tuned.pk]),
        ("backends:prompts", [tuned.pk]),
        ("wagtailadmin_reports:site_history", []),
        ("wagtailadmin_home", []),
    ):
        page = admin.get(name, *arguments)
        assert page.soup.select("img[onerror]") == []
        assert evil in page.soup.get_text()
