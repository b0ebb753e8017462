"""Writing documents. Only changed chunks are embedded and written again."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from django.db import router, transaction
from django.db.models import Model, Q
from django.utils import timezone

from finetune_switch import conf
from finetune_switch.access.visibility import group_ids
from finetune_switch.backends.embeddings.base import Embedder, Vectors
from finetune_switch.models import Chunk, Document, EmbeddingSpace, RemovedChunk

from .chunks import ChunkText, split
from .content import Content, content_of
from .sources import PLACE, Indexed, Key, Sources
from .stores import get_store
from .texts import get_text_ranking

# Part of every digest. Increase it when texts are split differently, to split all of them again.
FORMAT = 2
STATE = (*PLACE, "title")
ATTEMPTS = 3


@dataclass
class Counts:
    """The numbers of objects by result. ``added`` are new or changed."""

    added: int = 0
    kept: int = 0
    removed: int = 0
    failed: int = 0

    def __iadd__(self, other: Counts) -> Counts:
        self.added += other.added
        self.kept += other.kept
        self.removed += other.removed
        self.failed += other.failed
        return self


@dataclass
class _Change:
    """A document to write. ``stored`` is the row as it was read, ``None`` for a new document."""

    item: Indexed
    stored: Document | None
    title: str
    digest: str
    is_text_changed: bool
    chunks: list[ChunkText] = field(default_factory=list)
    vectors: dict[str, bytes] = field(default_factory=dict)

    @property
    def state(self) -> dict[str, Any]:
        return {**self.item.place, "title": self.title}

    @property
    def is_needed(self) -> bool:
        return self.is_text_changed or any(
            getattr(self.stored, name) != value for name, value in self.state.items()
        )


class DocumentWriter:
    """Updates the documents of an embedding space.

    With ``words_only``, objects without a document get one without vectors, to be found by words
    meanwhile. Its empty digests make the next writer write it again.
    """

    def __init__(
        self, space: EmbeddingSpace, embedder: Embedder, *, words_only: bool = False
    ) -> None:
        self.space = space
        self.embedder = embedder
        self.words_only = words_only
        self.using = router.db_for_write(Document)
        self.store = get_store(self.using)
        self.texts = get_text_ranking(self.using)

    def update(self, keys: Iterable[Key]) -> Counts:
        """Update the documents of these objects.

        Raises :class:`~finetune_switch.exceptions.EmbeddingError` if texts cannot be embedded.
        Nothing is written then.
        """
        counts = Counts()
        keys = list(dict.fromkeys(keys))
        for _attempt in range(ATTEMPTS):
            # Documents are read before objects, so that _write() notices documents of newer
            # versions of the objects.
            stored = self._stored(keys)
            items = Sources().find(keys)
            changes = [self._compare(item, stored.get(item.key)) for item in items]
            needed = [change for change in changes if change.is_needed]
            counts.kept += len(changes) - len(needed)
            self._embed([change for change in needed if change.is_text_changed])
            gone = stored.keys() - {item.key for item in items}
            removed, keys = self._write(needed, gone)
            counts.removed += removed
            counts.added += len(needed) + len(gone) - removed - len(keys)
            if not keys:
                return counts
        counts.failed += len(keys)
        return counts

    def different(self, keys: Iterable[Key]) -> list[Key]:
        """Those of these keys whose texts or places are not as in their documents."""
        keys = list(keys)
        stored = self._stored(keys)
        changes = [self._compare(item, stored.get(item.key)) for item in Sources().find(keys)]
        return [change.item.key for change in changes if change.is_needed]

    def remove(self, documents: Iterable[int]) -> int:
        """Remove the documents with these primary keys; returns how many there were."""
        with transaction.atomic(self.using):
            return self._remove_documents(list(documents), self.space.next_version())

    def _remove_documents(self, ids: Sequence[int], version: int) -> int:
        chunks = Chunk.objects.using(self.using).filter(document__in=ids)
        self._remove_chunks(list(chunks.values_list("pk", flat=True)), version)
        _rows, by_model = Document.objects.using(self.using).filter(pk__in=ids).delete()
        return by_model.get(Document._meta.label, 0)

    def _stored(self, keys: Iterable[Key]) -> dict[Key, Document]:
        wanted = Q(pk__in=[])
        for model, ids in group_ids(keys).items():
            wanted |= Q(model=model, object_id__in=ids)
        rows = Document.objects.using(self.using).filter(wanted, space=self.space)
        return {(row.model, row.object_id): row for row in rows}

    def _compare(self, item: Indexed, stored: Document | None) -> _Change:
        if self.words_only and stored is not None:
            return _Change(item, stored, stored.title, stored.digest, is_text_changed=False)
        content = text_of(item.instance)
        digest = hashlib.sha256(
            f"{FORMAT} {self.embedder.max_tokens} {content.digest}".encode()
        ).hexdigest()
        is_text_changed = stored is None or stored.digest != digest
        if self.words_only:
            digest = ""
        change = _Change(item, stored, content.title, digest, is_text_changed)
        if change.is_text_changed:
            change.chunks = chunks_of(content, self.embedder)
        return change

    def _embed(self, changes: Sequence[_Change]) -> None:
        """Set the vectors of all chunks. Only unknown chunks are embedded."""
        if self.words_only:
            return
        stored = [change.stored.pk for change in changes if change.stored is not None]
        rows = Chunk.objects.using(self.using).filter(document__in=stored).exclude(digest="")
        known: dict[str, bytes] = {
            digest: bytes(vector) for digest, vector in rows.values_list("digest", "vector")
        }
        unknown = {
            chunk.digest: (change.title, chunk.embedded_text)
            for change in changes
            for chunk in change.chunks
            if chunk.digest not in known
        }
        if unknown:
            vectors = embed_chunks(self.embedder, list(unknown.values())).astype("<f4")
            known.update(zip(unknown, (vector.tobytes() for vector in vectors), strict=True))
        for change in changes:
            change.vectors = known

    def _write(self, changes: Sequence[_Change], gone: Collection[Key]) -> tuple[int, list[Key]]:
        """Write the changes and remove the documents of deleted objects.

        Returns the number of removed documents, and the keys of objects that were skipped because
        they or their documents changed since they were read.
        """
        if not changes and not gone:
            return 0, []
        keys = [*(change.item.key for change in changes), *gone]
        with transaction.atomic(self.using):
            # Locks the space until the transaction ends.
            version = self.space.next_version()
            stored = self._stored(keys)
            places = {item.key: item.place for item in Sources().find(keys)}
            current = [
                change
                for change in changes
                if places.get(change.item.key) == change.item.place
                and _moment(stored.get(change.item.key)) == _moment(change.stored)
            ]
            removed = self._remove_documents(
                [stored[key].pk for key in gone if key in stored and key not in places], version
            )
            self._write_documents(current)
            self._write_chunks(current, version)
        done = {change.item.key for change in current} | (set(gone) - places.keys())
        return removed, [key for key in keys if key not in done]

    def _write_documents(self, changes: Sequence[_Change]) -> None:
        new: list[Document] = []
        for change in changes:
            is_new = change.stored is None
            row = change.stored or Document(
                space=self.space, model=change.item.model, object_id=change.item.object_id
            )
            for name, value in change.state.items():
                setattr(row, name, value)
            row.digest, row.updated_at = change.digest, timezone.now()
            if is_new:
                new.append(row)
            change.stored = row
        documents = Document.objects.using(self.using)
        documents.bulk_create(new)
        fresh = {id(row) for row in new}
        documents.bulk_update(
            [c.stored for c in changes if c.stored is not None and id(c.stored) not in fresh],
            [*STATE, "digest", "updated_at"],
        )

    def _write_chunks(self, changes: Sequence[_Change], version: int) -> None:
        stored = [change.stored for change in changes if change.stored is not None]
        rows = Chunk.objects.using(self.using).filter(document__in=stored)
        old: dict[int, list[Chunk]] = {}
        for row in rows.defer("vector", "text").order_by("pk"):
            old.setdefault(row.document_id, []).append(row)
        touched: list[Chunk] = []
        new: list[Chunk] = []
        gone: list[int] = []
        for change in changes:
            assert change.stored is not None
            before = old.get(change.stored.pk, [])
            if not change.is_text_changed:
                # The document changed, but not its text.
                touched += before
                continue
            by_digest = {row.digest: row for row in before}
            kept: set[int] = set()
            for position, chunk in enumerate(change.chunks):
                if chunk.digest in by_digest:
                    row = by_digest.pop(chunk.digest)
                    touched.append(row)
                    kept.add(row.pk)
                else:
                    row = Chunk(document=change.stored, space=self.space, text=chunk.text)
                    row.digest, row.vector = "", b""
                    if not self.words_only:
                        row.digest, row.vector = chunk.digest, change.vectors[chunk.digest]
                    new.append(row)
                row.position, row.anchor = position, chunk.anchor
            gone += [row.pk for row in before if row.pk not in kept]
        for row in (*touched, *new):
            row.version = version
        chunks = Chunk.objects.using(self.using)
        chunks.bulk_update(touched, ["position", "anchor", "version"], batch_size=500)
        chunks.bulk_create(new, batch_size=500)
        self._remove_chunks(gone, version)
        written = [row.pk for row in (*touched, *new)]
        self.store.add(self.space, written)
        self.texts.add(written)

    def _remove_chunks(self, ids: Sequence[int], version: int) -> None:
        if not ids:
            return
        self.store.remove(self.space, ids)
        self.texts.remove(ids)
        RemovedChunk.objects.using(self.using).bulk_create(
            RemovedChunk(space=self.space, chunk_id=pk, version=version) for pk in ids
        )
        Chunk.objects.using(self.using).filter(pk__in=ids).delete()


def text_of(instance: Model) -> Content:
    """The content of an object without the excluded fields."""
    return content_of(
        instance, excluded_fields=conf.excluded_fields(), block_anchor=conf.block_anchor()
    )


def embed_chunks(embedder: Embedder, chunks: Sequence[tuple[str, str]]) -> Vectors:
    """The unit vectors of chunks, given as pairs of title and embedded text.

    Raises :class:`~finetune_switch.exceptions.EmbeddingError`.
    """
    share = embedder.title_share
    titles = list(dict.fromkeys(title for title, _text in chunks if share and title.strip()))
    made = embedder.embed([*(text for _title, text in chunks), *titles])
    vectors = made[: len(chunks)]
    of_title = dict(zip(titles, made[len(chunks) :], strict=True))
    for number, (title, _text) in enumerate(chunks):
        if title in of_title:
            vectors[number] = (1 - share) * vectors[number] + share * of_title[title]
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True) if titles else vectors


def chunks_of(content: Content, embedder: Embedder) -> list[ChunkText]:
    """The content split into chunks for the embedding model."""
    return split(content, max_tokens=embedder.max_tokens, count_tokens=embedder.count_tokens)


def _moment(document: Document | None) -> tuple[Any, ...] | None:
    return None if document is None else (document.pk, document.updated_at)
