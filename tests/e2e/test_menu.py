"""Each item of the menu, each link of a list and each link of the home panel opens a page."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Locator, expect

from finetune_switch.models import PreparedAnswer, Question, QuestionSet


@pytest.fixture
def rows(site, backends):
    """Something in each list."""
    question = Question.objects.create(text="When are you open?")
    question.sets.add(QuestionSet.objects.create(name="Ten questions"))
    PreparedAnswer.objects.create(
        examples="Where are you?", answer="At the quay.", locale=site.root_page.locale
    )


def is_page(lead, address: str) -> str:
    """Why an address of the admin is no page with a heading; empty if it is one."""
    response = lead.page.request.get(address)
    if not response.ok:
        return f"{address}: {response.status}"
    soup = BeautifulSoup(response.text(), "html.parser")
    return "" if soup.select_one("h1, h2") else f"{address}: no heading"


def addresses(links: Locator) -> list[str]:
    """The different addresses of our pages, without exports and without their parameters."""
    found = links.evaluate_all("(links) => links.map((link) => link.href)")
    ours = (link for link in found if "/admin/finetune" in link and "export=" not in link)
    return list(
        dict.fromkeys(urlsplit(link)._replace(query="", fragment="").geturl() for link in ours)
    )


def test_every_item_of_the_menu(lead, rows):
    page = lead.page
    lead.go("")
    group = page.locator("#wagtail-sidebar").get_by_role("button", name="AI answers")
    group.click()
    items = page.locator("#wagtail-sidebar li.sidebar-sub-menu-item--open li a")
    expect(items.first).to_be_visible()
    names = items.all_inner_texts()
    assert {"Compare", "Switch", "Chat backends", "Prepared answers", "Index"} <= set(names)
    seen: set[str] = set()
    broken: list[str] = []
    for name in names:
        if not items.first.is_visible():
            group.click()
        with page.expect_navigation() as navigation:
            items.get_by_text(name, exact=True).click()
        response = navigation.value
        assert response.status == 200, f"{name}: {response.status} {response.url}"
        assert response.headers["content-type"].startswith("text/html"), name
        expect(page.locator("main h1, main h2, header h1, header h2").first).to_be_attached()
        further = [link for link in addresses(page.locator("#wagtail main a")) if link not in seen]
        seen.update(further)
        broken += filter(None, (is_page(lead, link) for link in further))
    assert broken == []
    assert any("edit" in link for link in seen)
    assert not lead.complaints


def test_every_link_of_the_home_panel(lead, rows):
    lead.go("")
    links = addresses(lead.page.locator("main a"))
    assert links
    assert [why for link in links if (why := is_page(lead, link))] == []
