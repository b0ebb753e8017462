"""Ours on Wagtail's own screens: the site history, the group form, and another language."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from wagtail.users.models import UserProfile

from tests.pages import address, form_values


def test_every_switch_reads_in_the_site_history(site, switch, hosted, tuned, switcher, admin):
    switcher.post("switch:activate", site.pk, backend=tuned.pk, expected=hosted.pk)
    switcher.post("switch:back", site.pk, expected=tuned.pk)

    page = admin.get("wagtailadmin_reports:site_history")
    rows = [" ".join(row.get_text(" ").split()) for row in page.main.select("tbody tr")]

    forth = next(row for row in rows if "from “The hosted model” to “Our fine-tune”" in row)
    back = next(row for row in rows if "from “Our fine-tune” to “The hosted model”" in row)
    for row in (forth, back):
        assert "Switched the chat backend" in row
        assert "AI answers for Harbour" in row
        assert "Switcher" in row
    # The newest stands first.
    assert rows.index(back) < rows.index(forth)


def test_the_site_history_can_be_narrowed_to_switches(site, switch, admin):
    page = admin.get("wagtailadmin_reports:site_history", action="finetune_switch.switch")
    assert len(page.main.select("tbody tr")) == 1
    assert "Switch the chat backend" in page.html


def test_the_entry_of_the_report_leads_to_the_settings(site, switch, admin):
    page = admin.get("wagtailadmin_reports:site_history", action="finetune_switch.switch")
    [link] = page.links("AI answers for Harbour")
    assert link.startswith("/admin/settings/finetune_switch/switch/")


def test_our_permissions_are_given_in_wagtails_group_form(site, switch, admin):
    group = Group.objects.create(name="Answers team")
    page = admin.get("wagtailusers_groups:edit", group.pk)
    text = page.text
    assert "Can switch the chat backend" in text
    row = next(r for r in page.main.select("tr") if "chat backend" in r.get_text().lower())
    assert len(row.select("input[type=checkbox]")) >= 4

    boxes = {
        box["value"]: " ".join(box.find_parent("label").get_text(" ").split())
        for box in page.main.select("input[name=permissions]")
        if box.find_parent("label")
    }
    switching = next(value for value, text in boxes.items() if "switch the chat backend" in text)
    fields = form_values(page)
    chosen = [*fields.get("permissions", []), switching]
    admin.post("wagtailusers_groups:edit", group.pk, **{**fields, "permissions": chosen})
    assert "activate_switch" in group.permissions.values_list("codename", flat=True)


@pytest.mark.parametrize("view", ["switch:site", "backends:index", "backends:add", "home"])
def test_in_german(site, switch, hosted, admin, view):
    UserProfile.objects.create(user=admin.user, preferred_language="de")
    if view == "home":
        page = admin.get("wagtailadmin_home")
    else:
        page = admin.get(view, *([site.pk] if view == "switch:site" else []))
    assert page.status == 200
    assert page.soup.html["lang"] == "de"
    german = {
        "switch:site": "Verbindung prüfen",
        "backends:index": "Ziel der Fragen",
        "backends:add": "Verbindung",
        "home": "KI-Antworten",
    }
    assert german[view] in page.text


def test_the_history_of_a_backend(site, tuned, admin):
    fields = form_values(admin.get("backends:edit", tuned.pk))
    admin.post("backends:edit", tuned.pk, **{**fields, "label": "Renamed"})
    page = admin.get("backends:history", tuned.pk)
    assert "Edited" in page.text
    assert address("backends:edit", tuned.pk) in page.html
