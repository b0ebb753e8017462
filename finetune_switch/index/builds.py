"""Builds as rows: which there are, and a new one that waits to be run. Loads nothing heavy."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from ..compiled import CompiledLookup
from ..embeddings import get_embedder, same_space
from ..exceptions import IndexBusy
from ..models import EmbeddingSpace, IndexBuild

_ACTIVE_SPACE: CompiledLookup[EmbeddingSpace] = CompiledLookup(
    lambda: EmbeddingSpace.objects.filter(is_active=True)
)


def active_space() -> EmbeddingSpace | None:
    """What answers: ``None`` where nothing has been indexed yet."""
    return _ACTIVE_SPACE.first()


def needs_rebuild() -> bool:
    """Whether the settings name another embedding model than the one that the index was made by."""
    space = active_space()
    return space is not None and not same_space(get_embedder(), space)


def start_build(*, changed_only: bool = False, user: Any = None) -> IndexBuild:
    """A build that waits to be run. Raises :class:`IndexBusy` where one is waiting or running."""
    forget_killed_builds()
    waiting = (IndexBuild.Status.QUEUED, IndexBuild.Status.RUNNING)
    if IndexBuild.objects.filter(status__in=waiting).exists():
        raise IndexBusy(_("The index is being built already. Wait until that is done."))
    return IndexBuild.objects.create(
        changed_only=changed_only, started_by=user if getattr(user, "pk", None) else None
    )


def forget_killed_builds() -> None:
    """Mark as failed what has not been heard of for a while."""
    silent = timezone.now() - IndexBuild.SILENCE
    IndexBuild.objects.filter(
        status__in=(IndexBuild.Status.RUNNING, IndexBuild.Status.QUEUED), heard_of_at__lt=silent
    ).update(
        status=IndexBuild.Status.FAILED,
        error=_("It was broken off. Start it again: it goes on where it was."),
        finished_at=timezone.now(),
    )
