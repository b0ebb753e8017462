"""Builds as rows: which there are, and a new one that waits to be run. Loads nothing heavy."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, router, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_switch.backends.embeddings import get_embedder, same_space
from finetune_switch.exceptions import IndexBusy
from finetune_switch.models import IndexBuild
from finetune_switch.models.index import active_space

# A build may end, or be taken up by its worker, between two looks at it.
ATTEMPTS = 3


def needs_rebuild() -> bool:
    """Whether the settings name another embedding model than the one that the index was made by."""
    space = active_space()
    return space is not None and not same_space(get_embedder(), space)


def start_build(*, changed_only: bool = False, user: Any = None) -> IndexBuild:
    """A build that waits to be run: the one that waits already, where there is one.

    So two clicks are one build, and one that waits in vain is in nobody's way. Where somebody asked
    for the whole index, it stays that. Raises :class:`IndexBusy` where one is running.
    """
    forget_killed_builds()
    starter = user if getattr(user, "pk", None) else None
    for _attempt in range(ATTEMPTS):
        if (waiting := _renewed(changed_only, starter)) is not None:
            return waiting
        try:
            with transaction.atomic(router.db_for_write(IndexBuild)):
                return IndexBuild.objects.create(changed_only=changed_only, started_by=starter)
        except IntegrityError:
            # Somebody else's: it runs, or was begun this very moment and waits.
            if IndexBuild.objects.filter(status=IndexBuild.Status.RUNNING).exists():
                break
    raise busy()


def _renewed(changed_only: bool, starter: Any) -> IndexBuild | None:
    """The build that waits, asked for anew."""
    waiting = IndexBuild.objects.filter(status=IndexBuild.Status.QUEUED)
    values: dict[str, Any] = {"queued_at": timezone.now()}
    if starter is not None:
        values["started_by"] = starter
    if not changed_only:
        values["changed_only"] = False
    # In one statement with the look at its status: a worker may take it up at any moment.
    return waiting.first() if waiting.update(**values) else None


def claim(build: IndexBuild) -> None:
    """Make a build that waits the one that runs. Raises :class:`IndexBusy` where somebody did."""
    now = timezone.now()
    rows = IndexBuild.objects.filter(pk=build.pk, status=IndexBuild.Status.QUEUED)
    if not rows.update(status=IndexBuild.Status.RUNNING, started_at=now, heard_of_at=now):
        raise busy()
    # More may have been asked of it while it waited.
    build.refresh_from_db()


def busy() -> IndexBusy:
    return IndexBusy(_("The index is being built already. Wait until that is done."))


def forget_killed_builds() -> None:
    """Mark as failed what runs no more: it has not been heard of for a while."""
    silent = timezone.now() - IndexBuild.HEARTBEAT_TIMEOUT
    IndexBuild.objects.filter(status=IndexBuild.Status.RUNNING, heard_of_at__lt=silent).update(
        status=IndexBuild.Status.FAILED,
        error=_("It was broken off. Start it again: it goes on where it was."),
        finished_at=timezone.now(),
    )
