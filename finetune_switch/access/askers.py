"""Who asks, as far as retrieval is concerned."""

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
    """What a person may open: as a user, by the passwords they gave, by their groups.

    It needs no request, so that a task or a shell can ask as somebody.
    """

    user: AbstractBaseUser | None = None
    passed_restrictions: frozenset[int] = frozenset()
    groups: frozenset[int] = frozenset()
    is_authenticated: bool = False
    is_superuser: bool = False

    @classmethod
    def anonymous(cls) -> Asker:
        """A visitor who is not signed in."""
        return cls()

    @classmethod
    def from_user(cls, user: Any, passed_restrictions: Iterable[int] = ()) -> Asker:
        """A user with their groups. One query, unless the user is anonymous."""
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
        """Whoever sends this request, with the page passwords of their session."""
        passed = ()
        if (session := getattr(request, "session", None)) is not None:
            passed = session.get(PageViewRestriction.passed_view_restrictions_session_key, ())
        return cls.from_user(getattr(request, "user", None), passed)

    @classmethod
    def member_of(cls, group: Group) -> Asker:
        """Somebody signed in who is in this group and no other."""
        return cls(groups=frozenset([group.pk]), is_authenticated=True)

    def passes(self, restriction: PageViewRestriction) -> bool:
        """Whether this asker may open what the restriction guards, as Wagtail itself decides it."""
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
    """Search and ask as somebody, in code that has no way to say who asks.

    That is wagtail-vector-index's: ``index.search()``, ``index.query()`` and ``find_similar()``
    over our storage provider ask as an anonymous visitor unless they are called in here. It holds
    for this thread or this task, and for what they start meanwhile.
    """
    token = _current.set(asker)
    try:
        yield asker
    finally:
        _current.reset(token)


def current_asker() -> Asker:
    """Whom :func:`asking_as` names; an anonymous visitor outside of it."""
    return _current.get() or Asker.anonymous()
