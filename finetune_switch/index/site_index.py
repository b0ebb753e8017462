"""Search in the site's own index."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cached_property

import numpy as np
from django.db.models import Model
from django.utils.translation import get_language, gettext_lazy

from finetune_switch.adapters import Scope
from finetune_switch.backends.embeddings import get_embedder
from finetune_switch.backends.embeddings.question_vectors import embed_question
from finetune_switch.exceptions import EmbeddingError
from finetune_switch.models import Chunk, EmbeddingSpace
from finetune_switch.passages import Hit

from .stores import get_store
from .stores.base import Vector
from .texts import get_text_ranking

ALIAS = "pages"
VECTOR, TEXT = "vector", "text"
# Each ranking returns more hits than the limit: the tenth in one may be the first in the other.
LEAST_CANDIDATES = 20
# Hits are ordered by cosine + COVERAGE_WEIGHT · coverage ** COVERAGE_POWER. The power leaves the
# order to the vectors, unless a chunk has most words of the question: a name, a number, a title.
COVERAGE_WEIGHT, COVERAGE_POWER = 0.5, 3
# The least coverage of a chunk that counts as found by words. It needs no similar vector.
LEAST_COVERAGE = 0.5


class SiteIndex:
    """All live pages, and objects of the models in the settings."""

    alias = ALIAS
    label = gettext_lazy("Every page")

    def __init__(self, space: EmbeddingSpace) -> None:
        self.space = space

    def search(
        self, question: str, *, limit: int, scope: Scope, threshold: float | None
    ) -> Sequence[Hit]:
        """Search by vectors and by words.

        ``threshold`` is the least cosine similarity of a hit that has few of the question's words;
        ``None`` is that of the embedding model.
        """
        if threshold is None:
            threshold = self.default_threshold
        candidates = max(2 * limit, LEAST_CANDIDATES)
        vector = self.embed(question)
        by_vector = {} if vector is None else self.by_vector(vector, candidates, scope)
        coverage = self.by_text(question, candidates, scope, also=by_vector)
        hits = self._hits(by_vector, vector, coverage)
        kept = [hit for hit in hits if hit.score >= threshold or TEXT in hit.found_by]
        return sorted(kept, key=lambda hit: -hit.relevance)[:limit]

    @cached_property
    def default_threshold(self) -> float:
        return get_embedder(self.space).thresholds.related

    def by_vector(self, vector: Vector, limit: int, scope: Scope) -> dict[int, float]:
        """The cosine similarity of the best chunks, best first."""
        found = get_store().search(self.space, vector, limit=limit, scope=scope)
        return {one.chunk_id: one.score for one in found}

    def by_text(
        self, question: str, limit: int, scope: Scope, *, also: Collection[int] = ()
    ) -> dict[int, float]:
        """The share of the question that each chunk covers, best first; see ``TextRanking``."""
        found = get_text_ranking().search(
            question,
            space=self.space,
            limit=limit,
            scope=scope,
            language=get_language() or "",
            also=also,
        )
        return {one.chunk_id: one.score for one in found}

    def embed(self, question: str) -> Vector | None:
        """The question's vector; ``None`` if the text has no meaning to the model."""
        try:
            return embed_question(question, self.space)
        except EmbeddingError as error:
            if error.is_meaningless_text:
                return None
            raise

    def like(self, instance: Model, *, limit: int, scope: Scope) -> list[Hit]:
        """Chunks similar to an indexed object, including its own."""
        stored = Chunk.objects.filter(
            document__space=self.space,
            document__model=instance._meta.label_lower,
            document__object_id=str(instance.pk),
        ).values_list("vector", flat=True)
        vectors = [np.frombuffer(vector, "<f4") for vector in stored]
        if not vectors:
            return []
        mean = np.mean(vectors, axis=0)
        length = float(np.linalg.norm(mean))
        if not length:
            return []
        scores = self.by_vector(mean / length, limit, scope)
        return self._hits(scores, mean / length, {})

    def _hits(
        self, by_vector: Mapping[int, float], vector: Vector | None, coverage: Mapping[int, float]
    ) -> list[Hit]:
        """The chunks of both rankings, in their order. Chunks removed since are left out."""
        ids = list(dict.fromkeys([*by_vector, *coverage]))
        chunks = Chunk.objects.filter(pk__in=ids).values_list(
            "pk", "text", "anchor", "document__model", "document__object_id", "position"
        )
        rows = {row[0]: row[1:] for row in chunks}
        # Most chunks have been compared already, and vectors are large.
        others = Chunk.objects.filter(pk__in=[pk for pk in ids if pk not in by_vector])
        stored = dict(others.values_list("pk", "vector")) if len(ids) > len(by_vector) else {}
        hits = []
        for pk in ids:
            if pk not in rows:
                continue
            text, anchor, model, object_id, position = rows[pk]
            score = by_vector.get(pk)
            if score is None:
                # Chunks of an index that is being built may have no vector yet.
                values = np.frombuffer(stored.get(pk, b""), "<f4")
                score = float(values @ vector) if vector is not None and len(values) else 0.0
            covered = coverage.get(pk, 0.0)
            found_by = (
                *([VECTOR] if pk in by_vector else []),
                *([TEXT] if covered >= LEAST_COVERAGE else []),
            )
            relevance = score + COVERAGE_WEIGHT * covered**COVERAGE_POWER
            hits.append(
                Hit(text, score, model, object_id, ALIAS, anchor, found_by, relevance, position)
            )
        return hits
