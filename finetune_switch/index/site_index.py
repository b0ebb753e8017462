"""Search in the site's own index."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from django.db.models import Model
from django.utils.translation import get_language, gettext_lazy

from finetune_switch.adapters import Scope
from finetune_switch.backends.embeddings.question_vectors import embed_question
from finetune_switch.exceptions import EmbeddingError
from finetune_switch.models import Chunk, EmbeddingSpace
from finetune_switch.passages import Hit
from finetune_switch.text.words import content_words, language_name, stem_overlap

from .stores import get_store
from .stores.base import Vector
from .texts import get_text_ranking
from .texts.base import language_codes

ALIAS = "pages"
VECTOR, TEXT = "vector", "text"
# "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods", Cormack,
# Clarke and Büttcher, SIGIR 2009: a score is the sum of 1 / (60 + the rank) in each ranking.
FUSION_CONSTANT = 60
# Each ranking returns more hits than the limit: the tenth in one may be the first in the other.
LEAST_CANDIDATES = 20
# The least share of the question's words for chunks in the text ranking. Chunks with fewer match by
# chance: for questions in other words than the page's, they displaced a third of the vector hits.
LEAST_SHARE = 0.5


class SiteIndex:
    """All live pages, and objects of the models in the settings."""

    alias = ALIAS
    label = gettext_lazy("Every page")

    def __init__(self, space: EmbeddingSpace) -> None:
        self.space = space

    def search(self, question: str, *, limit: int, scope: Scope, threshold: float) -> Sequence[Hit]:
        """Search by vectors and by words, and fuse the two rankings.

        ``threshold`` is the least cosine similarity of a hit of either ranking.
        """
        try:
            vector: Vector = embed_question(question, self.space)
        except EmbeddingError as error:
            if error.is_meaningless_text:
                return []
            raise
        candidates = max(2 * limit, LEAST_CANDIDATES)
        rankings = {
            VECTOR: {
                found.chunk_id: found.score
                for found in get_store().search(self.space, vector, limit=candidates, scope=scope)
                if found.score >= threshold
            },
            TEXT: self._by_text(question, candidates, scope),
        }
        fused = fuse([list(ranking) for ranking in rankings.values()])
        return self._hits(fused, rankings, vector, threshold, limit)

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
        found = get_store().search(self.space, mean / length, limit=limit, scope=scope)
        scores = {hit.chunk_id: hit.score for hit in found}
        return self._hits(list(scores), {VECTOR: scores}, mean / length, -1.0, limit)

    def _by_text(self, question: str, limit: int, scope: Scope) -> dict[int, float]:
        """Scores of chunks with at least ``LEAST_SHARE`` of the question's words, best first."""
        language = get_language() or ""
        found = get_text_ranking().search(
            question, space_id=self.space.pk, limit=limit, scope=scope, language=language
        )
        if not found:
            return {}
        asked = content_words(question, language_name(language))
        languages = {language_name(code) for code in language_codes("default", scope, language)}
        rows = Chunk.objects.filter(pk__in=[one.chunk_id for one in found])
        relevant = {
            pk
            for pk, title, text in rows.values_list("pk", "document__title", "text")
            if any(
                stem_overlap(asked, f"{title} {text}", name) >= LEAST_SHARE for name in languages
            )
        }
        return {one.chunk_id: one.score for one in found if one.chunk_id in relevant}

    def _hits(
        self,
        ids: Sequence[int],
        rankings: dict[str, dict[int, float]],
        vector: Vector,
        threshold: float,
        limit: int,
    ) -> list[Hit]:
        by_vector = rankings[VECTOR]
        hits: list[Hit] = []
        for start in range(0, len(ids), limit):
            wanted = ids[start : start + limit]
            chunks = Chunk.objects.filter(pk__in=wanted).values_list(
                "pk", "text", "anchor", "vector", "document__model", "document__object_id"
            )
            rows = {row[0]: row[1:] for row in chunks}
            for pk in wanted:
                if pk not in rows:
                    # The chunk was removed after the search.
                    continue
                text, anchor, stored, model, object_id = rows[pk]
                score = by_vector.get(pk)
                if score is None:
                    score = float(np.frombuffer(stored, "<f4") @ vector)
                    if score < threshold:
                        continue
                found_by = tuple(name for name, ranking in rankings.items() if pk in ranking)
                hits.append(Hit(text, score, model, object_id, ALIAS, anchor, found_by))
            if len(hits) >= limit:
                break
        return hits[:limit]


def fuse(rankings: Sequence[Sequence[int]]) -> list[int]:
    """Fuse rankings by reciprocal rank; best first."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, 1):
            scores[item] = scores.get(item, 0.0) + 1 / (FUSION_CONSTANT + rank)
    return sorted(scores, key=lambda item: -scores[item])
