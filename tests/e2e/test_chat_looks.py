"""The widget in each of its states: for a screen reader, in every light, large, and narrow."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from finetune_switch.models import Switch

from .chatting import SAID, SLOW, ask, button, chat, field, is_answered
from .looking import look

pytestmark = pytest.mark.thorough


def see(page: Page, state: str) -> list[str]:
    return [f"{state}, {wrong}" for wrong in look(page)]


def test_everybody_can_use_it_while_it_answers(lighthouse, backends, behave):
    page, found = lighthouse, []
    field(page).focus()
    expect(chat(page).locator("[part=notice]")).to_be_visible()
    found += see(page, "empty")
    behave(backends["hosted"], first_token_seconds=30)
    ask(page)
    expect(chat(page).get_by_role("link", name="Lighthouse")).to_be_visible()
    expect(chat(page).locator(".waiting")).to_be_visible()
    found += see(page, "waiting")
    button(page, "Stop").click()
    found += see(page, "stopped")
    behave(backends["hosted"], **SLOW)
    button(page, "Ask again").click()
    expect(chat(page).locator(".text")).to_contain_text("Ahoy. Ahoy. Ahoy.")
    found += see(page, "answering")
    button(page, "Stop").click()
    assert found == []


def test_everybody_can_use_it_in_a_conversation(visitor, lighthouse, backends, behave):
    page, found = lighthouse, []
    ask(page)
    is_answered(page)
    found += see(page, "answered")
    ask(page, "Is the lighthouse open on Sundays?")
    is_answered(page, 2)
    button(page, "Not helpful").last.click()
    expect(chat(page).get_by_label("What was wrong with it? (optional)")).to_be_visible()
    found += see(page, "a follow-up, a thumb down")
    page.goto(f"{visitor.address}/lighthouse/")
    button(page, "Ask a question").click()
    is_answered(page, 2)
    found += see(page, "dialog")
    behave(backends["hosted"], fault="unauthorized")
    ask(page)
    expect(chat(page).locator(".error").last).to_be_visible()
    found += see(page, "failed, in the dialog")
    assert found == []


def test_everybody_can_use_it_where_it_refuses(lighthouse, settings, site):
    page, found = lighthouse, []
    limits = {"QUESTIONS_A_MINUTE": 0}
    settings.FINETUNE_SWITCH = {**settings.FINETUNE_SWITCH, "VISITORS": limits}
    ask(page)
    expect(chat(page).locator(".error")).to_be_visible()
    found += see(page, "refused")
    Switch.objects.filter(site=site).update(answers_visitors=False)
    button(page, "Start again").click()
    page.reload()
    field(page).focus()
    expect(button(page, "Search the pages")).to_be_visible()
    found += see(page, "off")
    assert found == []


def test_forced_colours_keep_edges_focus_and_what_is_pressed(visitor, lighthouse):
    page = lighthouse
    page.goto(f"{visitor.address}/lighthouse/")
    page.emulate_media(forced_colors="active")
    button(page, "Ask a question").click()
    ask(page)
    is_answered(page)
    up, down = button(page, "Helpful"), button(page, "Not helpful")
    up.click()
    expect(up).to_have_attribute("aria-pressed", "true")
    assert style(up, "backgroundColor") != style(down, "backgroundColor")
    surface = style(chat(page).locator("dialog"), "backgroundColor")
    for element in (field(page), down, button(page, "Ask"), chat(page).locator("dialog")):
        assert style(element, "borderTopColor") not in (surface, "rgba(0, 0, 0, 0)")
        assert style(element, "borderTopWidth") != "0px"
    page.keyboard.press("Tab")
    assert style(down, "outlineStyle") == "solid"
    assert style(down, "outlineColor") != surface


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_nothing_moves_for_those_who_do_not_want_it(lighthouse, backends, behave, motion):
    behave(backends["hosted"], first_token_seconds=30)
    page = lighthouse
    page.emulate_media(reduced_motion=motion)
    ask(page)
    waiting = chat(page).locator(".waiting")
    expect(waiting).to_be_visible()
    assert style(waiting, "animationName") == {"reduce": "none"}.get(motion, "waiting")
    button(page, "Stop").click()


def test_at_twice_the_size_everything_is_within_reach(visitor, lighthouse):
    """A window of 1280 pixels at 200 % is one of 640; and then letters of twice the size in it."""
    page = lighthouse
    page.goto(f"{visitor.address}/lighthouse/")
    page.set_viewport_size({"width": 640, "height": 400})
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    button(page, "Ask a question").click()
    ask(page)
    is_answered(page)
    expect(chat(page).locator(".text")).to_have_text(SAID)
    dialog = chat(page).locator("dialog")
    assert dialog.evaluate("element => element.scrollWidth <= element.clientWidth")
    for name in ("Close", "Copy", "Not helpful", "Ask", "Start again"):
        reached = button(page, name)
        reached.scroll_into_view_if_needed()
        expect(reached).to_be_in_viewport(ratio=1)


def style(element, name: str) -> str:
    return element.evaluate(f"element => getComputedStyle(element).{name}")
