"""The page on which a site's backend is chosen, and the acts that it offers."""

from __future__ import annotations

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from finetune_switch.backends.preflight import run_check
from finetune_switch.models import ChatBackend, Switch
from tests.pages import address


def active(site):
    return Switch.for_question(site).backend.alias


def offer(page, backend):
    """The card of a backend that could be switched to."""
    return next(
        card for card in page.main.select("li.finetune-card") if str(backend) in card.get_text()
    )


def test_what_answers_before_anything_was_chosen(site, hosted, switcher):
    page = switcher.get("switch:site", site.pk)

    assert page.main.select_one("#finetune-active").get_text() == (
        "Sentences from the pages (no model)"
    )
    assert "Since the start; nothing has been chosen yet" in page.text
    assert "Questions go to this website only; no model is asked" in page.text
    assert "Switch back" not in page.text


def test_what_answers_since_when_by_whom_and_where_it_goes(site, switch, hosted, tuned, switcher):
    switch.activate(tuned, expected=hosted.pk, user=switcher.user)

    page = switcher.get("switch:site", site.pk)

    card = " ".join(page.main.select_one(".finetune-card--active").get_text(" ").split())
    assert card.startswith("This answers: Our fine-tune")
    assert "Model standin-finetuned:latest" in card
    assert "Questions go to a test of Ollama" in card
    assert "Since Just now" in card
    assert "by Switcher" in card
    assert "Switch back to “The hosted model”" in card


def test_switching(site, switch, hosted, tuned, switcher):
    page = switcher.post("switch:activate", site.pk, backend=tuned.pk, expected=hosted.pk)

    assert page.message == "“Our fine-tune” answers on Harbour from the next question on."
    assert active(site) == "tuned"
    assert offer(page, hosted).select("button")
    switch.refresh_from_db()
    assert switch.switched_by == switcher.user


def test_switching_back_and_forth(site, switch, hosted, tuned, switcher):
    switcher.post("switch:activate", site.pk, backend=tuned.pk, expected=hosted.pk)

    page = switcher.post("switch:back", site.pk, expected=tuned.pk)
    assert page.message == "Switched back: “The hosted model” answers on Harbour again."
    assert active(site) == "hosted"

    switcher.post("switch:back", site.pk, expected=hosted.pk)
    assert active(site) == "tuned"


def test_the_first_switch_can_be_taken_back(site, hosted, extractive, switcher):
    switcher.post("switch:activate", site.pk, backend=hosted.pk, expected="")
    assert active(site) == "hosted"

    page = switcher.post("switch:back", site.pk, expected=hosted.pk)
    assert page.message.startswith("Switched back: “Sentences from the pages")
    assert active(site) == "extractive"


def test_a_page_that_is_out_of_date_changes_nothing(site, switch, hosted, tuned, log_in, switcher):
    colleague = log_in("superuser")
    colleague.post("switch:activate", site.pk, backend=tuned.pk, expected=hosted.pk)
    third = ChatBackend.objects.create(
        alias="third", label="A third", connection="openai", model_name="test-model"
    )

    page = switcher.post("switch:activate", site.pk, backend=third.pk, expected=hosted.pk)

    assert page.message.startswith("Nothing was changed: superuser switched to “Our fine-tune”")
    assert active(site) == "tuned"


def test_back_from_a_page_that_is_out_of_date_changes_nothing(
    site, switch, hosted, tuned, switcher
):
    switch.activate(tuned, expected=hosted.pk)

    page = switcher.post("switch:back", site.pk, expected=hosted.pk)

    assert page.message.startswith("Nothing was changed:")
    assert active(site) == "tuned"


def test_back_to_another_one_than_the_page_showed_changes_nothing(
    site, switch, hosted, tuned, extractive, switcher
):
    page = switcher.get("switch:site", site.pk)
    (form,) = [form for form in page.main.select("form") if "back" in form["action"]]
    shown = {field["name"]: field["value"] for field in form.select("input[name]")}
    # A colleague looks what the fine-tune says, and goes back: the same one is active again.
    switch.activate(tuned, expected=hosted.pk)
    switch.activate(hosted, expected=tuned.pk)

    page = switcher.post("switch:back", site.pk, **shown)

    assert page.message.startswith("Nothing was changed:")
    assert active(site) == "hosted"

    switcher.post("switch:back", site.pk, expected=hosted.pk, previous=tuned.pk)
    assert active(site) == "tuned"


def test_back_where_nothing_was_before(site, hosted, switcher):
    page = switcher.post("switch:back", site.pk, expected="")
    assert page.message == "There is no backend to switch back to."


@pytest.mark.parametrize("backend", ["", "seven", "-1", "0"])
def test_a_choice_that_is_none(site, switch, switcher, backend):
    page = switcher.post("switch:activate", site.pk, backend=backend, expected="")
    assert page.message == "Choose a backend from the list."
    assert active(site) == "hosted"


def test_a_choice_that_was_deleted_meanwhile(site, switch, hosted, tuned, switcher):
    number = tuned.pk
    tuned.delete()
    page = switcher.post("switch:activate", site.pk, backend=number, expected=hosted.pk)
    assert page.message == "This backend was deleted in the meantime."


def test_a_backend_that_failed_its_check_is_switched_to_on_second_thoughts_only(
    site, switch, hosted, tuned, switcher, connections
):
    connections["ollama"]["API_BASE"] = "http://127.0.0.1:9"
    run_check(tuned)

    page = switcher.post("switch:activate", site.pk, backend=tuned.pk, expected=hosted.pk)

    assert page.status == 200
    assert active(site) == "hosted"
    assert "“Our fine-tune” did not pass its last check. On Harbour visitors may get" in page.text
    assert "The model server does not take connections." in page.text
    assert page.buttons == ["Switch all the same"]
    assert page.links("Leave it as it is") == [address("switch:site", site.pk)]

    fields = {field["name"]: field["value"] for field in page.main.select("form input")}
    del fields["csrfmiddlewaretoken"]
    switcher.post("switch:activate", site.pk, **fields)
    assert active(site) == "tuned"


def test_a_gone_backend_is_shown_as_gone_and_cannot_be_used(site, switch, hosted, gone, switcher):
    page = switcher.get("switch:site", site.pk)
    card = offer(page, "Last year's")
    assert "is gone: the settings no longer declare “last-year”" in card.get_text()
    assert card.select("form") == []

    page = switcher.post("switch:activate", site.pk, backend=gone.pk, expected=hosted.pk)
    assert "is gone" in page.message
    assert active(site) == "hosted"


def test_the_active_backend_whose_connection_has_left(
    site, switch, hosted, switcher, connections, settings
):
    del connections["openai"]

    page = switcher.get("switch:site", site.pk)
    assert "The hosted model" in page.main.select_one(".finetune-card--active").get_text()
    state = json.loads(switcher.client.get(address("switch:state", site.pk)).content)
    assert state["passed"] is False
    assert "no longer declare the connection “openai”" in state["message"]
    assert switcher.post("switch:check", site.pk).message.startswith("“The hosted model” is gone")


def test_an_alias_of_the_vector_index_can_be_used(site, switch, hosted, declared, switcher):
    switcher.post("switch:activate", site.pk, backend=declared.pk, expected=hosted.pk)
    assert active(site) == declared.alias


def test_checking_what_is_active(site, switch, hosted, log_in, standin):
    editor = log_in("settings")
    assert editor.post("switch:check", site.pk).message == "“The hosted model” answers."

    ChatBackend.objects.filter(pk=hosted.pk).update(model_name="no-such-model")
    message = editor.post("switch:check", site.pk).message
    assert message.startswith("The server has no model “no-such-model”. Choose one that it has")


def test_state_says_whether_it_could_answer_and_asks_no_model(site, switch, log_in, standin):
    editor = log_in("settings")
    response = editor.client.get(address("switch:state", site.pk))
    assert json.loads(response.content) == {
        "passed": True,
        "message": "Ready: its server answers, and has the model.",
        "remedy": "",
    }
    assert [request.path for request in standin.requests] == ["/v1/models"]


def test_each_site_has_its_own(site, other_site, switch, hosted, tuned, admin):
    page = admin.get("switch:site", other_site.pk)
    assert page.main.select_one("#finetune-active").get_text().startswith("Sentences")
    current = page.main.select("nav [aria-current=page]")
    assert [link.get_text() for link in current] == ["Sail Loft"]

    admin.post("switch:activate", other_site.pk, backend=tuned.pk, expected="")
    assert (active(site), active(other_site)) == ("hosted", "tuned")


def test_the_menu_leads_to_the_site_that_one_is_on(site, other_site, switch, admin, log_in):
    def led_to(person, host):
        response = person.client.get(address("switch:index"), headers={"host": host})
        return response.url

    assert led_to(admin, "localhost") == address("switch:site", site.pk)
    assert led_to(log_in("other_site"), "localhost") == address("switch:site", other_site.pk)


def test_a_site_that_does_not_exist(site, admin):
    assert admin.get("switch:site", 9999).status == 404


@pytest.mark.parametrize("name", ["switch:site", "backends:index"])
def test_more_backends_cost_no_more_queries(name, site, switch, hosted, tuned, admin):
    def queries():
        arguments = [site.pk] if name == "switch:site" else []
        admin.get(name, *arguments)
        with CaptureQueriesContext(connection) as captured:
            page = admin.get(name, *arguments)
        assert page.status == 200
        return len(captured)

    before = queries()
    for number in range(12):
        ChatBackend(
            alias=f"more-{number}", label=f"More {number}", connection="openai", model_name="m"
        ).save()
    assert queries() == before


def test_the_menu_shows_what_one_may_open(site, switch, log_in):
    def menu(role):
        html = log_in(role).client.get(reverse("wagtailadmin_home")).content.decode()
        return ("/admin/finetune/switch/" in html, "/admin/finetune/backends/" in html)

    assert menu("editor") == (False, False)
    assert menu("settings") == (True, False)
    assert menu("viewer") == (False, True)
