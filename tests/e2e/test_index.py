"""The index, built from the admin: the bar moves, and the page ends with what has come of it."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from finetune_switch.index.building import run_build
from finetune_switch.models import IndexBuild


def test_the_bar_moves_and_the_page_ends_with_the_figures(lead, site, make_page):
    make_page("Boats", "Boats lie here.")
    page = lead.page
    lead.go("finetune/index/")
    lead.sees("Nothing is indexed yet")
    lead.press("Build the whole index")
    lead.sees_message("The whole index is being built.")
    lead.sees("Waiting for a worker to begin…")
    bar = page.locator("progress")
    expect(bar).not_to_have_attribute("value", "0")
    page.evaluate("window.stayed = true")

    def watch(build):
        lead.sees("done: ")
        assert bar.evaluate("bar => bar.value") > 0

    run_build(IndexBuild.objects.get(), watch)

    expect(page.locator("#finetune-indexed")).to_have_text("2 documents")
    expect(bar).to_have_count(0)
    expect(page.locator("main p[role=status]")).to_contain_text("Done: 2 added or changed")
    lead.sees("Complete")
    # A form that came with the new part of the page works as the first one did.
    assert page.evaluate("window.stayed")
    lead.press("Build the whole index")
    lead.sees_message("The whole index is being built.")


def test_it_looks_away_while_the_tab_is_hidden_and_stops_at_the_end(lead, site, make_page):
    IndexBuild.objects.create(status="running", total=10, done=1)
    asked = []
    page = lead.page
    page.on("request", lambda request: "progress/" in request.url and asked.append(request.url))
    lead.go("finetune/index/")
    page.wait_for_timeout(2000)
    assert asked

    page.evaluate(
        """() => {
          Object.defineProperty(document, 'hidden', { value: true, configurable: true });
          document.dispatchEvent(new Event('visibilitychange'));
        }"""
    )
    page.wait_for_timeout(500)
    before = len(asked)
    page.wait_for_timeout(3500)
    assert len(asked) == before

    page.evaluate(
        """() => {
          delete document.hidden;
          document.dispatchEvent(new Event('visibilitychange'));
        }"""
    )
    page.wait_for_timeout(500)
    assert len(asked) == before + 1

    IndexBuild.objects.update(status="complete", done=10)
    expect(page.locator("progress")).to_have_count(0)
    before = len(asked)
    page.wait_for_timeout(3500)
    assert len(asked) == before


def test_the_tick_on_the_settings_tab(lead, site, make_page):
    article = make_page("Boats", "Boats lie here.")
    lead.go(f"pages/{article.pk}/edit/")
    lead.page.get_by_role("tab", name="Settings").click()
    box = lead.page.get_by_label("Leave this page out of AI answers")
    expect(box).to_be_visible()
    found = Axe().run(lead.page, context="#tab-settings").response["violations"]
    assert [violation["id"] for violation in found] == []
