"""Searching a part of the site's own index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from django.db.models import Q
from django.utils.functional import Promise
from numpy.typing import NDArray

from finetune_switch.adapters import Scope
from finetune_switch.backends.embeddings.question_vectors import embed_question
from finetune_switch.exceptions import EmbeddingError
from finetune_switch.index.site_index import LEAST_CANDIDATES, TEXT, VECTOR, SiteIndex, fuse
from finetune_switch.index.stores import get_store
from finetune_switch.index.stores.base import Found, Vector
from finetune_switch.index.texts import get_text_ranking
from finetune_switch.models import Chunk, EmbeddingSpace
from finetune_switch.models.index import active_space
from finetune_switch.passages import Hit

from .parts import FEW, Part, label_of

# What is asked of the whole index grows until enough of it belongs to the part.
SURPLUS = 4
# Every text match of a large index would be looked at otherwise.
MOST_OF_TEXT = 64
# Databases take so many parameters.
BATCH = 10_000


def current_space() -> EmbeddingSpace | None:
    """What answers. Until the whole site has been indexed once, what has been so far."""
    return active_space() or EmbeddingSpace.objects.order_by("pk").last()


class Asked:
    """What the parts that are asked one question share."""

    def __init__(self) -> None:
        self._vectors: dict[str, Vector | None] = {}

    @cached_property
    def space(self) -> EmbeddingSpace | None:
        return current_space()

    def vector(self, question: str) -> Vector | None:
        """Of the question; ``None`` where the model makes nothing of it."""
        if question not in self._vectors:
            try:
                found = embed_question(question, self.space)
            except EmbeddingError as error:
                if not error.is_meaningless_text:
                    raise
                found = None
            self._vectors[question] = found
        return self._vectors[question]


class PartOfSite(SiteIndex):
    """One of wagtail-vector-index's indexes, searched as the site's own is."""

    label: str | Promise  # type: ignore[assignment]

    def __init__(self, index: Any, asked: Asked) -> None:
        self.alias = type(index).__name__
        self.label = label_of(index) or self.alias
        self.asked = asked
        self._index = index
        self._searches: dict[Scope, _PartSearch] = {}

    @cached_property
    def part(self) -> Part:
        """Which objects it is about. Raises ``ImproperlyConfigured``; see :meth:`.Part.of`."""
        return Part.of(self._index)

    def rebuild(self) -> None:
        """Bring its objects in the site's index up to date."""
        self._index.rebuild_index()

    def search(self, question: str, *, limit: int, scope: Scope, threshold: float) -> Sequence[Hit]:
        """By meaning and by words, the two rankings fused, as the site's own index does it."""
        if (search := self._search_in(scope)) is None or search.is_empty:
            return []
        if (vector := self.asked.vector(question)) is None:
            return []
        candidates = max(2 * limit, LEAST_CANDIDATES)
        by_vector = search.by_vector(vector, candidates)
        rankings = {
            VECTOR: {pk: score for pk, score in by_vector.items() if score >= threshold},
            TEXT: search.by_text(question, candidates),
        }
        fused = fuse([list(ranking) for ranking in rankings.values()])
        return self._named(self._hits(fused, rankings, vector, threshold, limit))

    def _search_in(self, scope: Scope) -> _PartSearch | None:
        if (space := self.asked.space) is None:
            return None
        self.space = space
        if scope not in self._searches:
            self._searches[scope] = _PartSearch(self.part, space, scope)
        return self._searches[scope]

    def _named(self, hits: Sequence[Hit]) -> list[Hit]:
        return [replace(hit, index=self.alias) for hit in hits]


class AlikeInPart(PartOfSite):
    """The same, asked with a vector in place of a question."""

    def __init__(self, index: Any, asked: Asked, vector: Vector) -> None:
        super().__init__(index, asked)
        self.vector = vector

    def search(self, question: str, *, limit: int, scope: Scope, threshold: float) -> Sequence[Hit]:
        if (search := self._search_in(scope)) is None or search.is_empty:
            return []
        found = search.by_vector(self.vector, limit)
        ids = [pk for pk, score in found.items() if score >= threshold]
        return self._named(self._hits(ids, {VECTOR: found}, self.vector, threshold, limit))


@dataclass(frozen=True)
class _Chunks:
    """All chunks of a part, where these are few."""

    ids: NDArray[np.int64]
    vectors: NDArray[np.float32]


class _PartSearch:
    """The two rankings within a part and a scope."""

    def __init__(self, part: Part, space: EmbeddingSpace, scope: Scope) -> None:
        self.part = part
        self.space = space
        self.scope = scope
        self._belongs: dict[int, bool] = {}

    @cached_property
    def few(self) -> _Chunks | None:
        """The chunks of the part, or ``None`` where there are many."""
        if (wanted := self.part.documents()) is None:
            return None
        rows = Chunk.objects.filter(wanted & _in_scope(self.scope), space=self.space)
        if len(ids := list(rows.values_list("pk", flat=True)[: FEW + 1])) > FEW:
            return None
        found = list(Chunk.objects.filter(pk__in=ids).values_list("pk", "vector")) if ids else []
        vectors = np.frombuffer(b"".join(bytes(vector) for _pk, vector in found), "<f4")
        return _Chunks(
            np.array([pk for pk, _vector in found], np.int64),
            vectors.reshape(-1, self.space.dimensions),
        )

    @property
    def is_empty(self) -> bool:
        return self.few is not None and not len(self.few.ids)

    def by_vector(self, vector: Vector, limit: int) -> dict[int, float]:
        """Chunks with their cosine similarity, best first."""
        if self.few is not None:
            scores = self.few.vectors @ vector
            best = np.argsort(-scores, kind="stable")[:limit]
            return {int(self.few.ids[at]): float(scores[at]) for at in best}
        store = get_store()

        def rank(most: int) -> list[Found]:
            return store.search(self.space, vector, limit=most, scope=self.scope)

        return self._filled(rank, limit)

    def by_text(self, question: str, limit: int) -> dict[int, float]:
        """Chunks that share words with a question, best first."""
        ranking = get_text_ranking()

        def rank(most: int) -> list[Found]:
            return ranking.search(question, space_id=self.space.pk, limit=most, scope=self.scope)

        return self._filled(rank, limit, most=limit * MOST_OF_TEXT)

    def _filled(
        self, rank: Callable[[int], list[Found]], limit: int, most: int | None = None
    ) -> dict[int, float]:
        asked = limit
        while True:
            asked *= SURPLUS
            found = rank(asked)
            belonging = self._belonging([one.chunk_id for one in found])
            kept = [(one.chunk_id, one.score) for one in found if one.chunk_id in belonging]
            if len(kept) >= limit or len(found) < asked or (most is not None and asked >= most):
                return dict(kept[:limit])

    def _belonging(self, ids: Sequence[int]) -> set[int]:
        """Those of the chunks that are of the part."""
        if self.few is not None:
            return set(self.few.ids.tolist()).intersection(ids)
        unknown = [pk for pk in ids if pk not in self._belongs]
        columns = ("pk", "document__model", "document__object_id")
        for start in range(0, len(unknown), BATCH):
            some = unknown[start : start + BATCH]
            rows = list(Chunk.objects.filter(pk__in=some).values_list(*columns))
            keys = self.part.only({(model, object_id) for _pk, model, object_id in rows})
            self._belongs |= dict.fromkeys(some, False)
            self._belongs |= {pk: (model, object_id) in keys for pk, model, object_id in rows}
        return {pk for pk in ids if self._belongs[pk]}


def _in_scope(scope: Scope) -> Q:
    wanted = Q()
    if scope.site_id is not None:
        wanted &= Q(document__site_id=scope.site_id) | Q(document__site_id=None)
    if scope.locale_ids is not None:
        wanted &= Q(document__locale_id__in=scope.locale_ids) | Q(document__locale_id=None)
    if not scope.include_restricted:
        wanted &= Q(document__is_restricted=False)
    return wanted
