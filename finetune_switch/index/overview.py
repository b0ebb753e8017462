"""The state of the index in figures and sentences, for the admin, the shell and the checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Count, Max, Min, Q
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_switch import conf
from finetune_switch.access.visibility import page_model
from finetune_switch.backends.embeddings import get_embedder
from finetune_switch.connections import get_connection
from finetune_switch.exceptions import BackendError, ConnectionNotConfigured
from finetune_switch.models import Document, EmbeddingSpace, IndexBuild, PendingUpdate
from finetune_switch.models.index import active_space

from .builds import needs_rebuild
from .sources import Sources
from .stores import get_store
from .upkeep import runs_inside_the_request

# A worker is at it within moments; what waits longer, waits for somebody to do something.
PATIENCE = timedelta(minutes=15)
# What a worker has not begun after this, it will hardly begin.
SOON = timedelta(seconds=20)


@dataclass(frozen=True)
class TypeCount:
    """The documents of one kind of object."""

    label: str
    documents: int
    private: int


@dataclass(frozen=True)
class Failure:
    """Changes that could not be indexed for one reason."""

    reason: str
    count: int
    since: datetime


@dataclass(frozen=True)
class Waiting:
    """Changes that are not in the index yet."""

    count: int = 0
    failed: int = 0
    since: datetime | None = None

    @property
    def is_stuck(self) -> bool:
        """Whether somebody has to act, since no worker will process them."""
        if not self.count or self.since is None:
            return False
        overdue = self.since < timezone.now() - PATIENCE
        return bool(self.failed) or overdue or runs_inside_the_request()


@dataclass(frozen=True)
class Rebuild:
    """Whether the index needs a rebuild, and what prevents one."""

    is_needed: bool = False
    problem: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Overview:
    """Everything that the index page shows."""

    space: EmbeddingSpace | None
    types: Sequence[TypeCount]
    left_out: int
    updated_at: datetime | None
    waiting: Waiting
    failures: Sequence[Failure]
    rebuild: Rebuild
    destination: str
    next_model: str
    next_destination: str
    store: str
    documents: int = field(init=False)
    private: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "documents", sum(row.documents for row in self.types))
        object.__setattr__(self, "private", sum(row.private for row in self.types))


def overview() -> Overview:
    """The state of the index. A dozen queries and one for each page type."""
    space = active_space()
    state = rebuild_state()
    next_model, next_destination = _next()
    documents = Document.objects.filter(space=space)
    return Overview(
        space=space,
        types=_types(space),
        left_out=left_out(),
        updated_at=documents.aggregate(at=Max("updated_at"))["at"] if space else None,
        waiting=waiting(),
        failures=failures(),
        rebuild=state,
        destination=destination_of(space.connection) if space else next_destination,
        next_model=next_model,
        next_destination=next_destination,
        store=store_name(),
    )


def waiting() -> Waiting:
    """Changes that are not in the index yet. One query."""
    found = PendingUpdate.objects.aggregate(
        count=Count("pk"), failed=Count("pk", filter=~Q(error="")), since=Min("marked_at")
    )
    return Waiting(**found)


def failures() -> list[Failure]:
    """The reasons why changes could not be indexed, the most frequent first."""
    rows = (
        PendingUpdate.objects.exclude(error="")
        .values("error")
        .annotate(count=Count("pk"), since=Min("marked_at"))
        .order_by("-count")
    )
    return [Failure(row["error"], row["count"], row["since"]) for row in rows]


def rebuild_state() -> Rebuild:
    """Whether the settings name another embedding model than the index has."""
    try:
        if needs_rebuild():
            return Rebuild(is_needed=True)
        get_embedder()
    except BackendError as error:
        return Rebuild(problem=str(error), remedy=error.remedy)
    return Rebuild()


def left_out() -> int:
    """The number of live pages that editors or the settings leave out."""
    model = page_model()
    live: int = model._default_manager.filter(live=True, depth__gt=1).count()
    wanted = sum(count for kind, count in Sources().types() if issubclass(kind, model))
    return max(0, live - wanted)


def destination_of(connection: str) -> str:
    """Where this connection sends texts to be embedded, in words."""
    if not connection:
        return _("this website only")
    try:
        return get_connection(connection).data_destination or "–"
    except ConnectionNotConfigured:
        return _("a server that the settings no longer name")


def store_name() -> str:
    """The name of the store, for people."""
    try:
        module = type(get_store()).__module__
    except ImproperlyConfigured:
        return _("no known option")
    names = {
        "memory": _("memory of this website's own process"),
        "pgvector": _("PostgreSQL with pgvector"),
    }
    own = module.rsplit(".", 1)[-1]
    return names.get(own, own)


def model_name(space: EmbeddingSpace) -> str:
    """The name of an index's embedding model, for people."""
    return space.model_name if space.connection else _("%s (built in)") % space.model_name


def last_builds(limit: int = 10) -> list[IndexBuild]:
    """The newest first."""
    return list(IndexBuild.objects.select_related("started_by")[:limit])


def status_of(build: IndexBuild) -> IndexBuild.Status:
    """The status of a build: a running one without heartbeats has failed. Writes nothing."""
    status = IndexBuild.Status(build.status)
    is_running = status == IndexBuild.Status.RUNNING
    if is_running and build.heard_of_at < timezone.now() - IndexBuild.HEARTBEAT_TIMEOUT:
        return IndexBuild.Status.FAILED
    return status


def is_at_work(build: IndexBuild | None) -> bool:
    """Whether a build is queued or running."""
    return build is not None and status_of(build) in IndexBuild.OPEN


def lacks_worker(build: IndexBuild | None) -> bool:
    """Whether a build is queued for longer than a worker needs to start it."""
    if build is None or build.status != IndexBuild.Status.QUEUED:
        return False
    return build.queued_at < timezone.now() - SOON


def sentence_of(build: IndexBuild) -> str:
    """A sentence about a build, for editors."""
    status = status_of(build)
    if status == IndexBuild.Status.QUEUED:
        if lacks_worker(build):
            return _("It still waits for a worker. Is one running? Your developer knows.")
        return _("Waiting for a worker to begin…")
    if status == IndexBuild.Status.RUNNING:
        if not build.total:
            return _("Checking what there is to do…")
        return _("%(done)d of %(total)d done: %(counts)s.") % {
            "done": build.done,
            "total": build.total,
            "counts": counts_of(build),
        }
    if status == IndexBuild.Status.COMPLETE:
        return _("Done: %s.") % counts_of(build)
    return reason_of(build)


def counts_of(build: IndexBuild) -> str:
    """``12 added or changed, 300 kept, 2 removed``; failures where there are any."""
    parts = [
        _("%d added or changed") % build.added,
        _("%d kept") % build.kept,
        _("%d removed") % build.removed,
    ]
    if build.failed:
        parts.append(_("%d failed") % build.failed)
    return ", ".join(parts)


def reason_of(build: IndexBuild) -> str:
    """Why a build failed."""
    return build.error or _(
        "The build was interrupted. Start it again: it resumes where it stopped."
    )


def advice(*, has_other_indexes: bool) -> str:
    """The most urgent sentence about the index; empty where nothing needs attention.

    A site that asks other indexes only is told nothing of ours as long as it has none.
    """
    if active_space() is None:
        return "" if has_other_indexes else _("Nothing is indexed yet.")
    state = rebuild_state()
    if state.problem:
        return state.problem
    if state.is_needed:
        return _("The index needs a rebuild: the settings name another embedding model.")
    changes = waiting()
    if not changes.is_stuck:
        return ""
    if changes.failed:
        return ngettext(
            "%d change could not be indexed.", "%d changes could not be indexed.", changes.failed
        ) % (changes.failed)
    return ngettext(
        "%d change waits to be indexed.", "%d changes wait to be indexed.", changes.count
    ) % (changes.count)


def _types(space: EmbeddingSpace | None) -> list[TypeCount]:
    if space is None:
        return []
    rows = (
        Document.objects.filter(space=space)
        .values("model")
        .annotate(documents=Count("pk"), private=Count("pk", filter=Q(is_restricted=True)))
        .order_by("-documents", "model")
    )
    return [TypeCount(_type_name(r["model"]), r["documents"], r["private"]) for r in rows]


def _type_name(label: str) -> str:
    try:
        model: Any = apps.get_model(label)
    except (LookupError, ValueError):
        return label
    return str(capfirst(model._meta.verbose_name_plural))


def _next() -> tuple[str, str]:
    """The embedding model that the next build uses, and where it sends texts."""
    wanted = conf.embedding_settings()
    if wanted is not None:
        return wanted.model_name, destination_of(wanted.connection)
    try:
        name = get_embedder().model_name
    except BackendError:
        return "–", destination_of("")
    return _("%s (built in)") % name, destination_of("")
