"""The list of backends, and adding, editing, copying, inspecting and deleting one."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.utils import timezone
from wagtail.users.models import UserProfile

from finetune_switch.models import ChatBackend, Exchange, Outcome, Switch
from tests.pages import address, form_values
from tests.screens import declare_alias


def values(**changes):
    return {
        "label": "Tomorrow's fine-tune",
        "connection": "ollama",
        "model_name": "standin-finetuned:latest",
        "system_prompt": "Answer shortly.",
        "context_window": "8192",
        **changes,
    }


def row_of(page, label):
    """A line of the list, as its cells read."""
    row = next(row for row in page.main.select("tbody tr") if label in row.get_text())
    return [" ".join(cell.get_text(" ").split()) for cell in row.select("td")]


def menu_of(page, label):
    """What the dots beside a backend offer."""
    row = next(row for row in page.main.select("tbody tr") if label in row.get_text())
    links = [" ".join(link.get_text(" ").split()) for link in row.select("a")]
    return {text.split()[0] for text in links if text and text != label}


def test_the_list(site, switch, hosted, tuned, extractive, declared, gone, admin):
    page = admin.get("backends:index")

    assert row_of(page, "The hosted model")[1:3] == ["test-model", "a test of OpenAI"]
    states = {
        label: row_of(page, label)[-1]
        for label in ("The hosted model", "Our fine-tune", "Sentences", "Last year's", "legacy")
    }
    assert states == {
        "The hosted model": "Active",
        "Our fine-tune": "Not checked",
        "Sentences": "Ready",
        "Last year's": "Gone",
        "legacy": "Not checked",
    }


def test_the_list_says_what_a_check_found(site, hosted, tuned, admin):
    ChatBackend.objects.filter(pk=hosted.pk).update(check_passed=False, shutdown_date="2027-01-14")
    ChatBackend.objects.filter(pk=tuned.pk).update(check_passed=True)

    page = admin.get("backends:index")

    assert row_of(page, "The hosted model")[-2:] == ["14 Jan 2027", "Check failed"]
    assert row_of(page, "Our fine-tune")[-1] == "Ready"


def test_what_the_settings_declare_can_be_looked_at_only(
    site, hosted, extractive, declared, gone, admin
):
    page = admin.get("backends:index")

    assert menu_of(page, "The hosted model") >= {"Edit", "Copy", "Delete", "Inspect"}
    assert menu_of(page, "Sentences") & {"Edit", "Copy", "Delete"} == set()
    assert menu_of(page, "legacy") & {"Edit", "Copy", "Delete"} == set()
    # What has left the settings would not come back, so it may be cleared away.
    assert menu_of(page, "Last year's") & {"Edit", "Copy", "Delete"} == {"Delete"}
    for row in (extractive, declared, gone):
        for view in ("edit", "copy"):
            before = ChatBackend.objects.count()
            page = admin.post(f"backends:{view}", row.pk, **values(label="Mine"))
            assert page.message == "Sorry, you do not have permission to access this area."
            assert not ChatBackend.objects.filter(label="Mine").exists()
            assert ChatBackend.objects.count() == before
    for row in (extractive, declared):
        admin.post("backends:delete", row.pk)
        assert ChatBackend.objects.filter(pk=row.pk).exists()
    admin.post("backends:delete", gone.pk)
    assert not ChatBackend.objects.filter(pk=gone.pk).exists()


def test_opening_the_list_gives_new_aliases_their_rows(site, admin, settings):
    settings.WAGTAIL_VECTOR_INDEX = declare_alias(settings.WAGTAIL_VECTOR_INDEX, "brand-new")
    assert "brand-new" in admin.get("backends:index").text


def test_searching_the_list(site, hosted, tuned, admin):
    text = admin.get("backends:index_results", q="finetuned").soup.get_text()
    assert "Our fine-tune" in text
    assert "The hosted model" not in text


def test_adding(site, admin):
    page = admin.post("backends:add", **values())

    assert page.message == "“Tomorrow's fine-tune” was added. Check now whether it answers."
    row = ChatBackend.objects.get(alias="tomorrows-fine-tune")
    assert (row.connection, row.model_name) == ("ollama", "standin-finetuned:latest")
    assert page.response.redirect_chain[-1][0] == address("backends:check", row.pk)
    wording = row.prompt_versions.get()
    assert (wording.number, wording.text) == (1, "Answer shortly.")
    assert wording.created_by == admin.user


def test_the_same_name_twice_gives_two_aliases(site, admin):
    admin.post("backends:add", **values())
    admin.post("backends:add", **values())
    assert set(ChatBackend.objects.editable().values_list("alias", flat=True)) == {
        "tomorrows-fine-tune",
        "tomorrows-fine-tune-2",
    }


def test_the_new_form_brings_a_prompt_that_is_good(site, admin):
    fields = form_values(admin.get("backends:add"))
    assert "Use only the passages" in fields["system_prompt"]
    assert fields["context_window"] == "4096"


def test_the_connections_are_offered_with_where_they_lead(site, admin):
    page = admin.get("backends:add")
    options = [option.get_text() for option in page.main.select("#id_connection option")]
    assert options == ["Hosted – a test of OpenAI", "Our own – a test of Ollama"]


def test_no_connection_declared(site, admin, connections):
    connections.clear()
    page = admin.post("backends:add", **values(connection=""))
    assert "There is no connection yet." in page.text


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"label": ""}, "This field is required."),
        ({"model_name": ""}, "This field is required."),
        ({"connection": "elsewhere"}, "Select a valid choice."),
        ({"model_name": "gpt-oss:120b-cloud"}, "runs in Ollama's cloud: questions would leave"),
        ({"model_name": "kimi:cloud"}, "runs in Ollama's cloud: questions would leave"),
        (
            {"connection": "openai", "parameter_num_ctx": "8192"},
            "“num_ctx” cannot be set for openai. It takes: temperature,",
        ),
        (
            {"connection": "openai", "parameter_keep_alive": "30m"},
            "“keep_alive” cannot be set for openai.",
        ),
        ({"parameter_temperature": "7"}, "temperature must lie between 0 and 2"),
        ({"parameter_keep_alive": "for ever"}, "keep_alive must be a duration such as 30m"),
        ({"parameter_seed": "-4"}, "seed must lie between 0 and"),
        (
            {"hourly_price": "0.60", "prompt_price": "1"},
            "Give prices per million tokens or per hour, not both.",
        ),
        ({"connection": "elsewhere", "parameter_temperature": "7"}, "temperature must lie between"),
        ({"context_window": "100"}, "greater than or equal to 512"),
        ({"first_token_seconds": "0"}, "greater than or equal to 0.1"),
    ],
)
def test_what_the_form_refuses(site, admin, changes, sentence):
    before = ChatBackend.objects.count()
    page = admin.post("backends:add", **values(**changes))
    assert page.status == 200
    assert sentence in page.text
    assert ChatBackend.objects.count() == before


def test_editing_keeps_parameters_prices_and_deadlines(site, tuned, admin):
    admin.post(
        "backends:edit",
        tuned.pk,
        **values(
            alias="tuned",
            parameter_temperature="0.7",
            parameter_num_ctx="8192",
            parameter_keep_alive="30m",
            parameter_stop="<|end|>\nVisitor:",
            parameter_reasoning="off",
            hourly_price="0.60",
            first_token_seconds="90",
        ),
    )

    tuned.refresh_from_db()
    assert tuned.parameters == {
        "temperature": 0.7,
        "stop": ["<|end|>", "Visitor:"],
        "num_ctx": 8192,
        "keep_alive": "30m",
        "reasoning": "off",
    }
    assert tuned.hourly_price == Decimal("0.60")
    assert tuned.deadlines.first_token == 90
    fields = form_values(admin.get("backends:edit", tuned.pk))
    assert fields["parameter_stop"] == "<|end|>\nVisitor:"
    assert fields["parameter_temperature"] == "0.7"

    admin.post("backends:edit", tuned.pk, **{**fields, "parameter_temperature": ""})
    tuned.refresh_from_db()
    assert "temperature" not in tuned.parameters
    assert tuned.parameters["num_ctx"] == 8192


def test_saving_a_form_as_it_stands_changes_nothing(site, tuned, admin):
    tuned.parameters = {"temperature": 0.7, "stop": ["a", "b"]}
    tuned.save()
    before = ChatBackend.objects.filter(pk=tuned.pk).values().get()

    admin.post("backends:edit", tuned.pk, **form_values(admin.get("backends:edit", tuned.pk)))

    after = ChatBackend.objects.filter(pk=tuned.pk).values().get()
    assert {**after, "updated_at": None} == {**before, "updated_at": None}
    assert tuned.prompt_versions.count() == 1


def test_nor_does_it_from_a_browser_which_ends_lines_in_its_own_way(site, tuned, admin):
    admin.post("backends:check", tuned.pk)
    tuned.refresh_from_db()
    tuned.parameters = {"stop": [" a", "b"]}
    tuned.system_prompt = "One.\nTwo."
    tuned.save()
    fields = form_values(admin.get("backends:edit", tuned.pk))
    sent = {name: value.replace("\n", "\r\n") for name, value in fields.items()}

    admin.post("backends:edit", tuned.pk, **sent)

    wordings = tuned.prompt_versions.count()
    tuned.refresh_from_db()
    assert tuned.checked_at
    assert tuned.parameters == {"stop": [" a", "b"]}
    assert tuned.prompt_versions.count() == wordings == 2

    admin.post("backends:edit", tuned.pk, **{**sent, "parameter_stop": "a\r\nb"})
    tuned.refresh_from_db()
    assert tuned.checked_at is None


def test_without_a_connection_nothing_is_said_of_what_it_takes(site, admin):
    page = admin.post("backends:add", **values(connection="elsewhere", parameter_num_ctx="8192"))
    assert "Select a valid choice." in page.text
    assert "cannot be set for" not in page.text


def test_names_that_no_editor_gave_are_in_the_readers_language(site, extractive, declared, admin):
    UserProfile.objects.create(user=admin.user, preferred_language="de")
    page = admin.get("backends:index")
    assert "Sätze aus den Seiten (kein Modell)" in page.text
    assert "legacy (aus den Einstellungen)" in page.text
    declared.refresh_from_db()
    assert declared.label == "legacy"
    assert "legacy (aus den Einstellungen)" in admin.get("backends:inspect", declared.pk).text
    form = admin.get("backends:add")
    assert [option.get_text() for option in form.main.select("#id_parameter_reasoning option")] == [
        "Dem Modell überlassen", "Aus", "Niedrig", "Mittel", "Hoch",
    ]  # fmt: skip


def test_the_list_can_be_sorted_by_name(site, hosted, tuned, admin):
    def order(key):
        text = admin.get("backends:index", ordering=key).text
        return text.index("The hosted model") < text.index("Our fine-tune")

    assert (order("label"), order("-label")) == (False, True)


def test_what_was_deleted_does_not_come_back(site, settings, tuned, admin):
    settings.FINETUNE_SWITCH = {
        **settings.FINETUNE_SWITCH,
        "SEED_BACKEND": {"CONNECTION": "openai", "MODEL_NAME": "seed-model"},
    }
    admin.post("backends:delete", tuned.pk)
    admin.get("backends:index")
    assert not ChatBackend.objects.editable().exists()


def test_a_connection_that_has_left_is_named_in_the_form(site, tuned, admin, connections):
    del connections["ollama"]
    page = admin.get("backends:edit", tuned.pk)
    assert "ollama (no longer in the settings)" in page.text
    page = admin.post("backends:edit", tuned.pk, **form_values(page))
    assert "There is no connection “ollama” in the settings." in page.text


def test_copying(site, tuned, admin):
    tuned.parameters = {"temperature": 0.7}
    tuned.check_passed = True
    tuned.save()
    page = admin.get("backends:copy", tuned.pk)
    fields = form_values(page)
    assert fields["label"] == "Our fine-tune (copy)"
    assert fields["alias"] == "tuned-2"

    admin.post("backends:copy", tuned.pk, **fields)

    copy = ChatBackend.objects.get(alias="tuned-2")
    assert copy.parameters == {"temperature": 0.7}
    assert copy.model_name == tuned.model_name
    # Another row, which nobody has checked yet; the first one stands as it was.
    assert copy.check_passed is None
    tuned.refresh_from_db()
    assert (tuned.alias, tuned.label) == ("tuned", "Our fine-tune")
    assert tuned.prompt_versions.count() == copy.prompt_versions.count() == 1


def test_inspecting(site, tuned, declared, admin):
    tuned.parameters = {"temperature": 0.7, "keep_alive": "30m"}
    tuned.save()
    page = admin.get("backends:inspect", tuned.pk)
    facts = {
        name.get_text(): value.get_text().strip()
        for name, value in zip(page.main.select("dt"), page.main.select("dd"), strict=True)
    }
    assert facts["Where questions go"] == "a test of Ollama"
    # PostgreSQL keeps no order of the keys.
    assert set(facts["Parameters"].split(", ")) == {"temperature: 0.7", "keep_alive: 30m"}
    assert "\n" in facts["Instructions"]
    assert "None" not in facts.values()
    assert "Base model" not in facts
    assert page.links("Edit") != []
    assert admin.get("backends:inspect", declared.pk).links("Edit") == []


def test_deleting(site, tuned, admin):
    page = admin.get("backends:delete", tuned.pk)
    assert "Questions that it answered keep their record" in page.text
    assert page.buttons == ["Yes, delete"]

    page = admin.post("backends:delete", tuned.pk)
    assert "deleted" in page.message
    assert not ChatBackend.objects.filter(pk=tuned.pk).exists()


def test_what_it_answered_outlives_it(site, tuned, admin):
    asked = Exchange.objects.create(
        site=site,
        origin="site",
        question="When?",
        backend=tuned,
        backend_state=tuned.snapshot(),
        outcome=Outcome.COMPLETE,
        deadline_at=timezone.now(),
    )
    admin.post("backends:delete", tuned.pk)
    asked.refresh_from_db()
    assert asked.backend is None
    assert asked.backend_state["label"] == "Our fine-tune"


def test_a_backend_in_use_is_not_deleted_and_the_page_says_by_what(
    site, other_site, switch, hosted, admin
):
    Switch.objects.create(site=other_site).activate(hosted, expected=None)

    for page in (
        admin.get("backends:delete", hosted.pk),
        admin.post("backends:delete", hosted.pk, follow=False),
    ):
        assert page.status == 200
        assert "“The hosted model” is in use and cannot be deleted." in page.text
        assert "active backend of the site “Harbour" in page.text
        assert "active backend of the site “Sail Loft" in page.text
        assert page.buttons == []
    assert ChatBackend.objects.filter(pk=hosted.pk).exists()


def test_the_previous_backend_may_be_deleted(site, switch, hosted, tuned, admin):
    switch.activate(tuned, expected=hosted.pk)
    admin.post("backends:delete", hosted.pk)
    switch.refresh_from_db()
    assert switch.previous is None
    assert "Switch back" not in admin.get("switch:site", site.pk).text


def test_wagtails_own_count_of_uses_is_not_shown(site, hosted, switch, admin):
    """It counts references between pages, and would say that nothing uses what is active."""
    assert "Used" not in admin.get("backends:edit", hosted.pk).text
