"""Every view, for everybody who may come to it."""

from __future__ import annotations

from functools import partial

import pytest
from django.db import connection, transaction
from django.test import Client
from wagtail.models import Locale, ModelLogEntry

from finetune_switch.evaluation.starting import start_run
from finetune_switch.models import (
    ChatBackend,
    Column,
    Comparison,
    Exchange,
    Grade,
    IndexBuild,
    Outcome,
    Preference,
    PreparedAnswer,
    Question,
    QuestionSet,
    Reveal,
    Run,
    RunItem,
    Switch,
    SystemPrompt,
)
from tests.comparison_helpers import make_comparison, prefer
from tests.evaluation_helpers import finished_run, make_set
from tests.pages import address
from tests.roles import BACKEND_PERMISSIONS, ROLES, make_user
from tests.visitor_helpers import unanswered

SETTINGS = {"settings", "switcher", "superuser"}
SWITCHERS = {"switcher", "superuser"}
BACKENDS = {*BACKEND_PERMISSIONS, "superuser"}
ADDERS = {"adder", "superuser"}
CHANGERS = {"changer", "superuser"}
DELETERS = {"deleter", "superuser"}
INDEXERS = {"indexer", "superuser"}
COMPARERS = {"comparer", "superuser"}
READERS = {"comparison_viewer", "comparison_deleter", "question_saver", *COMPARERS}
COMPARISON_DELETERS = {"comparison_deleter", "superuser"}
QUESTION_SAVERS = {"question_saver", "superuser"}
QUESTION_ADDERS = {"question_adder", *QUESTION_SAVERS}
QUESTION_CHANGERS = {"question_changer", "superuser"}
QUESTION_DELETERS = {"question_deleter", "superuser"}
QUESTIONERS = QUESTION_ADDERS | QUESTION_CHANGERS | QUESTION_DELETERS
SET_KEEPERS = {"set_keeper", "superuser"}
VISITOR_READERS = {"visitor_reader", "superuser"}

RUN_STARTERS = {"run_starter", "superuser"}
RUN_GRADERS = {"run_grader", "superuser"}
RUN_DELETERS = {"run_deleter", "superuser"}
RUN_READERS = {"run_viewer", *RUN_STARTERS, *RUN_GRADERS, *RUN_DELETERS}

PREPARERS = {"preparer", "superuser"}
PREPARED_CHANGERS = {"prepared_changer", "superuser"}
PREPARED_DELETERS = {"prepared_deleter", "superuser"}
PREPARED = PREPARERS | PREPARED_CHANGERS | PREPARED_DELETERS

NEW_ANSWER = {
    "kind": "fixed",
    "words": "help",
    "answer": "Call.",
    "threshold": "0.9",
    "locale": "language",
}

NEW = {
    "label": "New",
    "connection": "openai",
    "model_name": "test-model",
    "system_prompt": "Answer.",
    "context_window": "4096",
}

# name: (method, view, what its URL names, who may, what is posted)
VIEWS = {
    "choose a site": ("get", "switch:index", "", SETTINGS | {"other_site"}, {}),
    "the switch": ("get", "switch:site", "site", SETTINGS, {}),
    "state": ("get", "switch:state", "site", SETTINGS, {}),
    "check what is active": ("post", "switch:check", "site", SETTINGS, {}),
    "activate": ("post", "switch:activate", "site", SWITCHERS, {"expected": "hosted"}),
    "back": ("post", "switch:back", "site", SWITCHERS, {"expected": "hosted"}),
    "settings form": ("get", "wagtailsettings:edit", "setting", SETTINGS, {}),
    "save settings": (
        "post",
        "wagtailsettings:edit",
        "setting",
        SETTINGS,
        {"passages": "9", "similarity_threshold": "0.5"},
    ),
    "list": ("get", "backends:index", "", BACKENDS, {}),
    "list's results": ("get", "backends:index_results", "", BACKENDS, {}),
    "form to add": ("get", "backends:add", "", ADDERS, {}),
    "add": ("post", "backends:add", "", ADDERS, NEW),
    "form to edit": ("get", "backends:edit", "backend", CHANGERS, {}),
    "edit": ("post", "backends:edit", "backend", CHANGERS, {**NEW, "label": "Edited"}),
    "form to copy": ("get", "backends:copy", "backend", ADDERS, {}),
    "copy": ("post", "backends:copy", "backend", ADDERS, NEW),
    "inspect": ("get", "backends:inspect", "backend", BACKENDS, {}),
    "ask to delete": ("get", "backends:delete", "backend", DELETERS, {}),
    "delete": ("post", "backends:delete", "backend", DELETERS, {}),
    "history": ("get", "backends:history", "backend", BACKENDS - {"viewer"}, {}),
    "check page": ("get", "backends:check", "backend", BACKENDS, {}),
    "check": ("post", "backends:check", "backend", BACKENDS, {}),
    "models": ("get", "backends:models", "", ADDERS | CHANGERS, {"connection": "openai"}),
    "Modelfile": ("get", "backends:modelfile", "backend", BACKENDS, {}),
    "add the base model": ("post", "backends:add_base", "backend", ADDERS, {}),
    "wordings": ("get", "backends:prompts", "backend", BACKENDS, {}),
    "the index": ("get", "index:index", "", SETTINGS | INDEXERS | {"other_site"}, {}),
    "its progress": ("get", "index:progress", "", SETTINGS | INDEXERS | {"other_site"}, {}),
    "build it": ("post", "index:build", "", INDEXERS, {}),
    "bring it up to date": ("post", "index:build", "", INDEXERS, {"changed": "on"}),
    "form to compare": ("get", "compare:index", "", COMPARERS, {}),
    "compare": (
        "post",
        "compare:index",
        "",
        COMPARERS,
        {"question": "When?", "backends": ["hosted", "tuned"]},
    ),
    "a comparison": ("get", "compare:comparison", "comparison", READERS, {}),
    "a column": ("get", "compare:column", "column", READERS, {}),
    "grade": ("post", "compare:grade", "column", COMPARERS, {"value": "wrong"}),
    "try again": ("post", "compare:again", "other column", COMPARERS, {}),
    "prefer": ("post", "compare:prefer", "comparison", COMPARERS, {"choice": "A"}),
    "reveal": ("post", "compare:reveal", "judged comparison", COMPARERS, {}),
    "save its question": ("post", "compare:save_question", "comparison", QUESTION_SAVERS, {}),
    "comparisons": ("get", "comparisons:index", "", READERS, {}),
    "their results": ("get", "comparisons:index_results", "", READERS, {}),
    "their export": ("get", "comparisons:index", "", READERS, {"export": "xlsx"}),
    "the tally": ("get", "comparisons:tally", "", READERS, {}),
    "its results": ("get", "comparisons:tally_results", "", READERS, {}),
    "suggestions": ("get", "comparisons:suggestions", "", COMPARERS, {"q": "open"}),
    "ask to delete one": ("get", "comparisons:delete", "comparison", COMPARISON_DELETERS, {}),
    "delete one": ("post", "comparisons:delete", "comparison", COMPARISON_DELETERS, {}),
    "visitors' questions": ("get", "visitor_questions:index", "", VISITOR_READERS, {}),
    "visitors' results": ("get", "visitor_questions:index_results", "", VISITOR_READERS, {}),
    "visitors' export": (
        "get",
        "visitor_questions:index",
        "",
        VISITOR_READERS,
        {"export": "csv"},
    ),
    "a visitor's question": (
        "get",
        "visitor_questions:exchange",
        "exchange",
        VISITOR_READERS,
        {},
    ),
    "the unanswered": ("get", "visitor_questions:unanswered", "", VISITOR_READERS, {}),
    "the unanswered's results": (
        "get",
        "visitor_questions:unanswered_results",
        "",
        VISITOR_READERS,
        {},
    ),
    "questions": ("get", "questions:index", "", QUESTIONERS, {}),
    "questions' results": ("get", "questions:index_results", "", QUESTIONERS, {}),
    "form for a question": ("get", "questions:add", "", QUESTION_ADDERS, {}),
    "add a question": ("post", "questions:add", "", QUESTION_ADDERS, {"text": "Why?", "tags": ""}),
    "form of a question": ("get", "questions:edit", "question", QUESTION_CHANGERS, {}),
    "edit a question": (
        "post",
        "questions:edit",
        "question",
        QUESTION_CHANGERS,
        {"text": "Why?", "tags": ""},
    ),
    # Wagtail wants "change" of what is copied as well.
    "copy a question": ("get", "questions:copy", "question", {"superuser"}, {}),
    "ask to delete a question": ("get", "questions:delete", "question", QUESTION_DELETERS, {}),
    "delete a question": ("post", "questions:delete", "question", QUESTION_DELETERS, {}),
    "question sets": ("get", "question_sets:index", "", SET_KEEPERS, {}),
    "form for a set": ("get", "question_sets:add", "", SET_KEEPERS, {}),
    "add a set": ("post", "question_sets:add", "", SET_KEEPERS, {"name": "New"}),
    "form of a set": ("get", "question_sets:edit", "set", SET_KEEPERS, {}),
    "edit a set": ("post", "question_sets:edit", "set", SET_KEEPERS, {"name": "New"}),
    "delete a set": ("post", "question_sets:delete", "set", SET_KEEPERS, {}),
    "evaluations": ("get", "runs:index", "", RUN_READERS, {}),
    "their rows": ("get", "runs:index_results", "", RUN_READERS, {}),
    "form for an evaluation": ("get", "runs:start", "", RUN_STARTERS, {}),
    "start an evaluation": (
        "post",
        "runs:start",
        "",
        RUN_STARTERS,
        {
            "question_set": "set",
            "backends": ["hosted", "tuned"],
            "conditions": "site",
            "repeat_percent": "0",
            "graders": "1",
            "site": "here",
            "start": "1",
        },
    ),
    "an evaluation": ("get", "runs:run", "run", RUN_READERS, {}),
    "its state": ("get", "runs:progress", "run", RUN_READERS, {}),
    "one of its questions": ("get", "runs:question", "run's question", RUN_READERS, {}),
    "its answers": ("get", "runs:export", "run", RUN_READERS, {"export": "csv"}),
    "its report": ("get", "runs:report", "run", RUN_READERS, {}),
    "pause it": ("post", "runs:pause", "open run", RUN_STARTERS, {}),
    "resume it": ("post", "runs:resume", "open run", RUN_STARTERS, {}),
    "cancel it": ("post", "runs:cancel", "open run", RUN_STARTERS, {}),
    "ask its failures again": ("post", "runs:again", "run", RUN_STARTERS, {}),
    "ask to delete it": ("get", "runs:delete", "run", RUN_DELETERS, {}),
    "delete it": ("post", "runs:delete", "run", RUN_DELETERS, {}),
    "grade it": ("get", "runs:grade", "run", RUN_GRADERS, {}),
    "the next to grade": ("get", "runs:grade_card", "run", RUN_GRADERS, {}),
    "give a grade": (
        "post",
        "runs:give_grade",
        "run",
        RUN_GRADERS,
        {"item": "item", "value": "wrong"},
    ),
    "prepared answers": ("get", "prepared:index", "", PREPARED, {}),
    "their list": ("get", "prepared:index_results", "", PREPARED, {}),
    "form for an answer": ("get", "prepared:add", "", PREPARERS, {}),
    "prepare an answer": ("post", "prepared:add", "", PREPARERS, NEW_ANSWER),
    "form of an answer": ("get", "prepared:edit", "prepared", PREPARED_CHANGERS, {}),
    "edit an answer": ("post", "prepared:edit", "prepared", PREPARED_CHANGERS, NEW_ANSWER),
    "its history": ("get", "prepared:history", "prepared", PREPARED, {}),
    "its versions": ("get", "prepared:revisions_compare", "versions", PREPARED_CHANGERS, {}),
    "an old version": ("get", "prepared:revisions_revert", "version", PREPARED_CHANGERS, {}),
    "take it back": ("post", "prepared:revisions_revert", "version", PREPARED_CHANGERS, NEW_ANSWER),
    "ask to delete an answer": ("get", "prepared:delete", "prepared", PREPARED_DELETERS, {}),
    "delete an answer": ("post", "prepared:delete", "prepared", PREPARED_DELETERS, {}),
    "restore a wording": ("post", "backends:prompts", "backend", CHANGERS, {"number": "1"}),
}


# What a view of ours could change.
TABLES = [
    model._meta.db_table
    for model in (
        Switch,
        ChatBackend,
        SystemPrompt,
        IndexBuild,
        Column,
        Grade,
        Preference,
        Reveal,
        Comparison,
        Question,
        QuestionSet,
        PreparedAnswer,
        Run,
        RunItem,
        ModelLogEntry,
    )
]


def everything():
    """Each row of these tables, without the models' own work: it is asked for at each visit."""
    rows = {}
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"SELECT * FROM {table} ORDER BY id")
            rows[table] = cursor.fetchall()
    return rows


@pytest.fixture
def backend(tuned):
    """A backend that every view has something to do with."""
    tuned.base_model = "standin-base:latest"
    tuned.system_prompt = "Another wording."
    tuned.save()
    return tuned


@pytest.fixture
def comparison(site, hosted, backend):
    """One column has answered, the other has failed."""
    comparison = make_comparison("When?", [hosted, backend], site=site, is_blind=True)
    Exchange.objects.filter(columns__position=1).update(outcome=Outcome.FAILED)
    return comparison


@pytest.fixture
def people(site, other_site):
    """Somebody for each role, at a browser in which they are logged in."""
    browsers = {}
    for role in ROLES:
        user = make_user(role, other_site=other_site)
        browsers[role] = (user, Client())
        if user.pk:
            browsers[role][1].force_login(user)
    return browsers


@pytest.mark.parametrize(
    "place", sorted({view.partition(":")[0] for _, view, *_ in VIEWS.values()})
)
def test_views_for_every_role(place, people, site, switch, hosted, backend, comparison, standin):
    prepared = PreparedAnswer.objects.create(
        words="hours", answer="Nine.", locale=Locale.get_default()
    )
    version = prepared.save_revision().pk
    named = {
        "": (),
        "prepared": (prepared.pk,),
        "version": (prepared.pk, version),
        "versions": (prepared.pk, version, "latest"),
        "site": (site.pk,),
        "backend": (backend.pk,),
        "setting": ("finetune_switch", "switch", site.pk),
        "comparison": (comparison.pk,),
        "judged comparison": (comparison.pk,),
        "column": (comparison.pk, 0),
        "other column": (comparison.pk, 1),
        "question": (Question.objects.create(text="When?").pk,),
        "exchange": (unanswered("When?", site).pk,),
        "set": (QuestionSet.objects.create(name="Hours").pk,),
    }
    known = {"hosted": hosted.pk, "tuned": backend.pk, "language": Locale.get_default().pk}
    if place == "runs":
        asked = make_set("When?")
        run = finished_run(asked, [hosted, backend], site=site)
        failed, answered = run.items.order_by("contender__position")
        RunItem.objects.filter(pk=failed.pk).update(status=RunItem.Status.FAILED)
        named |= {
            "run": (run.pk,),
            "run's question": (run.pk, 0),
            "open run": (start_run(asked, [hosted, backend], site=site).pk,),
        }
        known |= {"set": asked.pk, "item": answered.pk, "here": site.pk}
    for what, (method, view, names, may, data) in VIEWS.items():
        if view.partition(":")[0] != place:
            continue
        data = {name: _filled(value, known) for name, value in data.items()}
        if what == "activate":
            data["backend"] = backend.pk
        visit = partial(_come, what, method, address(view, *named[names]), data, standin)
        for role, (user, client) in people.items():
            with transaction.atomic():
                if names == "judged comparison" and user.pk:
                    prefer(comparison, "both_bad", user)
                visit(role, client, role in may)
                # The next one finds everything as it was.
                transaction.set_rollback(True)


def _come(what, method, url, data, standin, role, client, is_allowed):
    """Somebody sends a request, and is served, or is sent away and has changed nothing."""
    who = f"{what}, {role}"
    before = everything()
    standin.clear()

    response = getattr(client, method)(url, data)

    if is_allowed:
        if method == "post" or what == "choose a site":
            assert response.status_code == 302, who
            assert response.url not in ("/admin/", "/admin/login/"), who
        else:
            assert response.status_code == 200, who
        if method == "post":
            assert everything() != before, who
    else:
        assert response.status_code == 302, who
        place = "/admin/login/" if role in ("anonymous", "member") else "/admin/"
        assert response.url.partition("?")[0] == place, who
        assert everything() == before, who
        assert standin.requests == [], who


def _filled(value, known):
    """What is posted, with primary keys in place of names."""
    if isinstance(value, list):
        return [known[one] for one in value]
    return known.get(value, value)


@pytest.mark.parametrize("view", ["switch:activate", "switch:back", "switch:check"])
def test_what_changes_something_is_posted(view, site, switch, log_in):
    assert log_in("superuser").get(view, site.pk).status == 405


def test_a_permission_for_one_site_reaches_no_other(site, other_site, switch, hosted, log_in):
    stranger = log_in("other_site")
    Switch.objects.create(site=other_site)

    page = stranger.post("switch:activate", other_site.pk, backend=hosted.pk, expected="")
    assert page.message == "“The hosted model” answers on Sail Loft from the next question on."

    assert stranger.get("switch:site", site.pk).status == 302
    assert "Harbour" not in stranger.get("switch:site", other_site.pk).text


def test_who_may_not_switch_is_told_so(site, switch, tuned, log_in):
    page = log_in("settings").get("switch:site", site.pk)
    assert "You may see what answers here, but not change it." in page.text
    assert page.buttons == ["Check connection"]


def test_who_may_switch_only_is_offered_no_backends(site, switch, tuned, switcher):
    page = switcher.get("switch:site", site.pk)
    assert "Use on site" in page.buttons
    assert page.links("Add a chat backend") == []
    assert page.links("Check") == []


def test_what_an_answer_would_be_given_to_is_for_those_who_may_prepare_some(site, log_in):
    for role, status in (("preparer", 200), ("prepared_changer", 200), ("prepared_deleter", 302)):
        page = log_in(role).post("prepared:similarity", follow=False, examples="When?")
        assert page.status == status, role
