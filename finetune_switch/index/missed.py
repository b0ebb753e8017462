"""Changes that no signal told of: bulk updates, loaded fixtures, a restored backup."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import router
from django.utils import timezone

from finetune_switch.access.visibility import page_model
from finetune_switch.backends.embeddings import get_embedder
from finetune_switch.models import Document, EmbeddingSpace, PendingUpdate

from .sources import BATCH, Key, Sources, batched
from .writing import DocumentWriter


def mark_missed(space: EmbeddingSpace) -> int:
    """Mark objects without a document, documents without an object, and pages with newer dates.

    Returns how many. Reads keys and dates, but no texts.
    """
    documents = Document.objects.filter(space=space)
    known = {(model, pk): at for model, pk, at in documents.values_list(*KEY, "updated_at")}
    wanted = {key for keys in Sources().key_batches() for key in keys}
    dates = page_model()._default_manager.filter(live=True, last_published_at__isnull=False)
    published = {str(pk): at for pk, at in dates.values_list("pk", "last_published_at")}
    newer = {key for key, at in known.items() if key in wanted and _is_newer(published, key, at)}
    return _mark((wanted ^ known.keys()) | newer)


def mark_different(space: EmbeddingSpace) -> int:
    """Mark the objects whose texts are not those of their documents. Returns how many.

    Reads every text, but embeds none.
    """
    writer = DocumentWriter(space, get_embedder(space))
    return _mark(key for keys in Sources().key_batches() for key in writer.different(keys))


KEY = ("model", "object_id")


def _is_newer(published: dict[str, object], key: Key, indexed_at: object) -> bool:
    date = published.get(key[1])
    # Keys of snippets may be those of pages.
    return date is not None and date > indexed_at  # type: ignore[operator]


def _mark(keys: Iterable[Key]) -> int:
    using = router.db_for_write(PendingUpdate)
    now = timezone.now()
    rows = [
        PendingUpdate(model=model, object_id=pk, marked_at=now) for model, pk in sorted(set(keys))
    ]
    for some in batched(rows, BATCH):
        PendingUpdate.objects.using(using).bulk_create(some, ignore_conflicts=True)
    return len(rows)


__all__ = ["mark_different", "mark_missed"]
