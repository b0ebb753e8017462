"""Adding a backend, checking it, rewording and deleting it, and the settings of a site."""

from __future__ import annotations

import re

from playwright.sync_api import expect
from wagtail.models import Locale

from finetune_switch.models import ChatBackend, Switch


def test_adding_a_backend_from_what_the_server_has(lead):
    page = lead.page
    lead.go("finetune/backends/")
    page.get_by_role("link", name="Add chat backend").click()
    page.get_by_label("Name", exact=False).first.fill("Tomorrow's fine-tune")
    page.get_by_label("Connection").select_option(label="Our own – a test of Ollama")

    lead.press("Show models")
    expect(page.get_by_text("Choose one, or type a name:")).to_be_visible()
    lead.press("standin-finetuned:latest")
    expect(page.get_by_label("Model", exact=False).first).to_have_value("standin-finetuned:latest")
    expect(page.locator("#id_model_name")).to_be_focused()

    page.get_by_role("button", name="Create", exact=False).last.click()
    lead.sees_message("“Tomorrow's fine-tune” was added. Check now whether it answers.")
    lead.press("Check connection")
    lead.sees_message("“Tomorrow's fine-tune” answers.")
    expect(page.locator(".finetune-step--passed")).to_have_count(6)
    lead.sees("It was tuned from “standin-base:latest”")


def test_who_works_with_the_keyboard_stays_on_the_button(lead):
    page = lead.page
    lead.go("finetune/backends/new/")
    page.get_by_label("Connection").select_option(value="ollama")
    button = page.get_by_role("button", name="Show models")
    asked = []
    page.route("**/finetune/backends/models/**", lambda route: asked.append(route))
    button.focus()
    page.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-disabled", "true")
    expect(button).to_be_focused()
    page.keyboard.press("Enter")
    (route,) = asked
    route.continue_()
    expect(page.get_by_text("Choose one, or type a name:")).to_be_visible()
    expect(button).not_to_have_attribute("aria-disabled", "true")
    expect(button).to_be_focused()


def test_a_server_that_is_down_while_models_are_asked_for(lead, connections):
    connections["ollama"]["API_BASE"] = "http://127.0.0.1:9"
    lead.go("finetune/backends/new/")
    lead.page.get_by_label("Connection").select_option(value="ollama")
    lead.press("Show models")
    lead.sees("The model server does not take connections. Is it running")
    # The name can still be typed, and the button pressed again.
    expect(lead.page.get_by_role("button", name="Show models")).to_be_enabled()
    lead.page.locator("#id_model_name").fill("typed")


def test_the_day_on_which_a_model_ends_is_shown_where_one_chooses(lead, standin):
    end = standin.find("standin-hosted-old").shutdown_date
    lead.go("finetune/backends/new/")
    lead.page.get_by_label("Connection").select_option(value="openai")
    lead.press("Show models")
    button = lead.page.get_by_role("button", name=f"standin-hosted-old (shuts down on {end})")
    button.click()
    expect(lead.page.locator("#id_model_name")).to_have_value("standin-hosted-old")


def test_models_of_one_server_do_not_stay_when_another_is_chosen(lead):
    page = lead.page
    lead.go("finetune/backends/new/")
    page.get_by_label("Connection").select_option(value="openai")
    lead.press("Show models")
    expect(page.get_by_role("button", name="standin-hosted", exact=True)).to_be_visible()
    page.get_by_label("Connection").select_option(value="ollama")
    expect(page.get_by_role("button", name="standin-hosted", exact=True)).to_be_hidden()


def test_a_check_that_fails(lead, backends):
    ChatBackend.objects.filter(pk=backends["tuned"].pk).update(model_name="standin-deaf:latest")
    lead.go(f"finetune/backends/{backends['tuned'].pk}/check/")
    lead.press("Check connection")

    step = lead.page.locator(".finetune-step--failed")
    expect(step).to_contain_text("Receive instructions")
    expect(step).to_contain_text("What to do:")
    with lead.page.expect_download() as download:
        lead.follow("Download the corrected Modelfile")
    assert download.value.suggested_filename == "Modelfile"
    assert ".System" in download.value.path().read_text()


def test_a_backend_in_use_is_not_deleted(lead, backends):
    lead.go(f"finetune/backends/delete/{backends['hosted'].pk}/")
    lead.sees("“The hosted model” is in use and cannot be deleted.")
    expect(lead.page.locator("main").get_by_role("button", name="Yes, delete")).to_have_count(0)

    lead.go(f"finetune/backends/delete/{backends['tuned'].pk}/")
    lead.press("Yes, delete")
    lead.sees_message("deleted")


def test_a_new_wording_and_the_old_one_again(lead, backends):
    page = lead.page
    lead.go(f"finetune/backends/edit/{backends['tuned'].pk}/")
    page.get_by_label("Instructions").fill("Be brief.")
    page.get_by_role("button", name=re.compile("^Save")).click()
    lead.sees_message("updated")

    lead.go(f"finetune/backends/{backends['tuned'].pk}/prompts/")
    lead.sees("Wording 2 · in force")
    lead.press("Use this wording again")
    lead.sees_message("“Our fine-tune” uses wording 1 again.")
    lead.sees("Wording 3 · in force")
    backends["tuned"].refresh_from_db()
    assert backends["tuned"].system_prompt.startswith("You answer visitors' questions")


def test_the_settings_of_a_site(lead, site):
    Locale.objects.get_or_create(language_code="de")
    page = lead.page
    lead.go(f"settings/finetune_switch/switch/{site.pk}/")
    lead.sees("The hosted model answers; questions go to a test of OpenAI.")
    page.get_by_label("Passages").fill("7")
    page.locator("[name=nothing_found_de]").fill("Keine Ahnung.")
    page.locator("[name=notice_de]").fill("Fragen gehen an uns.")
    page.get_by_label("Answer visitors").uncheck()
    page.get_by_role("button", name=re.compile("^Save")).click()
    lead.sees_message("updated")

    switch = Switch.objects.get(site=site)
    assert (switch.passages, switch.nothing_found) == (7, {"de": "Keine Ahnung."})
    assert (switch.answers_visitors, switch.notice) == (
        False,
        {"de": "Fragen gehen an uns."},
    )
    assert switch.active.alias == "hosted"
