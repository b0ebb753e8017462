"""Wagtail's settings form of a site's answers. It never switches."""

from __future__ import annotations

import pytest
from wagtail.models import Locale, ModelLogEntry

from finetune_switch import adapters
from finetune_switch.models import Switch
from finetune_switch.models.switch import SWITCH_ACTION
from tests.pages import form_values

SETTINGS = "wagtailsettings:edit"


@pytest.fixture
def form(site, switch, log_in):
    """Opens and saves the form as somebody who may do that and nothing else."""
    person = log_in("settings")

    class Form:
        def open(self):
            return person.get(SETTINGS, "finetune_switch", "switch", site.pk)

        def save(self, **changes):
            values = {**form_values(self.open()), **changes}
            return person.post(SETTINGS, "finetune_switch", "switch", site.pk, **values)

    return Form()


def test_it_shows_what_answers_and_leads_to_the_switch(site, switch, form):
    page = form.open()
    assert "The hosted model answers; questions go to a test of OpenAI." in page.text
    assert page.links("Switch, check or switch back") == [f"/admin/finetune/switch/{site.pk}/"]
    assert page.main.select("[name=active], [name=previous], [name=switched_by]") == []


def test_saving_keeps_what_was_chosen(site, switch, form):
    page = form.save(passages="9", similarity_threshold="0.4")
    assert "updated" in page.message
    switch.refresh_from_db()
    assert (switch.passages, switch.similarity_threshold) == (9, 0.4)


def test_saving_never_switches(site, switch, hosted, tuned, form):
    values = form_values(form.open())
    switch.activate(tuned, expected=hosted.pk)
    before = ModelLogEntry.objects.filter(action=SWITCH_ACTION).count()

    form.save(**values, active=str(hosted.pk), active_id=str(hosted.pk), previous="")

    switch.refresh_from_db()
    assert (switch.active, switch.previous) == (tuned, hosted)
    assert ModelLogEntry.objects.filter(action=SWITCH_ACTION).count() == before


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("passages", "0", "greater than or equal to 1"),
        ("passages", "21", "less than or equal to 20"),
        ("passages", "", "This field is required."),
        ("passages", "many", "Enter a whole number."),
        ("similarity_threshold", "-0.1", "greater than or equal to 0"),
        ("similarity_threshold", "1.1", "less than or equal to 1"),
        ("similarity_threshold", "nan", "Enter a number."),
    ],
)
def test_what_it_refuses(site, switch, form, field, value, sentence):
    page = form.save(**{field: value})
    assert sentence in page.text
    switch.refresh_from_db()
    assert (switch.passages, switch.similarity_threshold) == (5, None)


@pytest.mark.parametrize(("field", "value"), [("passages", "1"), ("passages", "20")])
def test_the_bounds_themselves_are_allowed(site, switch, form, field, value):
    form.save(**{field: value})
    switch.refresh_from_db()
    assert str(getattr(switch, field)) == value


def test_a_sentence_for_each_language(site, switch, form):
    Locale.objects.create(language_code="de")
    page = form.open()
    fields = page.main.select("[name^=nothing_found]")
    labels = [page.main.select_one(f"label[for={field['id']}]").get_text() for field in fields]
    assert labels == ["English", "German"]

    form.save(**{"nothing_found_en-gb": "No idea.", "nothing_found_de": "  Keine Ahnung. "})

    switch.refresh_from_db()
    assert switch.nothing_found == {"en-gb": "No idea.", "de": "Keine Ahnung."}
    assert form_values(form.open())["nothing_found_de"] == "Keine Ahnung."

    form.save(nothing_found_de="")
    switch.refresh_from_db()
    assert switch.nothing_found == {"en-gb": "No idea."}


def test_a_sentence_that_is_too_long(site, switch, form):
    page = form.save(**{"nothing_found_en-gb": "x" * 501})
    assert "at most 500 characters" in page.text


def test_the_indexes_of_this_site(site, switch, form):
    page = form.open()
    offered = [box["value"] for box in page.main.select("[name=indexes]")]
    assert offered == list(adapters.indexes())

    form.save(indexes=offered[:2])
    switch.refresh_from_db()
    assert switch.indexes == offered[:2]

    values = form_values(form.open())
    assert values["indexes"] == offered[:2]
    form.save(indexes=[])
    switch.refresh_from_db()
    assert switch.indexes == []


def test_an_index_that_is_gone_can_be_seen_and_left_out(site, switch, form):
    Switch.objects.filter(pk=switch.pk).update(indexes=["last-year"])
    assert "last-year (gone)" in form.open().text
    form.save(indexes=[])
    switch.refresh_from_db()
    assert switch.indexes == []


def test_an_index_that_never_was(site, switch, form):
    page = form.save(indexes=["made-up"])
    assert "made-up is not one of the available choices" in page.text


def test_each_site_has_its_own_form(site, other_site, switch, admin):
    values = form_values(admin.get(SETTINGS, "finetune_switch", "switch", other_site.pk))
    admin.post(SETTINGS, "finetune_switch", "switch", other_site.pk, **{**values, "passages": "11"})
    assert Switch.objects.get(site=other_site).passages == 11
    switch.refresh_from_db()
    assert switch.passages == 5


def test_what_visitors_are_told_and_whether_they_are_answered(site, switch, form):
    assert "checked" in form.open().main.select_one("[name=answers_visitors]").attrs

    form.save(**{"answers_visitors": [], "notice_en-gb": " We keep nothing. "})

    switch.refresh_from_db()
    assert (switch.answers_visitors, switch.notice) == (False, {"en-gb": "We keep nothing."})
    assert "checked" not in form.open().main.select_one("[name=answers_visitors]").attrs
