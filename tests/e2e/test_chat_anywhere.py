"""The widget where pages are cached, of another origin, without storage, or without a script."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from playwright.sync_api import expect

from finetune_switch.models import Exchange, Outcome
from tests.index_helpers import build

from .chatting import QUESTION, ask, button, chat, is_answered
from .conftest import log_in

pytestmark = pytest.mark.thorough


def test_one_cached_page_serves_everybody(browser, visitor, lighthouse, make_page):
    """The very same bytes, for two visitors, one of whom is logged in and may read more."""
    members = make_page("Lamp room", "The lighthouse opens its lamp room to members at 7am.")
    members.view_restrictions.create(restriction_type="login")
    build()
    answered = Client().get("/lighthouse/")
    html = answered.content.decode()
    assert not answered.cookies
    assert "csrf" not in html
    seen = {}
    for who in ("ada", None):
        context = browser.new_context(reduced_motion="reduce")
        page = context.new_page()
        if who:
            log_in(page, visitor.address, get_user_model().objects.create_user(who))
        page.route(
            "**/lighthouse/", lambda route: route.fulfill(body=html, content_type="text/html")
        )
        page.goto(f"{visitor.address}/lighthouse/")
        button(page, "Ask a question").click()
        ask(page, "When does the lighthouse open its lamp room?")
        is_answered(page)
        seen[who] = chat(page).locator("[part=source]").all_text_contents()
        context.close()
    assert "Lamp room" in seen["ada"]
    assert "Lamp room" not in seen[None]


def test_a_page_of_another_origin_asks_as_nobody_in_particular(visitor, lighthouse, settings):
    """The element with whole addresses, on a site that is allowed to have it."""
    elsewhere = "http://127.0.0.1:9"
    settings.FINETUNE_SWITCH = {
        **settings.FINETUNE_SWITCH,
        "VISITORS": {"ALLOWED_ORIGINS": [elsewhere]},
    }
    page = lighthouse
    log_in(page, visitor.address, get_user_model().objects.create_user("ada"))
    script = page.request.get(f"{visitor.address}/static/finetune_switch/visitors/finetune-chat.js")
    element = page.request.get(f"{visitor.address}/lighthouse/").text()
    element = "<finetune-chat" + element.partition("<finetune-chat")[2].partition("</script>")[0]
    element = element.replace("/static/finetune_switch/visitors/", "/")
    for name in ("ask", "conversation", "feedback", "results", "search", "about"):
        element = element.replace(f'data-{name}="', f'data-{name}="{visitor.address}')
    html = f"<!doctype html><html lang=en><title>Elsewhere</title><body>{element}</script>"
    page.route(f"{elsewhere}/", lambda r: r.fulfill(body=html, content_type="text/html"))
    page.route(
        f"{elsewhere}/finetune-chat.js",
        lambda r: r.fulfill(body=script.text(), content_type="text/javascript"),
    )
    # What no server has served is none of this machine's to Chromium.
    page.context.grant_permissions(["local-network-access"], origin=elsewhere)
    page.goto(elsewhere)
    button(page, "Ask a question").click()
    expect(chat(page).locator("[part=notice]")).to_contain_text("Your question goes to")
    ask(page)
    is_answered(page)
    ask(page, "And what does a ticket to the lighthouse cost?")
    is_answered(page, 2)
    button(page, "Helpful").last.click()
    expect(chat(page).get_by_role("status")).to_have_text("Thank you.")
    hrefs = {a.get_attribute("href") for a in chat(page).locator("[part=source]").all()}
    assert f"{visitor.address}/lighthouse/" in hrefs
    assert all(href.startswith(visitor.address) for href in hrefs)
    page.reload()
    button(page, "Ask a question").click()
    is_answered(page, 2)


def test_without_storage_clipboard_or_a_secure_origin_it_still_answers(lighthouse):
    page = lighthouse
    page.add_init_script(
        """delete Crypto.prototype.randomUUID;
        Object.defineProperty(window, 'sessionStorage', { get() { throw new Error('No.'); } });"""
    )
    page.reload()
    ask(page)
    is_answered(page)
    assert Exchange.objects.get().outcome == Outcome.COMPLETE
    page.reload()
    expect(chat(page).locator("article")).to_have_count(0)


def test_without_a_script_it_is_a_form(browser, visitor, lighthouse):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{visitor.address}/lighthouse/")
    page.get_by_role("link", name="Ask a question").click()
    expect(page.get_by_role("heading", name="Search and ask")).to_be_visible()
    page.goto(visitor.address)
    page.locator("finetune-chat input").fill(QUESTION)
    page.locator("finetune-chat button").click()
    expect(page.get_by_role("heading", name="Answer")).to_be_visible()
    expect(page.locator(".finetune-answer")).to_contain_text("It opens at nine. [1]")
    expect(page.get_by_role("heading", name="1 page")).to_be_visible()
    context.close()
