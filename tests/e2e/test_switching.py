"""Switching what answers, as somebody does it with a mouse, or with the keyboard alone."""

from __future__ import annotations

from django.contrib.auth import get_user_model
from playwright.sync_api import expect

from finetune_switch.backends.preflight import run_check
from finetune_switch.models import ChatBackend, Switch

from .person import tab_to


def active(site):
    return Switch.for_question(site).backend.alias


def test_logging_in_switching_and_switching_back(visitor, site):
    get_user_model().objects.create_superuser("nell", "nell@example.org", "let me in")
    page = visitor.page
    visitor.go("finetune/switch/")
    page.get_by_label("Username").fill("nell")
    page.get_by_label("Password").fill("let me in")
    page.get_by_role("button", name="Sign in").click()

    visitor.sees_active("The hosted model")
    visitor.sees("a test of OpenAI")
    expect(page.locator("dd [role=status]")).to_have_text(
        "Ready: its server answers, and has the model."
    )

    visitor.use("Our fine-tune")
    visitor.sees_message("“Our fine-tune” answers on Harbour from the next question on.")
    visitor.sees_active("Our fine-tune")
    visitor.sees("by nell")
    assert active(site) == "tuned"

    visitor.press("Switch back to “The hosted model”")
    visitor.sees_message("Switched back: “The hosted model” answers on Harbour again.")
    visitor.sees_active("The hosted model")
    assert active(site) == "hosted"


def test_the_way_from_the_home_page(lead):
    lead.go("")
    lead.sees("AI answers on Harbour")
    lead.follow("The hosted model")
    lead.sees_active("The hosted model")


def test_with_the_keyboard_alone(lead, site):
    page = lead.page
    lead.go("finetune/switch/")

    tab_to(page, "Use on site", described_by="Our fine-tune")
    page.keyboard.press("Enter")
    lead.sees_active("Our fine-tune")
    assert active(site) == "tuned"

    tab_to(page, "Switch back to “The hosted model”")
    page.keyboard.press("Enter")
    lead.sees_active("The hosted model")
    assert active(site) == "hosted"


def test_a_page_that_stayed_open_while_a_colleague_switched(lead, site, backends):
    lead.go("finetune/switch/")
    Switch.objects.get(site=site).activate(backends["tuned"], expected=backends["hosted"].pk)

    lead.use("Sentences from the pages")

    lead.sees_message("Nothing was changed: somebody switched to “Our fine-tune” while this page")
    lead.sees_active("Our fine-tune")
    assert active(site) == "tuned"


def test_a_backend_that_failed_its_check_wants_a_second_yes(lead, site, backends, standin):
    standin.add_model("broken", fault="unauthorized")
    ChatBackend.objects.filter(pk=backends["tuned"].pk).update(model_name="broken")
    backends["tuned"].refresh_from_db()
    run_check(backends["tuned"])

    lead.go("finetune/switch/")
    expect(lead.card("Our fine-tune")).to_contain_text("Failed its check")
    lead.use("Our fine-tune")
    lead.sees("“Our fine-tune” did not pass its last check.")
    lead.follow("Leave it as it is")
    lead.sees_active("The hosted model")

    lead.use("Our fine-tune")
    lead.press("Switch all the same")
    lead.sees_message("“Our fine-tune” answers on Harbour")
    assert active(site) == "tuned"


def test_the_server_of_what_answers_is_down(lead, connections):
    connections["openai"]["API_BASE"] = "http://127.0.0.1:9/v1"
    lead.go("finetune/switch/")
    state = lead.page.locator("dd [role=status]")
    expect(state).to_contain_text("The model server does not take connections.")
    expect(state).to_contain_text("Is it running")

    lead.press("Check connection")
    lead.sees_message("The model server does not take connections.")
    lead.sees("Failed its check")


def test_every_switch_is_in_the_site_history(lead):
    lead.go("finetune/switch/")
    lead.use("Our fine-tune")
    lead.sees_active("Our fine-tune")
    lead.go("reports/site-history/")
    lead.sees("Switched the chat backend from “The hosted model” to “Our fine-tune”")
