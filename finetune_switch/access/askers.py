"""The person for whom pages are retrieved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import Group
from django.http import HttpRequest
from wagtail.models import PageViewRestriction

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser


@dataclass(frozen=True)
class Asker:
    """A person's user, groups and passed page passwords, which decide what they may open.

    Independent of a request, so that tasks and shells can use it.
    """

    user: AbstractBaseUser | None = None
    passed_restrictions: frozenset[int] = frozenset()
    groups: frozenset[int] = frozenset()
    is_authenticated: bool = False
    is_superuser: bool = False

    @classmethod
    def anonymous(cls) -> Asker:
        """A visitor who is not logged in."""
        return cls()

    @classmethod
    def from_user(cls, user: Any, passed_restrictions: Iterable[int] = ()) -> Asker:
        """A user and their groups, in one query unless anonymous."""
        if user is None or not user.is_authenticated:
            return cls(passed_restrictions=frozenset(passed_restrictions))
        return cls(
            user=user,
            passed_restrictions=frozenset(passed_restrictions),
            groups=frozenset(user.groups.values_list("pk", flat=True)),
            is_authenticated=True,
            is_superuser=user.is_superuser,
        )

    @classmethod
    def from_request(cls, request: HttpRequest) -> Asker:
        """The user of a request, with the page passwords of the session."""
        passed = ()
        if (session := getattr(request, "session", None)) is not None:
            passed = session.get(PageViewRestriction.passed_view_restrictions_session_key, ())
        return cls.from_user(getattr(request, "user", None), passed)

    @classmethod
    def member_of(cls, group: Group) -> Asker:
        """A logged-in user who is in this group only."""
        return cls(groups=frozenset([group.pk]), is_authenticated=True)

    def passes(self, restriction: PageViewRestriction) -> bool:
        """Whether the asker passes the restriction, by the same rules as Wagtail's."""
        match restriction.restriction_type:
            case PageViewRestriction.NONE:
                return True
            case PageViewRestriction.PASSWORD:
                return restriction.pk in self.passed_restrictions
            case PageViewRestriction.LOGIN:
                return self.is_authenticated
            case PageViewRestriction.GROUPS:
                return self.is_superuser or any(
                    group.pk in self.groups for group in restriction.groups.all()
                )
        return False


_current: ContextVar[Asker | None] = ContextVar("finetune_switch_asker", default=None)


@contextmanager
def asking_as(asker: Asker) -> Iterator[Asker]:
    """Set the asker for code that cannot pass one.

    ``index.search()``, ``index.query()`` and ``find_similar()`` of wagtail-vector-index use an
    anonymous visitor outside of this context. It applies to the current thread or task, and to
    tasks started in it.
    """
    token = _current.set(asker)
    try:
        yield asker
    finally:
        _current.reset(token)


def current_asker() -> Asker:
    """The asker set by :func:`asking_as`, or an anonymous visitor."""
    return _current.get() or Asker.anonymous()
