"""Exact search in memory, the default store.

Each process loads the vectors of all chunks into a matrix; a search is one matrix product.
Snapshots are immutable. For a newer version of the space, a process makes a new snapshot: it shares
the large matrix with the previous one and has the changed chunks in a second, small matrix.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune_switch.models import Chunk, EmbeddingSpace, RemovedChunk

from .base import Found, Scope, Vector, VectorStore

# Rows read at a time. They are in memory twice while they are copied into the matrix.
BATCH = 4096
# Each refresh copies the changed chunks. Above these limits they are merged into the large matrix.
MOST_CHANGED = 2048
MOST_CHANGED_SHARE = 0.05
EVERYWHERE = -1
COLUMNS = (
    "pk",
    "vector",
    "document__site_id",
    "document__locale_id",
    "document__is_restricted",
)

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class _Block:
    """Chunks and their vectors, ordered by id."""

    ids: Ids
    vectors: NDArray[np.float32]
    sites: NDArray[np.int32]
    locales: NDArray[np.int32]
    restricted: NDArray[np.bool_]
    alive: NDArray[np.bool_]

    @classmethod
    def empty(cls, rows: int, dimensions: int) -> _Block:
        return cls(
            ids=np.empty(rows, np.int64),
            vectors=np.empty((rows, dimensions), np.float32),
            sites=np.empty(rows, np.int32),
            locales=np.empty(rows, np.int32),
            restricted=np.empty(rows, np.bool_),
            alive=np.ones(rows, np.bool_),
        )

    def first(self, rows: int) -> _Block:
        return _Block(*(column[:rows] for column in self._columns))

    def without(self, gone: Ids) -> _Block:
        """The same block with these chunks marked as removed."""
        positions = np.searchsorted(self.ids, gone)
        positions = positions[positions < len(self.ids)]
        positions = positions[np.isin(self.ids[positions], gone)]
        if not len(positions):
            return self
        alive = self.alive.copy()
        alive[positions] = False
        return replace(self, alive=alive)

    def joined(self, other: _Block) -> _Block:
        """The chunks of both blocks that are not removed, ordered by id."""
        own = len(self.ids)
        rows = np.concatenate([np.flatnonzero(self.alive), own + np.flatnonzero(other.alive)])
        rows = rows[np.argsort(np.concatenate([self.ids[self.alive], other.ids[other.alive]]))]
        block = _Block.empty(len(rows), self.vectors.shape[1])
        columns = list(zip(block._columns, self._columns, other._columns, strict=True))
        # In batches, so that the matrix is in memory twice while it is copied, not three times.
        for start in range(0, len(rows), BATCH):
            part = rows[start : start + BATCH]
            mine = part < own
            for joined, ours, theirs in columns:
                target = joined[start : start + BATCH]
                target[mine] = ours[part[mine]]
                target[~mine] = theirs[part[~mine] - own]
        return block

    @property
    def _columns(self) -> tuple[NDArray[Any], ...]:
        return (self.ids, self.vectors, self.sites, self.locales, self.restricted, self.alive)

    def scores(self, vector: Vector, scope: Scope) -> NDArray[np.float32]:
        """The cosine similarity of each chunk; ``-inf`` for chunks out of scope."""
        wanted = self.alive
        if scope.site_id is not None:
            wanted = wanted & ((self.sites == scope.site_id) | (self.sites == EVERYWHERE))
        if scope.locale_ids is not None:
            wanted = wanted & np.isin(self.locales, [EVERYWHERE, *scope.locale_ids])
        if not scope.include_restricted:
            wanted = wanted & ~self.restricted
        scores = self.vectors @ vector
        scores[~wanted] = -np.inf
        return scores


@dataclass(frozen=True)
class _Snapshot:
    version: int
    base: _Block
    changed: _Block

    def search(self, vector: Vector, limit: int, scope: Scope) -> list[Found]:
        best: list[Found] = []
        for block in (self.base, self.changed):
            scores = block.scores(vector, scope)
            positions = np.arange(len(scores))
            if len(scores) > limit:
                positions = np.argpartition(scores, -limit)[-limit:]
            best += [
                Found(int(block.ids[position]), float(scores[position]))
                for position in positions
                if scores[position] > -np.inf
            ]
        return sorted(best, key=lambda found: (-found.score, found.chunk_id))[:limit]


_lock = threading.Lock()
_snapshots: dict[tuple[Any, ...], _Snapshot] = {}


class MemoryStore(VectorStore):
    """Exact cosine search in this process. Writes nothing.

    Uses 4 bytes of memory for each dimension of each chunk, in each process.
    """

    def search(
        self, space: EmbeddingSpace, vector: Vector, *, limit: int, scope: Scope
    ) -> list[Found]:
        # Results are as recent as ``space.version``: callers read the space for each question.
        return self._current(space).search(np.asarray(vector, np.float32), limit, scope)

    def drop(self, space: EmbeddingSpace) -> None:
        # Other processes drop their snapshots with the next question.
        with _lock:
            _snapshots.pop(_key(space), None)

    def _current(self, space: EmbeddingSpace) -> _Snapshot:
        key = _key(space)
        snapshot = _snapshots.get(key)
        if snapshot is not None and snapshot.version >= space.version:
            return snapshot
        with _lock:
            snapshot = _snapshots.get(key)
            if snapshot is None or snapshot.version < space.horizon:
                # Only one space is active: free the memory of others.
                _snapshots.clear()
                snapshot = None
                snapshot = _snapshots[key] = _load(space)
            elif snapshot.version < space.version:
                snapshot = _snapshots[key] = _refresh(space, snapshot)
        return snapshot


def _key(space: EmbeddingSpace) -> tuple[Any, ...]:
    # A primary key may be used again after a flush or a restored backup.
    return space._state.db, space.pk, space.created_at


def _load(space: EmbeddingSpace) -> _Snapshot:
    chunks = Chunk.objects.using(space._state.db).filter(space=space).exclude(vector=b"")
    # Leave room for chunks added meanwhile. Missing ones are read with the next version.
    block = _Block.empty(chunks.count() + BATCH // 8, space.dimensions)
    filled = 0
    for rows in _batches(chunks):
        rows = rows[: len(block.ids) - filled]
        _fill(block, filled, rows, space.dimensions)
        filled += len(rows)
    return _Snapshot(space.version, block.first(filled), _Block.empty(0, space.dimensions))


def _refresh(space: EmbeddingSpace, snapshot: _Snapshot) -> _Snapshot:
    using = space._state.db
    removed = RemovedChunk.objects.using(using).filter(space=space, version__gt=snapshot.version)
    chunks = Chunk.objects.using(using).filter(space=space, version__gt=snapshot.version)
    chunks = chunks.exclude(vector=b"")
    # Ordered by version, so that SQLite uses that index. Ordered by id, it would scan all chunks.
    rows = sorted(chunks.order_by("version").values_list(*COLUMNS))
    gone = np.array([*removed.values_list("chunk_id", flat=True), *(r[0] for r in rows)], np.int64)
    fresh = _Block.empty(len(rows), space.dimensions)
    _fill(fresh, 0, rows, space.dimensions)
    base = snapshot.base.without(gone)
    changed = snapshot.changed.without(gone).joined(fresh)
    if len(changed.ids) > max(MOST_CHANGED, MOST_CHANGED_SHARE * len(base.ids)):
        base, changed = base.joined(changed), _Block.empty(0, space.dimensions)
    return _Snapshot(space.version, base, changed)


def _batches(chunks: Any) -> Iterator[list[tuple[Any, ...]]]:
    """Rows ordered by id. Paging avoids a server-side cursor and keeps one batch in memory."""
    last = 0
    while rows := list(chunks.filter(pk__gt=last).order_by("pk").values_list(*COLUMNS)[:BATCH]):
        yield rows
        last = rows[-1][0]


def _fill(block: _Block, start: int, rows: Sequence[tuple[Any, ...]], dimensions: int) -> None:
    if not rows:
        return
    end = start + len(rows)
    ids, vectors, sites, locales, restricted = zip(*rows, strict=True)
    block.ids[start:end] = ids
    block.vectors[start:end] = np.frombuffer(b"".join(vectors), "<f4").reshape(-1, dimensions)
    block.sites[start:end] = [EVERYWHERE if site is None else site for site in sites]
    block.locales[start:end] = [EVERYWHERE if locale is None else locale for locale in locales]
    block.restricted[start:end] = restricted


def _renew_lock_after_fork() -> None:
    # Another thread of the parent may have held the lock. Snapshots are immutable and stay.
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock_after_fork)
