"""Every view, for everybody who may come to it."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils import timezone
from wagtail.models import ModelLogEntry

from finetune_switch.models import (
    ChatBackend,
    Column,
    Comparison,
    Exchange,
    Grade,
    IndexBuild,
    Origin,
    Outcome,
    Preference,
    Reveal,
    Switch,
    SystemPrompt,
)

from .pages import address
from .roles import BACKEND_PERMISSIONS, ROLES, make_user

SETTINGS = {"settings", "switcher", "superuser"}
SWITCHERS = {"switcher", "superuser"}
BACKENDS = {*BACKEND_PERMISSIONS, "superuser"}
ADDERS = {"adder", "superuser"}
CHANGERS = {"changer", "superuser"}
DELETERS = {"deleter", "superuser"}
INDEXERS = {"indexer", "superuser"}
COMPARERS = {"comparer", "superuser"}

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
    "a comparison": ("get", "compare:comparison", "comparison", COMPARERS, {}),
    "a column": ("get", "compare:column", "column", COMPARERS, {}),
    "grade": ("post", "compare:grade", "column", COMPARERS, {"value": "wrong"}),
    "try again": ("post", "compare:again", "other column", COMPARERS, {}),
    "prefer": ("post", "compare:prefer", "comparison", COMPARERS, {"choice": "A"}),
    "reveal": ("post", "compare:reveal", "judged comparison", COMPARERS, {}),
    "restore a wording": ("post", "backends:prompts", "backend", CHANGERS, {"number": "1"}),
}


def everything():
    """All that a view of ours could change."""
    return {
        "switches": list(Switch.objects.order_by("pk").values()),
        "backends": list(ChatBackend.objects.order_by("pk").values()),
        "wordings": list(SystemPrompt.objects.order_by("pk").values()),
        "builds": list(IndexBuild.objects.order_by("pk").values()),
        "columns": list(Column.objects.order_by("pk").values()),
        "grades": list(Grade.objects.order_by("pk").values()),
        "preferences": list(Preference.objects.order_by("pk").values()),
        "reveals": list(Reveal.objects.order_by("pk").values()),
        "log": ModelLogEntry.objects.count(),
    }


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
    comparison = Comparison.objects.create(site=site, question="When?", retrieval=False)
    ends = ((hosted, Outcome.COMPLETE), (backend, Outcome.FAILED))
    for position, (row, outcome) in enumerate(ends):
        column = Column.objects.create(comparison=comparison, position=position, backend=row)
        Exchange.objects.create(
            pk=column.exchange_id,
            question="When?",
            origin=Origin.COMPARE,
            outcome=outcome,
            deadline_at=timezone.now(),
        )
    return comparison


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("what", VIEWS)
def test_a_view_for_a_role(
    what, role, site, other_site, switch, hosted, backend, comparison, standin
):
    method, view, names, may, data = VIEWS[what]
    arguments = {
        "": (),
        "site": (site.pk,),
        "backend": (backend.pk,),
        "setting": ("finetune_switch", "switch", site.pk),
        "comparison": (comparison.pk,),
        "judged comparison": (comparison.pk,),
        "column": (comparison.pk, 0),
        "other column": (comparison.pk, 1),
    }[names]
    data = {
        name: _filled(value, {"hosted": hosted.pk, "tuned": backend.pk})
        for name, value in data.items()
    }
    if what == "activate":
        data["backend"] = backend.pk
    client = Client()
    user = make_user(role, other_site=other_site)
    if user.pk:
        client.force_login(user)
    if names == "judged comparison" and user.pk:
        Preference.record(comparison, judge=user, was_blind=True, outcome="both_bad", column=None)
    before = everything()
    standin.clear()

    response = getattr(client, method)(address(view, *arguments), data)

    if role in may:
        if method == "post" or what == "choose a site":
            assert response.status_code == 302
            assert response.url not in ("/admin/", "/admin/login/")
        else:
            assert response.status_code == 200
        if method == "post":
            assert everything() != before
    else:
        assert response.status_code == 302
        login = role in ("anonymous", "member")
        assert response.url.startswith("/admin/login/") if login else response.url == "/admin/"
        assert everything() == before
        assert standin.requests == []


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
