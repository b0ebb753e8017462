"""A question's pages, chosen in Wagtail's own chooser."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from wagtail.models import Page

from demo_site.models import ArticlePage
from finetune_switch.models import Question


@pytest.fixture
def pages(site):
    for title in ("Prices, summer", "Prices, winter"):
        page = ArticlePage(title=title, introduction=title, body=[])
        Page.objects.get(pk=site.root_page.pk).add_child(instance=page)
    return {page.title: page.pk for page in Page.objects.all()}


def choose(lead, *titles):
    lead.press("Choose pages")
    modal = lead.page.locator(".modal")
    modal.get_by_title("Explore subpages of 'Harbour'").click()
    for title in titles:
        modal.get_by_title(f"Select {title}").check()
    modal.get_by_role("button", name="Confirm selection").click()
    expect(lead.page.locator(".modal")).to_have_count(0)


def listed(lead):
    return lead.page.locator(".finetune-pages > li > [data-finetune-pages-title]")


def test_pages_are_chosen_and_taken_out(lead, pages):
    lead.go("finetune/questions/new/")
    lead.page.locator("[name=text]").fill("When do you open?")
    choose(lead, "Prices, summer", "Prices, winter")
    expect(listed(lead)).to_have_text([" Prices, summer", " Prices, winter"])
    expect(lead.page.get_by_role("button", name="Choose pages")).to_be_focused()
    # One that is there already does not come twice.
    choose(lead, "Prices, winter")
    expect(listed(lead)).to_have_count(2)

    lead.press("Remove Prices, summer")
    expect(listed(lead)).to_have_text([" Prices, winter"])
    expect(lead.page.get_by_role("button", name="Choose pages")).to_be_focused()
    lead.press("Create")
    lead.sees_message("When do you open?")
    assert Question.objects.get().page_ids == [pages["Prices, winter"]]

    lead.follow("When do you open?")
    expect(listed(lead)).to_have_text(["Prices, winter"])
    lead.press("Remove Prices, winter")
    lead.press("Save")
    lead.sees_message("When do you open?")
    assert Question.objects.get().page_ids == []
