"""Builds of the whole index or of pending changes.

Each batch is a transaction. After a killed build, the next one does not embed the written documents
again, since they are unchanged.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from django.db import InterfaceError, OperationalError, connections, router, transaction
from django.db.models import Model
from django.utils import timezone
from django.utils.translation import gettext as _
from wagtail.models import AbstractPage

from finetune_switch.access.visibility import page_model
from finetune_switch.backends.embeddings import get_embedder
from finetune_switch.backends.embeddings.base import Embedder
from finetune_switch.exceptions import BackendError
from finetune_switch.models import Document, EmbeddingSpace, IndexBuild, PendingUpdate, RemovedChunk
from finetune_switch.models.index import active_space

from .builds import claim
from .content import users_of
from .heartbeat import heartbeat
from .missed import mark_missed
from .signals import index_activated
from .sources import BATCH, Key, Sources, batched, find_model
from .stores import get_store
from .texts import get_text_ranking
from .writing import Counts, DocumentWriter

logger = logging.getLogger("finetune_switch.index")

Progress = Callable[[IndexBuild], None]

PROGRESS = ("space", "total", "done", "added", "kept", "removed", "failed", "heard_of_at")
# Seconds between attempts to save the end of a build while PostgreSQL restarts.
PAUSES = (0, 0.5, 1, 2, 4, 8)


def wanted_space(embedder: Embedder) -> EmbeddingSpace:
    """Get or create the space of this embedding model."""
    dimensions = embedder.dimensions
    if dimensions is None:
        dimensions = embedder.embed(["How long is a vector?"]).shape[1]
    space, _created = EmbeddingSpace.objects.get_or_create(
        connection=embedder.connection,
        model_name=embedder.model_name,
        dimensions=dimensions,
    )
    return space


def run_build(build: IndexBuild, progress: Progress = lambda build: None) -> IndexBuild:
    """Run a queued build, and call ``progress`` after each batch.

    Raises :class:`IndexBusy` if the build is no longer queued. Other failures are saved in the
    build's ``error``, which is safe to show. The index stays usable.
    """
    claim(build)
    with heartbeat(build):
        _run(build, progress)
    return build


def _run(build: IndexBuild, progress: Progress) -> None:
    run = _Run(build, progress)
    try:
        if build.changed_only:
            run.process_changes()
        else:
            run.build_index()
    except _ClosedByOther:
        # close_killed_builds() has saved the end.
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
    """Update the documents of these objects in every space.

    Raises :class:`~finetune_switch.exceptions.EmbeddingError` without changing the documents.
    """
    counts = Counts()
    keys = list(keys)
    for space in EmbeddingSpace.objects.all():
        writer = DocumentWriter(space, get_embedder(space))
        for batch in batched(keys, BATCH):
            counts += writer.update(batch)
    return counts


class _ClosedByOther(Exception):
    """Another process closed the build because of missing heartbeats."""


class _Run:
    def __init__(self, build: IndexBuild, progress: Progress) -> None:
        self.build = build
        self.progress = progress

    def build_index(self) -> None:
        embedder = get_embedder()
        space = wanted_space(embedder)
        get_store().prepare(space)
        self.build.space = space
        if active_space() is None:
            # The first index answers by words while the texts are embedded.
            self._count(Counts(), 0)
            words = DocumentWriter(space, embedder, words_only=True)
            for keys in Sources().key_batches():
                words.update(keys)
        writer = DocumentWriter(space, embedder)
        # The changes of these updates are committed, so this build processes them. Later updates
        # stay for their tasks.
        pending = list(PendingUpdate.objects.all())
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
        # The total was an estimate: pages may have changed, or belong to no site.
        self.build.total = self.build.done
        if last is not None:
            raise last
        get_store().finish(space)
        _delete_processed(pending)
        _activate(space)
        index_activated.send(sender=IndexBuild, space=space)

    def _key_batches(self, space: EmbeddingSpace) -> Iterator[Sequence[Key]]:
        """Yield the keys of all indexed objects, then those of obsolete documents."""
        seen: set[Key] = set()
        for batch in Sources().key_batches():
            seen.update(batch)
            yield batch
        rows = Document.objects.filter(space=space).values_list("model", "object_id")
        yield from batched([key for key in rows.iterator() if key not in seen], BATCH)

    def process_changes(self) -> None:
        for space in EmbeddingSpace.objects.filter(is_active=True):
            mark_missed(space)
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
            raise _ClosedByOther
        if done:
            self.progress(build)


def process_pending(pending: list[PendingUpdate]) -> Counts:
    """Process these updates and delete them, unless they were renewed meanwhile.

    Raises :class:`~finetune_switch.exceptions.BackendError` if texts cannot be embedded. The
    updates then stay with the reason.
    """
    keys = list(dict.fromkeys(key for update in pending for key in _keys_of(update)))
    try:
        counts = update_objects(keys)
    except BackendError as error:
        for update in pending:
            PendingUpdate.objects.filter(pk=update.pk).update(
                attempts=update.attempts + 1, error=str(error)
            )
        raise
    _delete_processed(pending)
    return counts


def _delete_processed(pending: Iterable[PendingUpdate]) -> None:
    """Delete updates, except those that were renewed since they were read."""
    for update in pending:
        PendingUpdate.objects.filter(pk=update.pk, marked_at=update.marked_at).delete()


def _keys_of(update: PendingUpdate) -> Iterator[Key]:
    """Yield the object, its present and former descendants, and objects that show any of them.

    The privacy and the address of a page change with those of its ancestors, and so does what
    other pages may say of it.
    """
    keys = [(update.model, update.object_id)]
    if update.subtree:
        keys += _descendants(update)
    pages = [pk for model, pk in keys if (found := find_model(model)) and _is_page(found)]
    aliases = page_model()._default_manager.filter(alias_of__in=pages).specific(defer=True)
    yield from keys
    yield from users_of(keys)
    yield from ((row._meta.label_lower, str(row.pk)) for row in aliases)


def _descendants(update: PendingUpdate) -> Iterator[Key]:
    documents = Document.objects.filter(model=update.model, object_id=update.object_id)
    paths = set(documents.exclude(path="").values_list("path", flat=True))
    page = page_model()._default_manager.filter(pk=update.object_id).first()
    if page is not None:
        paths.add(page.path)
        for row in page_model()._default_manager.descendant_of(page).specific(defer=True):
            yield row._meta.label_lower, str(row.pk)
    for path in paths:
        descendants = Document.objects.filter(path__startswith=path)
        yield from descendants.values_list("model", "object_id").distinct()


def _is_page(model: type[Model]) -> bool:
    return issubclass(model, AbstractPage)


def _activate(space: EmbeddingSpace) -> None:
    """Activate a complete space and delete the others."""
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
    """Save the end of a build, with several attempts while the database restarts."""
    build.status, build.error = status, error
    build.finished_at = build.heard_of_at = timezone.now()
    connection = connections[build._state.db or router.db_for_write(IndexBuild)]
    for pause in (*PAUSES, None):
        try:
            build.save()
            return
        except (OperationalError, InterfaceError) as lost:
            if pause is None or connection.in_atomic_block:
                # Without heartbeats, the build counts as failed after a timeout.
                logger.error("The end of the build of the index could not be saved: %s", lost)
                return
            # The next attempt opens a new connection.
            connection.close()
            time.sleep(pause)
