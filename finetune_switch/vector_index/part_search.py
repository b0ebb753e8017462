"""Search within a part of the site's own index."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
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
from finetune_switch.index.site_index import SiteIndex
from finetune_switch.index.stores import get_store
from finetune_switch.index.stores.base import Found, Vector
from finetune_switch.index.texts import get_text_ranking
from finetune_switch.models import Chunk, EmbeddingSpace
from finetune_switch.models.index import active_space
from finetune_switch.passages import Hit

from .parts import EXACT_SEARCH_LIMIT, Part, label_of

# The whole index is searched with a limit that grows by this factor, until enough hits are in the
# part.
OVERFETCH_FACTOR = 4
# Otherwise every text match of a large index could be examined.
MAX_TEXT_OVERFETCH = 64
# Databases limit the number of query parameters.
BATCH = 10_000


def current_space() -> EmbeddingSpace | None:
    """The active space. Before the first complete build, the latest one."""
    return active_space() or EmbeddingSpace.objects.order_by("pk").last()


class QueryContext:
    """The space and the question vectors, shared by all parts searched for one question."""

    def __init__(self) -> None:
        self._vectors: dict[str, Vector | None] = {}

    @cached_property
    def space(self) -> EmbeddingSpace | None:
        return current_space()

    def vector(self, question: str) -> Vector | None:
        """The question's vector; ``None`` if the text has no meaning to the model."""
        if question not in self._vectors:
            try:
                found = embed_question(question, self.space)
            except EmbeddingError as error:
                if not error.is_meaningless_text:
                    raise
                found = None
            self._vectors[question] = found
        return self._vectors[question]


class PartIndex(SiteIndex):
    """An index of wagtail-vector-index, searched like the site's own."""

    label: str | Promise  # type: ignore[assignment]

    def __init__(self, index: Any, context: QueryContext) -> None:
        self.alias = type(index).__name__
        self.label = label_of(index) or self.alias
        self.context = context
        self._index = index
        self._searches: dict[Scope, _PartSearch] = {}

    @cached_property
    def part(self) -> Part:
        return Part.of(self._index)

    def rebuild(self) -> None:
        self._index.rebuild_index()

    def search(
        self, question: str, *, limit: int, scope: Scope, threshold: float | None
    ) -> Sequence[Hit]:
        """Search by vectors and by words, as the site's own index does."""
        if (search := self._search_in(scope)) is None or search.has_no_chunks:
            return []
        found = super().search(question, limit=limit, scope=scope, threshold=threshold)
        return self._with_alias(found)

    def by_vector(self, vector: Vector, limit: int, scope: Scope) -> dict[int, float]:
        search = self._search_in(scope)
        return search.by_vector(vector, limit) if search else {}

    def by_text(
        self, question: str, limit: int, scope: Scope, *, also: Collection[int] = ()
    ) -> dict[int, float]:
        search = self._search_in(scope)
        return search.by_text(question, limit) if search else {}

    def embed(self, question: str) -> Vector | None:
        return self.context.vector(question)

    def _search_in(self, scope: Scope) -> _PartSearch | None:
        if (space := self.context.space) is None:
            return None
        self.space = space
        if scope not in self._searches:
            self._searches[scope] = _PartSearch(self.part, space, scope)
        return self._searches[scope]

    def _with_alias(self, hits: Sequence[Hit]) -> list[Hit]:
        return [replace(hit, index=self.alias) for hit in hits]


class VectorPartIndex(PartIndex):
    """Searches a part with a vector instead of a question."""

    def __init__(self, index: Any, context: QueryContext, vector: Vector) -> None:
        super().__init__(index, context)
        self.vector = vector

    def search(
        self, question: str, *, limit: int, scope: Scope, threshold: float | None
    ) -> Sequence[Hit]:
        if (search := self._search_in(scope)) is None or search.has_no_chunks:
            return []
        if threshold is None:
            threshold = self.default_threshold
        hits = self._hits(search.by_vector(self.vector, limit), self.vector, {})
        return self._with_alias([hit for hit in hits if hit.score >= threshold])


@dataclass(frozen=True)
class _Chunks:
    """All chunks of a small part."""

    ids: NDArray[np.int64]
    vectors: NDArray[np.float32]


class _PartSearch:
    """The vector and the text ranking within a part and a scope."""

    def __init__(self, part: Part, space: EmbeddingSpace, scope: Scope) -> None:
        self.part = part
        self.space = space
        self.scope = scope
        self._is_in_part: dict[int, bool] = {}

    @cached_property
    def chunks(self) -> _Chunks | None:
        """The chunks of the part, or ``None`` if there are more than EXACT_SEARCH_LIMIT."""
        if (wanted := self.part.documents()) is None:
            return None
        rows = Chunk.objects.filter(wanted & _in_scope(self.scope), space=self.space)
        if (
            len(ids := list(rows.values_list("pk", flat=True)[: EXACT_SEARCH_LIMIT + 1]))
            > EXACT_SEARCH_LIMIT
        ):
            return None
        found = list(Chunk.objects.filter(pk__in=ids).values_list("pk", "vector")) if ids else []
        # Chunks of an index that is being built may have no vector yet.
        empty = bytes(4 * self.space.dimensions)
        vectors = np.frombuffer(b"".join(bytes(vector) or empty for _pk, vector in found), "<f4")
        return _Chunks(
            np.array([pk for pk, _vector in found], np.int64),
            vectors.reshape(-1, self.space.dimensions),
        )

    @property
    def has_no_chunks(self) -> bool:
        return self.chunks is not None and not len(self.chunks.ids)

    def by_vector(self, vector: Vector, limit: int) -> dict[int, float]:
        """Chunk ids with their cosine similarity, best first."""
        if self.chunks is not None:
            scores = self.chunks.vectors @ vector
            best = np.argsort(-scores, kind="stable")[:limit]
            return {int(self.chunks.ids[at]): float(scores[at]) for at in best}
        store = get_store()

        def rank(most: int) -> list[Found]:
            return store.search(self.space, vector, limit=most, scope=self.scope)

        return self._fetch_until_enough(rank, limit)

    def by_text(self, question: str, limit: int) -> dict[int, float]:
        """Ids of chunks that share words with the question, with their coverage, best first."""
        ranking = get_text_ranking()

        def rank(most: int) -> list[Found]:
            return ranking.search(question, space=self.space, limit=most, scope=self.scope)

        return self._fetch_until_enough(rank, limit, most=limit * MAX_TEXT_OVERFETCH)

    def _fetch_until_enough(
        self, rank: Callable[[int], list[Found]], limit: int, most: int | None = None
    ) -> dict[int, float]:
        requested = limit
        while True:
            requested *= OVERFETCH_FACTOR
            found = rank(requested)
            in_part = self._in_part([one.chunk_id for one in found])
            kept = [(one.chunk_id, one.score) for one in found if one.chunk_id in in_part]
            is_exhausted = len(found) < requested or (most is not None and requested >= most)
            if len(kept) >= limit or is_exhausted:
                return dict(kept[:limit])

    def _in_part(self, ids: Sequence[int]) -> set[int]:
        if self.chunks is not None:
            return set(self.chunks.ids.tolist()).intersection(ids)
        unknown = [pk for pk in ids if pk not in self._is_in_part]
        columns = ("pk", "document__model", "document__object_id")
        for start in range(0, len(unknown), BATCH):
            some = unknown[start : start + BATCH]
            rows = list(Chunk.objects.filter(pk__in=some).values_list(*columns))
            keys = self.part.only({(model, object_id) for _pk, model, object_id in rows})
            self._is_in_part |= dict.fromkeys(some, False)
            self._is_in_part |= {pk: (model, object_id) in keys for pk, model, object_id in rows}
        return {pk for pk in ids if self._is_in_part[pk]}


def _in_scope(scope: Scope) -> Q:
    wanted = Q()
    if scope.site_id is not None:
        wanted &= Q(document__site_id=scope.site_id) | Q(document__site_id=None)
    if scope.locale_ids is not None:
        wanted &= Q(document__locale_id__in=scope.locale_ids) | Q(document__locale_id=None)
    if not scope.include_restricted:
        wanted &= Q(document__is_restricted=False)
    return wanted
