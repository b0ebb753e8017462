"""Builds of the index: the whole of it, or the objects that are marked as changed.

Each batch is a transaction. A build that was killed is run again: documents that it has written
are unchanged then, and need no embedding.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from django.db import InterfaceError, OperationalError, connections, router, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_switch.access.visibility import page_model
from finetune_switch.backends.embeddings import get_embedder
from finetune_switch.backends.embeddings.base import Embedder
from finetune_switch.exceptions import BackendError
from finetune_switch.models import Document, EmbeddingSpace, IndexBuild, PendingUpdate, RemovedChunk

from .builds import claim
from .content import objects_that_use
from .heartbeat import heartbeat
from .signals import index_activated
from .sources import BATCH, Key, Sources
from .stores import get_store
from .texts import get_text_ranking
from .writing import Counts, DocumentWriter

logger = logging.getLogger("finetune_switch.index")

Progress = Callable[[IndexBuild], None]

PROGRESS = ("space", "total", "done", "added", "kept", "removed", "failed", "heard_of_at")
# Seconds between attempts to record the end of a build, while PostgreSQL restarts.
PAUSES = (0, 0.5, 1, 2, 4, 8)


def wanted_space(embedder: Embedder) -> EmbeddingSpace:
    """The space of the embedding model in the settings, created where it does not exist."""
    dimensions = embedder.dimensions
    if dimensions is None:
        # Only the model can tell.
        dimensions = embedder.embed(["How long is a vector?"]).shape[1]
    space, _created = EmbeddingSpace.objects.get_or_create(
        connection=embedder.connection,
        model_name=embedder.model_name,
        dimensions=dimensions,
    )
    return space


def run_build(build: IndexBuild, progress: Progress = lambda build: None) -> IndexBuild:
    """Run a queued build; ``progress`` is called after each batch.

    Raises :class:`IndexBusy` where the build is not queued any more. Other failures are recorded in
    the build's ``error``, which is safe to show; the index stays usable.
    """
    claim(build)
    with heartbeat(build):
        _run(build, progress)
    return build


def _run(build: IndexBuild, progress: Progress) -> None:
    try:
        _Run(build, progress).run()
    except _GivenUp:
        # Its row was closed by the process that took it for dead.
        build.status = IndexBuild.Status.FAILED
        build.error = _("The build was interrupted. Start it again: it resumes where it stopped.")
    except BackendError as error:
        _close(build, IndexBuild.Status.FAILED, str(error))
    except (OperationalError, InterfaceError) as error:
        logger.error("The index could not be built: %s", error)
        _close(
            build,
            IndexBuild.Status.FAILED,
            _("The database did not answer. Start the build again: it resumes where it stopped."),
        )
    except Exception:
        logger.exception("The index could not be built.")
        _close(
            build,
            IndexBuild.Status.FAILED,
            _("Something went wrong. The site's log says more."),
        )
    except BaseException:
        _close(build, IndexBuild.Status.FAILED, _("It was stopped. Start it again to go on."))
        raise
    else:
        _close(build, IndexBuild.Status.COMPLETE, "")


def update_objects(keys: Iterable[Key]) -> Counts:
    """Make the documents of these objects match the objects, in every space.

    Raises :class:`~finetune_switch.exceptions.EmbeddingError`; the old documents stay then.
    """
    counts = Counts()
    keys = list(keys)
    for space in EmbeddingSpace.objects.all():
        writer = DocumentWriter(space, get_embedder(space))
        for batch in _batches(keys):
            counts += writer.update(batch)
    return counts


def _batches(keys: Sequence[Key]) -> Iterator[Sequence[Key]]:
    for start in range(0, len(keys), BATCH):
        yield keys[start : start + BATCH]


class _GivenUp(Exception):
    """Another process took the build for dead and closed it."""


class _Run:
    def __init__(self, build: IndexBuild, progress: Progress) -> None:
        self.build = build
        self.progress = progress

    def run(self) -> None:
        if self.build.changed_only:
            self._run_changed()
        else:
            self._run_whole()

    def _run_whole(self) -> None:
        embedder = get_embedder()
        space = wanted_space(embedder)
        get_store().prepare(space)
        self.build.space = space
        writer = DocumentWriter(space, embedder)
        # The changes of these marks are committed, so this build reads the objects after them.
        # Later marks stay: their tasks process them.
        marks = list(PendingUpdate.objects.all())
        self.build.total = Sources().count()
        last: BackendError | None = None
        for batch in self._key_batches(space):
            try:
                counts = writer.update(batch)
            except BackendError as error:
                last = error
                counts = Counts(failed=len(batch))
            self._count(counts, counts.added + counts.kept + counts.failed)
            if last is not None and not self.build.added and not self.build.kept:
                raise last
        # Pages were published or removed meanwhile, or are beneath no site.
        self.build.total = self.build.done
        if last is not None:
            raise last
        get_store().finish(space)
        _remove_marks(marks)
        _activate(space)
        index_activated.send(sender=IndexBuild, space=space)

    def _key_batches(self, space: EmbeddingSpace) -> Iterator[Sequence[Key]]:
        """The keys of every object that belongs in the index, then those of other documents."""
        seen: set[Key] = set()
        for batch in Sources().key_batches():
            seen.update(batch)
            yield batch
        rows = Document.objects.filter(space=space).values_list("model", "object_id")
        yield from _batches([key for key in rows.iterator() if key not in seen])

    def _run_changed(self) -> None:
        pending = list(PendingUpdate.objects.order_by("marked_at"))
        self.build.total = len(pending)
        last: BackendError | None = None
        for start in range(0, len(pending), 50):
            batch = pending[start : start + 50]
            try:
                counts = process_pending(batch)
            except BackendError as error:
                last = error
                counts = Counts(failed=len(batch))
            self._count(counts, len(batch))
        if last is not None:
            raise last

    def _count(self, counts: Counts, done: int) -> None:
        build = self.build
        build.done += done
        build.added += counts.added
        build.kept += counts.kept
        build.removed += counts.removed
        build.failed += counts.failed
        build.heard_of_at = timezone.now()
        running = IndexBuild.objects.filter(pk=build.pk, status=IndexBuild.Status.RUNNING)
        if not running.update(**{name: getattr(build, name) for name in PROGRESS}):
            raise _GivenUp
        self.progress(build)


def process_pending(pending: list[PendingUpdate]) -> Counts:
    """Update the objects of these marks, and delete the marks.

    A mark that was renewed meanwhile stays. Where texts cannot be embedded, the marks stay with
    the reason, and the error is raised.
    """
    keys = list(dict.fromkeys(key for mark in pending for key in _keys_of(mark)))
    try:
        counts = update_objects(keys)
    except BackendError as error:
        for mark in pending:
            PendingUpdate.objects.filter(pk=mark.pk).update(
                attempts=mark.attempts + 1, error=str(error)
            )
        raise
    _remove_marks(pending)
    return counts


def _remove_marks(marks: Iterable[PendingUpdate]) -> None:
    """Delete marks, except those that were renewed since they were read."""
    for mark in marks:
        PendingUpdate.objects.filter(pk=mark.pk, marked_at=mark.marked_at).delete()


def _keys_of(mark: PendingUpdate) -> Iterator[Key]:
    """The object of a mark and those that show it; with ``subtree``, all that is or was beneath."""
    yield mark.model, mark.object_id
    yield from objects_that_use(mark.model, mark.object_id)
    if not mark.subtree:
        return
    documents = Document.objects.filter(model=mark.model, object_id=mark.object_id)
    paths = set(documents.exclude(path="").values_list("path", flat=True))
    page = page_model()._default_manager.filter(pk=mark.object_id).first()
    if page is not None:
        paths.add(page.path)
        for row in page_model()._default_manager.descendant_of(page).specific(defer=True):
            yield row._meta.label_lower, str(row.pk)
    for path in paths:
        beneath = Document.objects.filter(path__startswith=path)
        yield from beneath.values_list("model", "object_id").distinct()


def _activate(space: EmbeddingSpace) -> None:
    """Make a complete space the active one, and delete the others."""
    space.refresh_from_db()
    with transaction.atomic():
        others = list(EmbeddingSpace.objects.exclude(pk=space.pk))
        EmbeddingSpace.objects.filter(is_active=True).exclude(pk=space.pk).update(is_active=False)
        EmbeddingSpace.objects.filter(pk=space.pk).update(
            is_active=True, completed_at=timezone.now()
        )
        removed = RemovedChunk.objects.filter(space=space, version__lte=space.version)
        if removed.exists():
            removed.delete()
            EmbeddingSpace.objects.filter(pk=space.pk).update(horizon=space.version)
        for other in others:
            get_store().drop(other)
            other.delete()
    if others:
        get_text_ranking().tidy()
    space.refresh_from_db()


def _close(build: IndexBuild, status: IndexBuild.Status, error: str) -> None:
    """Record the end of a build, with several attempts while the database restarts."""
    build.status, build.error = status, error
    build.finished_at = build.heard_of_at = timezone.now()
    connection = connections[build._state.db or router.db_for_write(IndexBuild)]
    for pause in (*PAUSES, None):
        try:
            build.save()
            return
        except (OperationalError, InterfaceError) as lost:
            if pause is None or connection.in_atomic_block:
                # Without heartbeats it counts as broken off after a while.
                logger.error("How the build of the index ended could not be written: %s", lost)
                return
            # The next attempt opens a new connection.
            connection.close()
            time.sleep(pause)
