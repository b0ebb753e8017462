"""Every screen for everybody: accessible, in light and dark, on a telephone, under a strict CSP."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.contrib.auth import get_user_model
from playwright.sync_api import Route, expect
from wagtail.models import Locale

from demo_site.middleware import POLICY
from finetune_switch.backends.preflight import run_check
from finetune_switch.models import (
    ChatBackend,
    Exchange,
    IndexBuild,
    Outcome,
    PreparedAnswer,
    Question,
    QuestionSet,
    Switch,
)
from finetune_switch.models.prepared import today
from tests.comparison_helpers import grade, make_comparison, prefer
from tests.index_states import STATES, IndexStates

from .looking import NARROW, look

pytestmark = pytest.mark.thorough

# Side by side they take half a minute less.
PARTS = 3


@pytest.fixture
def screens(lead, site, backends):
    """Addresses of every screen, with something to see on each."""
    tuned, hosted = backends["tuned"], backends["hosted"]
    ChatBackend(
        alias="deaf",
        label="A fine-tune that ignores its instructions",
        connection="ollama",
        model_name="standin-deaf:latest",
    ).save()
    deaf = ChatBackend.objects.get(alias="deaf")
    for backend in (tuned, hosted, deaf):
        run_check(backend)
    tuned.system_prompt = "Be brief."
    tuned.save()
    switch = Switch.objects.get(site=site)
    switch.activate(tuned, expected=hosted.pk)
    switch.activate(hosted, expected=tuned.pk)
    for outcome in (Outcome.COMPLETE, Outcome.FAILED):
        Exchange.objects.create(
            site=site, origin="site", question="When?", outcome=outcome, deadline_at=deaf.created_at
        )
    question = judge_something(site, tuned, hosted)
    return {
        "questions": "finetune/questions/",
        "question": f"finetune/questions/edit/{question.pk}/",
        "question sets": "finetune/question-sets/",
        "question set": f"finetune/question-sets/edit/{question.sets.get().pk}/",
        "comparisons": "finetune/comparisons/",
        "no comparisons": "finetune/comparisons/?q=nothing",
        "tally": "finetune/comparisons/tally/",
        "empty tally": "finetune/comparisons/tally/?asked_at_to=2001-01-01",
        "delete a comparison": f"finetune/comparisons/{question.comparisons.first().pk}/delete/",
        "switch": f"finetune/switch/{site.pk}/",
        "list": "finetune/backends/",
        "add": "finetune/backends/new/",
        "edit": f"finetune/backends/edit/{tuned.pk}/",
        "inspect": f"finetune/backends/inspect/{tuned.pk}/",
        "delete": f"finetune/backends/delete/{tuned.pk}/",
        "delete refused": f"finetune/backends/delete/{hosted.pk}/",
        "check passed": f"finetune/backends/{tuned.pk}/check/",
        "check failed": f"finetune/backends/{deaf.pk}/check/",
        "wordings": f"finetune/backends/{tuned.pk}/prompts/",
        "prepared answers": "finetune/prepared/",
        "no prepared answers": "finetune/prepared/?q=nothing",
        "prepare an answer": "finetune/prepared/new/",
        "prepared answer": f"finetune/prepared/edit/{prepare(site, question).pk}/",
        "settings": f"settings/finetune_switch/switch/{site.pk}/",
        "home": "",
        "confirm": "",
        **{f"index, {state}": "finetune/index/" for state in STATES},
    }


def prepare(site, question):
    """A prepared answer that is to be reviewed, one that no question finds, and one not in use."""
    values = {"locale": Locale.get_default(), "answer": "Eighteen pounds, ferry included."}
    PreparedAnswer.objects.create(words="Isthereaveryverylongwordthatnobodycanbreak" * 2, **values)
    PreparedAnswer.objects.create(kind="fixed", words="help", is_on=False, **values)
    PreparedAnswer.objects.create(examples="Is there a lift?", **values)
    PreparedAnswer.objects.update(vectors=None)
    return PreparedAnswer.objects.create(
        examples=question.text,
        words="ferry",
        page_id=site.root_page.pk,
        review_on=today() - timedelta(days=1),
        **values,
    )


def judge_something(site, tuned, hosted):
    """Comparisons of a saved question: open, blind, closed to the reader, failed; some judged."""
    people = get_user_model().objects
    sam = people.create_user("sam", "sam@example.org", first_name="Sam", last_name="Pike")
    lead = people.get(username="nell")
    question = Question.objects.create(
        text="What does a family ticket cost, and is the ferry part of it?",
        reference_answer="Eighteen pounds, ferry included.",
        page_ids=[site.root_page.pk, 987654],
    )
    question.sets.add(QuestionSet.objects.create(name="Prices", description="What things cost."))
    question.tags.add("tickets", "visit")
    Question.objects.create(text="Isthereaveryveryverylongwordthatnobodycanbreakanywhere" * 2)
    values = {"site": site, "user": lead, "saved_question": question}
    for number in range(4):
        comparison = make_comparison(question.text, [tuned, hosted], **values)
        prefer(comparison, "A" if number else "both_bad", lead)
        grade(comparison, "A", lead, "correct", tone="yes")
        grade(comparison, "B", sam, "partly_correct", tone="nearly")
    blind = make_comparison("Is there a lift?", [hosted, tuned], is_blind=True, site=site, user=sam)
    prefer(blind, "B", sam)
    grade(
        make_comparison("Hidden?", [hosted, tuned], pages=[gone_page()], site=site),
        "A",
        sam,
        "wrong",
    )
    failed = make_comparison("Are dogs allowed?", [tuned, hosted], site=site, user=sam)
    exchanges = Exchange.objects.filter(pk=failed.columns.first().exchange_id)
    exchanges.update(outcome=Outcome.FAILED)
    return question


def gone_page():
    """A page that is gone, so that nobody may read what was made from it."""
    return SimpleNamespace(
        title="Gone", pk=987654, _meta=SimpleNamespace(label_lower="wagtailcore.page")
    )


@pytest.fixture
def index_states(site, make_page, settings):
    return IndexStates(site, make_page, settings)


@pytest.fixture
def show(lead, screens, index_states):
    """Opens a screen as somebody comes to it."""

    def show(name):
        if name.startswith("index, "):
            index_states.show(name.removeprefix("index, "))
        if name == "confirm":
            lead.go(screens["switch"])
            lead.use("A fine-tune that ignores its instructions")
            lead.sees("did not pass its last check")
        else:
            lead.go(screens[name])
        if name == "add":
            lead.page.get_by_label("Connection").select_option(value="openai")
            lead.press("Show models")
            lead.page.get_by_role("button", name="standin-hosted", exact=True).wait_for()

    return show


@pytest.mark.parametrize("part", range(PARTS))
def test_everybody_can_use_them(lead, screens, show, part):
    found = {}
    for name in list(screens)[part::PARTS]:
        lead.page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
        show(name)
        if wrong := look(lead.page, with_shell=name == "home"):
            found[name] = wrong
    assert found == {}


def test_a_strict_policy_breaks_nothing_of_ours(lead, screens, show):
    """The header stands on each page; what is refused is heard of across pages."""
    violations = []

    def with_policy(route: Route) -> None:
        response = route.fetch()
        headers = {**response.headers, "content-security-policy": POLICY}
        route.fulfill(response=response, headers=headers)

    lead.page.route("**/admin/**", with_policy)
    lead.page.expose_function("tellViolation", lambda text: violations.append(text))
    lead.page.add_init_script(
        """document.addEventListener('securitypolicyviolation', (event) => {
             window.tellViolation(`${location.pathname} ${event.sourceFile}:${event.lineNumber} ` +
               `${event.violatedDirective} ${event.sample}`);
           });"""
    )
    lead.go(screens["switch"])
    state = lead.page.locator("dd [role=status]")
    state.get_by_text("Ready: its server answers, and has the model.").wait_for()
    lead.press("Check connection")
    lead.sees_message("“The hosted model” answers.")
    lead.use("Our fine-tune")
    lead.sees_active("Our fine-tune")

    lead.go(screens["add"])
    lead.page.get_by_label("Connection").select_option(value="ollama")
    lead.press("Show models")
    lead.press("standin-finetuned:latest")
    assert lead.page.locator("#id_model_name").input_value() == "standin-finetuned:latest"
    for name in ("check failed", "wordings", "list", "inspect", "delete", "settings", "home"):
        lead.go(screens[name])
    show("index, running")
    IndexBuild.objects.update(status="complete")
    expect(lead.page.locator("progress")).to_have_count(0)
    # An offence of our own comes last, to see that each would have been heard of by now.
    assert lead.complaints == []
    lead.page.evaluate(
        """() => new Promise((resolve) => {
             document.addEventListener('securitypolicyviolation', () => resolve(), { once: true });
             const style = document.createElement('style');
             style.textContent = 'p { color: red }';
             document.head.append(style);
           })"""
    )
    assert ["style-src" in violation for violation in violations] == [True], violations
    lead.complaints.clear()
