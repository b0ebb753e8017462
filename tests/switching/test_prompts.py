"""Every wording that a backend's instructions have had, and taking an earlier one again."""

from __future__ import annotations

import pytest
from wagtail.log_actions import registry as log_registry

from tests.pages import form_values


def wordings(page):
    return {
        article.h2.get_text().strip(): article.pre.get_text()
        for article in page.main.select("article")
    }


@pytest.fixture
def reworded(tuned, admin):
    """The fine-tune, whose first wording was replaced through the form."""
    tuned.system_prompt = "Be salty."
    tuned.prompt_versions.all().delete()
    tuned.save()
    fields = form_values(admin.get("backends:edit", tuned.pk))
    admin.post("backends:edit", tuned.pk, **{**fields, "system_prompt": "Be brief."})
    return tuned


def test_the_history_grows_with_each_new_wording(site, reworded, admin):
    page = admin.get("backends:prompts", reworded.pk)
    assert wordings(page) == {"Wording 2 · in force": "Be brief.", "Wording 1": "Be salty."}
    article = page.main.select("article")[0]
    assert "Just now · superuser" in " ".join(article.get_text().split())

    fields = form_values(admin.get("backends:edit", reworded.pk))
    admin.post("backends:edit", reworded.pk, **{**fields, "label": "Renamed"})
    assert reworded.prompt_versions.count() == 2


def test_an_earlier_wording_comes_back_under_a_new_number(site, reworded, admin):
    page = admin.get("backends:prompts", reworded.pk)
    assert page.buttons == ["Use this wording again"]

    page = admin.post("backends:prompts", reworded.pk, number="1")

    assert page.message == "“Our fine-tune” uses wording 1 of its instructions again."
    assert list(wordings(page)) == ["Wording 3 · in force", "Wording 2", "Wording 1"]
    reworded.refresh_from_db()
    assert reworded.system_prompt == "Be salty."
    assert reworded.prompt_version == 3
    assert reworded.prompt_versions.first().created_by == admin.user
    # The form's own entry, and that of this act.
    entries = log_registry.get_logs_for_instance(reworded).filter(action="wagtail.edit")
    assert [entry.user for entry in entries] == [admin.user] * 2


@pytest.mark.parametrize("number", ["", "7", "x", "-1", "²", "9" * 30])
def test_a_wording_that_never_was(site, reworded, admin, number):
    assert admin.post("backends:prompts", reworded.pk, number=number).status == 404
    assert reworded.prompt_versions.count() == 2


def test_markup_in_a_wording_stays_text(site, tuned, admin):
    tuned.system_prompt = "<script>alert(1)</script> <b>bold</b>"
    tuned.save()
    page = admin.get("backends:prompts", tuned.pk)
    assert "Wording 2 · in force" in wordings(page)
    assert wordings(page)["Wording 2 · in force"] == "<script>alert(1)</script> <b>bold</b>"
    assert page.main.select("article script, article b") == []


def test_who_may_look_only_is_offered_nothing_to_press(site, reworded, log_in, declared):
    assert log_in("viewer").get("backends:prompts", reworded.pk).buttons == []


def test_what_the_settings_declare_has_no_wording_to_restore(site, declared, extractive, admin):
    for row in (declared, extractive):
        page = admin.post("backends:prompts", row.pk, number="1")
        assert page.message == "Sorry, you do not have permission to access this area."


def test_a_backend_that_is_told_nothing(site, extractive, admin):
    page = admin.get("backends:prompts", extractive.pk)
    assert "This backend has no instructions." in page.text
    assert page.main.select("article") == []
