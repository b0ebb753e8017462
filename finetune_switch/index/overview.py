"""The state of the index, for the admin, the command line and the checks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Count, Max, Min, Model, Q
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from wagtail.coreutils import get_content_languages

from finetune_switch import conf
from finetune_switch.access.visibility import page_model
from finetune_switch.backends.embeddings import (
    chosen_model,
    get_embedder,
    model_of_index,
    unsupported_languages,
)
from finetune_switch.backends.embeddings.embedded import ENGLISH, MULTILINGUAL
from finetune_switch.connections import get_connection
from finetune_switch.exceptions import BackendError, ConnectionNotConfigured
from finetune_switch.models import Document, EmbeddingSpace, IndexBuild, PendingUpdate
from finetune_switch.models.index import active_space

from .builds import needs_rebuild
from .fields import MissingField, missing_fields
from .sources import Sources, find_model
from .stores import get_store
from .upkeep import runs_inside_the_request

# Changes that wait longer need action by somebody.
PENDING_TIMEOUT = timedelta(minutes=15)
# If a build waits longer, there is probably no worker.
WORKER_TIMEOUT = timedelta(seconds=20)
EMBEDDINGS_REMEDY = (
    f'Set {conf.SETTING}["INDEX"]["EMBEDDINGS"] to "{conf.MULTILINGUAL}", and rebuild the index: '
    "manage.py finetune_switch index"
)


@dataclass(frozen=True)
class TypeCount:
    """The numbers of documents of a type of object."""

    label: str
    documents: int
    private: int


@dataclass(frozen=True)
class Failure:
    """Changes that could not be indexed for the same reason."""

    reason: str
    count: int
    since: datetime


@dataclass(frozen=True)
class Waiting:
    """Pending changes."""

    count: int = 0
    failed: int = 0
    since: datetime | None = None

    @property
    def is_stuck(self) -> bool:
        """Whether no worker will process the changes."""
        if not self.count or self.since is None:
            return False
        overdue = self.since < timezone.now() - PENDING_TIMEOUT
        return bool(self.failed) or overdue or runs_inside_the_request()


@dataclass(frozen=True)
class Rebuild:
    """Whether the index needs a rebuild, and what prevents one."""

    is_needed: bool = False
    problem: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class MissingText:
    """A type of object, and its fields with text that are not indexed."""

    model: type[Model]
    fields: Sequence[MissingField]

    @property
    def label(self) -> str:
        return str(capfirst(self.model._meta.verbose_name_plural))


@dataclass(frozen=True)
class Overview:
    """The state of the index as shown in the admin."""

    space: EmbeddingSpace | None
    types: Sequence[TypeCount]
    left_out: int
    updated_at: datetime | None
    waiting: Waiting
    failures: Sequence[Failure]
    rebuild: Rebuild
    destination: str
    next_model: str
    notes: Sequence[str]
    """Why this embedding model is used, and for which languages it is weak."""
    next_destination: str
    store: str
    missing: Sequence[MissingText] = ()

    @property
    def documents(self) -> int:
        return sum(row.documents for row in self.types)

    @property
    def private(self) -> int:
        return sum(row.private for row in self.types)


def overview() -> Overview:
    """The state of the index. 12 queries and one for each page type."""
    space = active_space()
    state = rebuild_state()
    next_model, next_destination = _next()
    documents = Document.objects.filter(space=space)
    types = Sources().types()
    return Overview(
        space=space,
        types=_types(space),
        left_out=_left_out(types),
        updated_at=documents.aggregate(at=Max("updated_at"))["at"] if space else None,
        waiting=waiting(),
        failures=failures(),
        rebuild=state,
        destination=destination_of(space.connection) if space else next_destination,
        next_model=next_model,
        notes=embedding_notes(),
        next_destination=next_destination,
        store=store_name(),
        missing=missing_texts(kind for kind, _count in types),
    )


def waiting() -> Waiting:
    """Pending changes. One query."""
    found = PendingUpdate.objects.aggregate(
        count=Count("pk"), failed=Count("pk", filter=~Q(error="")), since=Min("marked_at")
    )
    return Waiting(**found)


def failures() -> list[Failure]:
    """Reasons of failed changes, the most frequent first."""
    rows = (
        PendingUpdate.objects.exclude(error="")
        .values("error")
        .annotate(count=Count("pk"), since=Min("marked_at"))
        .order_by("-count")
    )
    return [Failure(row["error"], row["count"], row["since"]) for row in rows]


def rebuild_state() -> Rebuild:
    """Whether the embedding model in the settings is not that of the index."""
    try:
        if needs_rebuild():
            return Rebuild(is_needed=True)
        get_embedder()
    except BackendError as error:
        return Rebuild(problem=str(error), remedy=error.remedy)
    return Rebuild()


def embedding_notes() -> list[str]:
    """Which embedding model of this package is used and why, and for which languages it is weak."""
    if conf.embedding_settings() is not None:
        return []
    model, languages = chosen_model(), get_content_languages()
    if conf.embedded_model() != conf.AUTO:
        why = _("The settings name it.")
    elif model_of_index() is not None:
        why = _("The index was made with it.")
    elif not unsupported_languages(ENGLISH, languages):
        why = _("All content is in English.")
        if model is not ENGLISH:
            why = _("%s is not installed.") % ", ".join(ENGLISH.missing_packages)
    else:
        why = _("Not all content is in English.")
    notes = [
        _("Texts are embedded in this process by %(model)s, a model for %(languages)s.")
        % {"model": model.model_name, "languages": model.label}
        + f" {why}"
    ]
    if weak := unsupported_languages(model, languages):
        names = ", ".join(str(languages[code]) for code in weak)
        notes.append(
            _("The model does not know %s. Such pages are found mostly by their words.") % names
        )
        if len(unsupported_languages(MULTILINGUAL, languages)) < len(weak):
            notes.append(EMBEDDINGS_REMEDY)
    return notes


def _left_out(types: Iterable[tuple[type[Model], int]]) -> int:
    """The number of live pages that editors or the settings leave out."""
    model = page_model()
    live: int = model._default_manager.filter(live=True, depth__gt=1).count()
    wanted = sum(count for kind, count in types if issubclass(kind, model))
    return max(0, live - wanted)


def missing_texts(models: Iterable[type[Model]]) -> list[MissingText]:
    """The types with fields with text that are not indexed."""
    found = (MissingText(model, missing_fields(model)) for model in models)
    return [missing for missing in found if missing.fields]


def destination_of(connection: str) -> str:
    """The destination of texts that are embedded with this connection."""
    if not connection:
        return _("this website only")
    try:
        return get_connection(connection).data_destination or "–"
    except ConnectionNotConfigured:
        return _("a server that the settings no longer name")


def store_name() -> str:
    try:
        module = type(get_store()).__module__.rpartition(".")[2]
    except ImproperlyConfigured:
        return _("no known option")
    names = {
        "memory": _("memory of this website's own process"),
        "pgvector": _("PostgreSQL with pgvector"),
    }
    return names.get(module, module)


def model_name(space: EmbeddingSpace) -> str:
    return space.model_name if space.connection else _("%s (built in)") % space.model_name


def status_of(build: IndexBuild) -> IndexBuild.Status:
    """The status of a build. Running builds without a recent heartbeat have failed."""
    status = IndexBuild.Status(build.status)
    is_running = status == IndexBuild.Status.RUNNING
    if is_running and build.heard_of_at < timezone.now() - IndexBuild.HEARTBEAT_TIMEOUT:
        return IndexBuild.Status.FAILED
    return status


def is_at_work(build: IndexBuild | None) -> bool:
    """Whether a build is queued or running."""
    return build is not None and status_of(build) in IndexBuild.OPEN


def lacks_worker(build: IndexBuild | None) -> bool:
    if build is None or build.status != IndexBuild.Status.QUEUED:
        return False
    return build.queued_at < timezone.now() - WORKER_TIMEOUT


def sentence_of(build: IndexBuild) -> str:
    """The status of a build as a sentence."""
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
    """For example ``12 added or changed, 300 kept, 2 removed``; failures if there are any."""
    parts = [
        _("%d added or changed") % build.added,
        _("%d kept") % build.kept,
        _("%d removed") % build.removed,
    ]
    if build.failed:
        parts.append(_("%d failed") % build.failed)
    return ", ".join(parts)


def reason_of(build: IndexBuild) -> str:
    return build.error or _(
        "The build was interrupted. Start it again: it resumes where it stopped."
    )


def advice(*, has_other_indexes: bool) -> str:
    """The most urgent problem of the index as a sentence; empty without a problem.

    A missing index is not a problem for a site that uses other indexes.
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
    model = find_model(label)
    return label if model is None else str(capfirst(model._meta.verbose_name_plural))


def _next() -> tuple[str, str]:
    """The embedding model of the next build, and the destination of its texts."""
    wanted = conf.embedding_settings()
    if wanted is not None:
        return wanted.model_name, destination_of(wanted.connection)
    try:
        name = get_embedder().model_name
    except BackendError:
        return "–", destination_of("")
    return _("%s (built in)") % name, destination_of("")
