"""Who comes to the admin, and what each of them was given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser, Group, Permission
from wagtail.models import GroupSitePermission, Site

BACKEND_PERMISSIONS = {
    "viewer": "view_chatbackend",
    "adder": "add_chatbackend",
    "changer": "change_chatbackend",
    "deleter": "delete_chatbackend",
}

ROLES: dict[str, tuple[str, ...]] = {
    # Nobody is logged in.
    "anonymous": (),
    # An account of the site's, which may not open the admin.
    "member": ("activate_switch", "change_switch", "change_chatbackend"),
    "editor": ("access_admin",),
    # May open the settings of every site's answers, and not switch.
    "settings": ("access_admin", "change_switch"),
    # May switch, but was given no site.
    "no_site": ("access_admin", "activate_switch"),
    # May switch, and was given another site than the one that the tests are about.
    "other_site": ("access_admin", "activate_switch"),
    "switcher": ("access_admin", "activate_switch", "change_switch"),
    # May build the index, and nothing else.
    "indexer": ("access_admin", "run_indexbuild"),
    # May ask several backends at once, and judge what they answer.
    "comparer": ("access_admin", "add_comparison"),
    # May read comparisons, and not ask.
    "comparison_viewer": ("access_admin", "view_comparison"),
    # May delete them, but not see any.
    "blind_deleter": ("access_admin", "delete_comparison"),
    "comparison_deleter": ("access_admin", "view_comparison", "delete_comparison"),
    # May read what visitors asked.
    "visitor_reader": ("access_admin", "view_exchange"),
    "question_adder": ("access_admin", "add_question"),
    # May read comparisons and keep their questions, and not edit them later.
    "question_saver": ("access_admin", "view_comparison", "add_question"),
    "question_changer": ("access_admin", "change_question"),
    "question_deleter": ("access_admin", "delete_question"),
    # May keep question sets.
    # May prepare answers, by each of its permissions alone.
    "preparer": ("access_admin", "add_preparedanswer"),
    "prepared_changer": ("access_admin", "change_preparedanswer"),
    "prepared_deleter": ("access_admin", "delete_preparedanswer"),
    # May start evaluations, and grade none.
    "run_starter": ("access_admin", "add_run"),
    # May grade answers, and start nothing.
    "run_grader": ("access_admin", "grade_run"),
    "run_viewer": ("access_admin", "view_run"),
    "run_deleter": ("access_admin", "view_run", "delete_run"),
    "set_keeper": ("access_admin", "add_questionset", "change_questionset", "delete_questionset"),
    **{role: ("access_admin", name) for role, name in BACKEND_PERMISSIONS.items()},
    "superuser": (),
}


def make_user(role: str, *, other_site: Site | None = None) -> Any:
    """A user who has what the role has, through a group, as Wagtail gives it."""
    if role == "anonymous":
        return AnonymousUser()
    users = get_user_model().objects
    if role == "superuser":
        return users.create_superuser(role, f"{role}@example.org")
    user = users.create_user(role, f"{role}@example.org", first_name=role.title())
    group = Group.objects.create(name=f"Those who are {role}")
    group.permissions.set(find_permissions(ROLES[role]))
    user.groups.add(group)
    if role == "other_site":
        assert other_site is not None
        give_site(group, other_site)
    return user


def grant(user: Any, *codenames: str) -> None:
    """More permissions than those of the user's role."""
    user.groups.get().permissions.add(*find_permissions(codenames))


def find_permissions(codenames: Iterable[str]) -> list[Permission]:
    found = list(
        Permission.objects.filter(
            codename__in=codenames, content_type__app_label__in=["finetune_switch", "wagtailadmin"]
        )
    )
    assert {permission.codename for permission in found} == set(codenames)
    return found


def give_site(group: Group, site: Site) -> None:
    """Wagtail's own permission for the settings of one site."""
    permission = Permission.objects.get(
        codename="change_switch", content_type__app_label="finetune_switch"
    )
    GroupSitePermission.objects.create(group=group, site=site, permission=permission)
