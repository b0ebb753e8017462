"""Queueing builds, claiming them, and closing killed builds."""

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
    """Whether the embedding model in the settings is not that of the active index."""
    space = active_space()
    return space is not None and not same_space(get_embedder(), space)


def start_build(*, changed_only: bool = False, user: Any = None) -> IndexBuild:
    """Return the queued build, or queue a new one.

    A queued build of the whole index stays one. Raises :class:`IndexBusy` if a build is running.
    """
    close_killed_builds()
    starter = user if getattr(user, "pk", None) else None
    for _attempt in range(ATTEMPTS):
        if (queued := _renew_queued(changed_only, starter)) is not None:
            return queued
        try:
            with transaction.atomic(router.db_for_write(IndexBuild)):
                return IndexBuild.objects.create(changed_only=changed_only, started_by=starter)
        except IntegrityError:
            # Another process queued or started a build concurrently.
            if IndexBuild.objects.filter(status=IndexBuild.Status.RUNNING).exists():
                break
    raise busy()


def _renew_queued(changed_only: bool, starter: Any) -> IndexBuild | None:
    queued = IndexBuild.objects.filter(status=IndexBuild.Status.QUEUED)
    values: dict[str, Any] = {"queued_at": timezone.now()}
    if starter is not None:
        values["started_by"] = starter
    if not changed_only:
        values["changed_only"] = False
    # Check and update in one statement: a worker may claim the build concurrently.
    return queued.first() if queued.update(**values) else None


def claim(build: IndexBuild) -> None:
    """Set a queued build to running. Raises :class:`IndexBusy` if it is not queued."""
    now = timezone.now()
    rows = IndexBuild.objects.filter(pk=build.pk, status=IndexBuild.Status.QUEUED)
    if not rows.update(status=IndexBuild.Status.RUNNING, started_at=now, heard_of_at=now):
        raise busy()
    # It may have become a build of the whole index.
    build.refresh_from_db()


def busy() -> IndexBusy:
    return IndexBusy(_("The index is being built already. Wait until that is done."))


def close_killed_builds() -> None:
    """Set running builds without a recent heartbeat to failed."""
    timeout = timezone.now() - IndexBuild.HEARTBEAT_TIMEOUT
    IndexBuild.objects.filter(status=IndexBuild.Status.RUNNING, heard_of_at__lt=timeout).update(
        status=IndexBuild.Status.FAILED,
        error=_("The build was interrupted. Start it again: it resumes where it stopped."),
        finished_at=timezone.now(),
    )
