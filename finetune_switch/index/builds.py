"""The rows of builds: queueing one, claiming it, and closing those that were killed."""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, router, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_switch.backends.embeddings import get_embedder, same_space
from finetune_switch.exceptions import IndexBusy
from finetune_switch.models import IndexBuild
from finetune_switch.models.index import active_space

# A build may end, or be claimed by its worker, between two queries.
ATTEMPTS = 3


def needs_rebuild() -> bool:
    """Whether the settings name another embedding model than the active index has."""
    space = active_space()
    return space is not None and not same_space(get_embedder(), space)


def start_build(*, changed_only: bool = False, user: Any = None) -> IndexBuild:
    """Return the queued build, or queue a new one.

    A queued build of the whole index stays one. Raises :class:`IndexBusy` where one is running.
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
            # Another process queued or started one at the same moment.
            if IndexBuild.objects.filter(status=IndexBuild.Status.RUNNING).exists():
                break
    raise busy()


def _renewed(changed_only: bool, starter: Any) -> IndexBuild | None:
    waiting = IndexBuild.objects.filter(status=IndexBuild.Status.QUEUED)
    values: dict[str, Any] = {"queued_at": timezone.now()}
    if starter is not None:
        values["started_by"] = starter
    if not changed_only:
        values["changed_only"] = False
    # One statement checks the status and updates: a worker may claim the build at any moment.
    return waiting.first() if waiting.update(**values) else None


def claim(build: IndexBuild) -> None:
    """Set a queued build to running. Raises :class:`IndexBusy` where another worker has."""
    now = timezone.now()
    rows = IndexBuild.objects.filter(pk=build.pk, status=IndexBuild.Status.QUEUED)
    if not rows.update(status=IndexBuild.Status.RUNNING, started_at=now, heard_of_at=now):
        raise busy()
    # It may have been queued again, as a build of the whole index.
    build.refresh_from_db()


def busy() -> IndexBusy:
    return IndexBusy(_("The index is being built already. Wait until that is done."))


def forget_killed_builds() -> None:
    """Set builds to failed whose last heartbeat is too old."""
    silent = timezone.now() - IndexBuild.HEARTBEAT_TIMEOUT
    IndexBuild.objects.filter(status=IndexBuild.Status.RUNNING, heard_of_at__lt=silent).update(
        status=IndexBuild.Status.FAILED,
        error=_("The build was interrupted. Start it again: it resumes where it stopped."),
        finished_at=timezone.now(),
    )
