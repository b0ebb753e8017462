"""Hostile pages and questions in a real browser: widget and search page, with a model that obeys.

Several cases make one question, and one answer. What the visitor reads of each is in
tests/answers/test_hostile.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect

from finetune_switch.models import Switch
from tests import hostile

pytestmark = pytest.mark.thorough

CASES = hostile.read_cases()
# What widget and page of results are made of.
_OURS = (
    "section article h2 h3 h4 p a ol ul li br mark div span form label input button svg path nav"
)
ELEMENTS = frozenset(_OURS.split())
SEEN = """(root) => ({
  elements: [...root.querySelectorAll('*')].map((element) => element.localName),
  handlers: [...root.querySelectorAll('*')].flatMap((element) =>
    element.getAttributeNames().filter((name) => /^on|^style$|^src/.test(name))),
  links: [...root.querySelectorAll('a')].map((link) => link.href),
  hacked: window.hacked ?? null,
})"""


def test_nothing_comes_of_any(visitor, settings, site, connections, standin, make_page):
    obedient = hostile.prepare(settings, site, standin, make_page)
    # So many things at once are like no page.
    Switch.objects.update(similarity_threshold=0)
    page, origin, faults, asked = visitor.page, visitor.address, {}, []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: faults.setdefault("a dialog", dialog.message))
    page.goto(origin)
    for case in hostile.together():
        obedient.case = case
        if found := [*_faults(_in_widget(page, case.asks), origin)]:
            faults[case.tries] = found
    for case in hostile.together():
        obedient.case = case
        page.goto(f"{origin}/answers/search/?{urlencode({'q': case.asks})}")
        parts = page.locator(".finetune-answer, .finetune-results").all()
        assert len(parts) == 2
        if found := [fault for part in parts for fault in _faults(part.evaluate(SEEN), origin)]:
            faults[f"on the search page: {case.tries}"] = found
    assert faults == {}
    assert [url for url in asked if not url.startswith(f"{origin}/")] == []


def _in_widget(page: Page, question: str) -> dict:
    chat = page.locator("finetune-chat")
    chat.locator("#question").fill(question)
    page.keyboard.press("Enter")
    answer = chat.locator("[part~=answer]").last
    expect(answer.locator("[part=tools]")).to_be_visible()
    expect(answer.locator("[part=citation]").first).to_be_visible()
    seen = answer.evaluate(SEEN)
    chat.locator("[part~=again]").click()
    return seen


def _faults(seen: dict, origin: str) -> Iterator[str]:
    if others := set(seen["elements"]) - ELEMENTS:
        yield f"there are {others}"
    if seen["handlers"]:
        yield f"there are {seen['handlers']}"
    if seen["hacked"]:
        yield "a script ran"
    pages = {f"{origin}/", *(f"{origin}/{case.word}/" for case in CASES)}
    links = {link.partition("#")[0].partition("?")[0] for link in seen["links"]}
    if others := links - pages - {f"{origin}/answers/search/"}:
        yield f"there are links to {others}"
