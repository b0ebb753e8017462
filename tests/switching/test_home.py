"""The panel on the admin's home page: what answers, how it stands, and what to do next."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from wagtail.models import Locale

from finetune_switch.limits import budgets
from finetune_switch.models import ChatBackend, Exchange, Outcome, PreparedAnswer, Switch
from finetune_switch.models.prepared import today
from tests.pages import address


def panel(person):
    found = person.get("wagtailadmin_home").soup.select_one(".finetune-home")
    return found and " ".join(found.get_text(" ").split())


def heading(person):
    return person.get("wagtailadmin_home").soup.select_one("#finetune-active-backend-heading")


def asked(site, outcome=Outcome.COMPLETE, days_ago=0):
    return Exchange.objects.create(
        site=site,
        origin="site",
        question="When?",
        outcome=outcome,
        opened_at=timezone.now() - timedelta(days=days_ago),
        deadline_at=timezone.now(),
    )


def test_before_anything_was_chosen(site, hosted, admin):
    assert panel(admin) == (
        "Sentences from the pages (no model) answers. Always ready 0 questions today. "
        "No model answers yet. Choose one."
    )


def test_it_leads_to_the_switch(site, switch, admin):
    page = admin.get("wagtailadmin_home")
    assert page.links("The hosted model") == [address("switch:site", site.pk)]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "It was never checked. Check it."),
        ({"check_passed": False, "checked_at": "now"}, "Its last check failed. See why."),
        (
            {"check_passed": True, "checked_at": "now", "shutdown_date": "2027-01-14"},
            "It shuts down on 2027-01-14. Choose a successor.",
        ),
        ({"connection": "left"}, "It cannot answer. Switch to another backend."),
    ],
)
def test_the_next_thing_worth_doing(site, switch, hosted, admin, values, sentence):
    if "checked_at" in values:
        values = {**values, "checked_at": timezone.now()}
    ChatBackend.objects.filter(pk=hosted.pk).update(**values)
    assert panel(admin).endswith(sentence)


def test_nothing_to_do_where_all_is_well(site, switch, hosted, admin):
    admin.post("backends:check", hosted.pk)
    text = panel(admin)
    assert text.startswith("The hosted model answers. Answered its check · Just now")
    assert text.endswith("0 questions today.")


def test_no_model_at_all_yet(site, admin, log_in):
    page = admin.get("wagtailadmin_home")
    assert page.links("Add a model: yours, or a hosted one.") == [address("backends:add")]
    # Who may not add one is not sent where nobody lets them in.
    assert "Add a model" not in panel(log_in("switcher"))


def test_it_leads_nowhere_that_is_forbidden(site, switch, hosted, log_in):
    """The check has a page of the backend's, and a button on the switch for everybody else."""
    page = log_in("settings").get("wagtailadmin_home")
    assert page.links("It was never checked. Check it.") == [address("switch:site", site.pk)]


def test_questions_of_today(site, other_site, switch, admin):
    for outcome in (Outcome.COMPLETE, Outcome.COMPLETE, Outcome.NO_ANSWER, Outcome.FAILED):
        asked(site, outcome)
    asked(site, days_ago=2)
    asked(other_site)
    assert "4 questions today. 1 found no answer. 1 failed." in panel(admin)


def test_one_question_is_one_question(site, switch, admin):
    asked(site)
    assert "1 question today." in panel(admin)


def test_prepared_answers_that_are_to_be_reviewed(site, other_site, switch, admin, log_in):
    yesterday = today() - timedelta(days=1)
    for values in ({}, {"site": site}, {"site": other_site}, {"is_on": False}):
        PreparedAnswer.objects.create(
            words="hours", locale=Locale.get_default(), review_on=yesterday, **values
        )
    PreparedAnswer.objects.create(words="w", locale=Locale.get_default(), review_on=today())
    page = admin.get("wagtailadmin_home")
    assert page.links("2 prepared answers are to be reviewed.") == [
        f"{address('prepared:index')}?state=overdue"
    ]
    # Who may not change them is not sent there.
    assert "to be reviewed" not in panel(log_in("switcher"))


@pytest.mark.parametrize(
    ("role", "sees_it"),
    [("editor", False), ("no_site", False), ("viewer", False), ("settings", True)],
)
def test_who_sees_it(site, switch, log_in, role, sees_it):
    assert bool(panel(log_in(role))) == sees_it


def test_who_may_open_one_site_sees_that_one(site, other_site, switch, log_in):
    person = log_in("other_site")
    assert "AI answers on Sail Loft" in person.get("wagtailadmin_home").text
    assert "Sentences from the pages" in panel(person)


def test_it_costs_the_same_however_much_there_is(site, switch, admin):
    def queries():
        admin.get("wagtailadmin_home")
        with CaptureQueriesContext(connection) as captured:
            admin.get("wagtailadmin_home")
        return len(captured)

    before = queries()
    for number in range(10):
        asked(site)
        ChatBackend(
            alias=f"more-{number}", label=f"More {number}", connection="openai", model_name="m"
        ).save()
    assert queries() == before


def test_looking_makes_no_row(site, hosted, admin):
    panel(admin)
    assert not Switch.objects.exists()


def test_the_team_is_told_what_visitors_do_not_get(site, switch, admin, settings):
    told = "Today's budget of 2 questions is used up"
    settings.FINETUNE_SWITCH = {
        **settings.FINETUNE_SWITCH,
        "VISITORS": {"SITE_QUESTIONS_A_DAY": 2},
    }
    for is_used_up in (False, False, True):
        budgets.count_question(site.pk)
        assert (told in panel(admin)) is is_used_up
    page = admin.get("switch:site", site.pk)
    assert told in page.text
    assert "Visitors get sentences from the pages, and no model is asked." in page.text

    Switch.objects.update(answers_visitors=False)

    off = "Answers to visitors are turned off in the settings."
    assert off in panel(admin)
    assert off in " ".join(admin.get("switch:site", site.pk).main.get_text().split())
