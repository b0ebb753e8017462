"""All permissions of this app, as constants and functions."""

from typing import Any

from django.contrib.auth.models import Group, Permission
from django.db.models import QuerySet
from django.http import HttpRequest
from wagtail.models import Site

from finetune_switch.models import Exchange, Origin, Switch

APP = "finetune_switch"
ACTIVATE = f"{APP}.activate_switch"
ADD_BACKEND = f"{APP}.add_chatbackend"
CHANGE_BACKEND = f"{APP}.change_chatbackend"
DELETE_BACKEND = f"{APP}.delete_chatbackend"
VIEW_BACKEND = f"{APP}.view_chatbackend"
RUN_INDEX = f"{APP}.run_indexbuild"
COMPARE = f"{APP}.add_comparison"
VIEW_COMPARISON = f"{APP}.view_comparison"
DELETE_COMPARISON = f"{APP}.delete_comparison"
VIEW_EXCHANGE = f"{APP}.view_exchange"
ADD_QUESTION = f"{APP}.add_question"
CHANGE_QUESTION = f"{APP}.change_question"
START_RUN = f"{APP}.add_run"
VIEW_RUN = f"{APP}.view_run"
GRADE_RUN = f"{APP}.grade_run"
DELETE_RUN = f"{APP}.delete_run"
ADD_PREPARED = f"{APP}.add_preparedanswer"
CHANGE_PREPARED = f"{APP}.change_preparedanswer"

GRANTABLE = (
    "activate_switch",
    "add_chatbackend",
    "change_chatbackend",
    "delete_chatbackend",
    "view_chatbackend",
    "run_indexbuild",
    "add_comparison",
    "view_comparison",
    "delete_comparison",
    "view_exchange",
    "add_question",
    "change_question",
    "delete_question",
    "add_questionset",
    "change_questionset",
    "delete_questionset",
    "add_run",
    "view_run",
    "grade_run",
    "delete_run",
    "add_preparedanswer",
    "change_preparedanswer",
    "delete_preparedanswer",
)


def grantable_permissions() -> QuerySet[Permission]:
    """The permissions that Wagtail's group form offers. It adds those of settings itself."""
    return Permission.objects.filter(content_type__app_label=APP, codename__in=GRANTABLE)


def may_edit_settings(user: Any, site: Site) -> bool:
    policy = Switch.get_permission_policy()
    return bool(policy.user_has_permission_for_instance(user, "change", site))


def editable_sites(user: Any) -> QuerySet[Site]:
    policy = Switch.get_permission_policy()
    return policy.sites_user_has_permission_for(user, "change")


def site_to_open(request: HttpRequest) -> Site | None:
    """The current site, or the first whose switch the user may open."""
    sites = editable_sites(request.user)
    site = Site.find_for_request(request)
    return site if site and sites.filter(pk=site.pk).exists() else sites.first()


def may_switch(user: Any, site: Site) -> bool:
    """Whether a user may choose the active backend: needs the permission and the site."""
    return user.has_perm(ACTIVATE) and may_edit_settings(user, site)


def may_administer_backends(user: Any) -> bool:
    return user.has_perm(CHANGE_BACKEND) or user.has_perm(ADD_BACKEND)


def may_see_backends(user: Any) -> bool:
    return (
        may_administer_backends(user)
        or user.has_perm(VIEW_BACKEND)
        or user.has_perm(DELETE_BACKEND)
    )


def may_add_backends(user: Any) -> bool:
    return bool(user.has_perm(ADD_BACKEND))


def may_build_index(user: Any) -> bool:
    return bool(user.has_perm(RUN_INDEX))


def may_see_index(user: Any) -> bool:
    return user.has_perm(RUN_INDEX) or editable_sites(user).exists()


def may_compare(user: Any) -> bool:
    """Whether a user may ask several backends at once, and judge what they answer."""
    return bool(user.has_perm(COMPARE))


def may_see_comparisons(user: Any) -> bool:
    return may_compare(user) or bool(user.has_perm(VIEW_COMPARISON))


def may_delete_comparisons(user: Any) -> bool:
    return may_see_comparisons(user) and bool(user.has_perm(DELETE_COMPARISON))


def may_start_runs(user: Any) -> bool:
    """Whether a user may start evaluations, which may cost money, and pause or cancel them."""
    return bool(user.has_perm(START_RUN))


def may_grade_runs(user: Any) -> bool:
    return bool(user.has_perm(GRADE_RUN))


def may_see_runs(user: Any) -> bool:
    return may_start_runs(user) or may_grade_runs(user) or bool(user.has_perm(VIEW_RUN))


def may_delete_runs(user: Any) -> bool:
    return may_see_runs(user) and bool(user.has_perm(DELETE_RUN))


def may_prepare_answers(user: Any) -> bool:
    return bool(user.has_perm(ADD_PREPARED) or user.has_perm(CHANGE_PREPARED))


def may_see_visitors_questions(user: Any) -> bool:
    """Whether a user may read visitors' questions, on every site."""
    return bool(user.has_perm(VIEW_EXCHANGE))


def may_see_exchange(user: Any, exchange: Exchange) -> bool:
    """Whether a user may read an exchange's question.

    Whether they may read its answer depends on its pages as well. What was asked on the command
    line or in an evaluation is shown nowhere.
    """
    if exchange.origin == Origin.SITE:
        return may_see_visitors_questions(user)
    return exchange.origin == Origin.COMPARE and may_see_comparisons(user)


def groups_to_ask_as(user: Any) -> QuerySet[Group]:
    """The groups as whose member a user may ask: their own, so that they gain no access."""
    return Group.objects.all() if user.is_superuser else user.groups.all()
