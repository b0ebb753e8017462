"""Askers pass view restrictions by the same rules as Wagtail's."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User
from django.test import RequestFactory
from wagtail.models import PageViewRestriction

from finetune_switch.access import Asker

pytestmark = pytest.mark.django_db

KINDS = PageViewRestriction


@pytest.fixture
def groups(db):
    return [Group.objects.create(name=name) for name in ("Crew", "Trustees")]


@pytest.fixture
def restrictions(site, make_page, groups):
    crew, trustees = groups
    rows = {
        "none": (KINDS.NONE, "", []),
        "password": (KINDS.PASSWORD, "tar", []),
        "another password": (KINDS.PASSWORD, "oakum", []),
        "login": (KINDS.LOGIN, "", []),
        "crew": (KINDS.GROUPS, "", [crew]),
        "crew or trustees": (KINDS.GROUPS, "", [crew, trustees]),
        "nobody": (KINDS.GROUPS, "", []),
    }
    made = {}
    for name, (kind, password, of) in rows.items():
        page = make_page(name, "Something about the harbour.")
        made[name] = PageViewRestriction.objects.create(
            page=page, restriction_type=kind, password=password
        )
        made[name].groups.set(of)
    return made


@pytest.fixture(params=["anonymous", "member", "crew", "both", "staff", "superuser", "inactive"])
def user(request, groups):
    crew, trustees = groups
    if request.param == "anonymous":
        return AnonymousUser()
    user = User.objects.create_user(
        request.param,
        is_staff=request.param == "staff",
        is_superuser=request.param == "superuser",
        is_active=request.param != "inactive",
    )
    user.groups.set({"crew": [crew], "both": [crew, trustees]}.get(request.param, []))
    return user


@pytest.mark.parametrize("passwords", [[], ["password"], ["password", "another password"]])
def test_same_as_wagtail(restrictions, user, passwords):
    request = RequestFactory().get("/")
    request.user = user
    key = PageViewRestriction.passed_view_restrictions_session_key
    passed = [restrictions[name].pk for name in passwords]
    request.session = {key: passed}
    allowed = {name for name, row in restrictions.items() if row.accept_request(request)}
    for asker in (Asker.from_request(request), Asker.from_user(user, passed)):
        assert {name for name, row in restrictions.items() if asker.passes(row)} == allowed
    assert set(passwords) | {"none"} <= allowed


def test_an_anonymous_visitor(restrictions):
    asker = Asker.anonymous()
    assert {name for name, row in restrictions.items() if asker.passes(row)} == {"none"}


def test_member_of_a_group(restrictions, groups):
    asker = Asker.member_of(groups[1])
    assert {name for name, row in restrictions.items() if asker.passes(row)} == {
        "none", "login", "crew or trustees",
    }  # fmt: skip


def test_a_request_without_a_session():
    assert Asker.from_request(RequestFactory().get("/")) == Asker.anonymous()


def test_at_most_one_query(user, django_assert_max_num_queries):
    with django_assert_max_num_queries(1):
        Asker.from_user(user)
