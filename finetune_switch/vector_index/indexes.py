"""The indexes registered with wagtail-vector-index, searched without writing.

Those with our storage provider are parts of the site's own index. The others are searched in their
own storage.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from wagtail.models import AbstractPage
from wagtail_vector_index.storage import registry
from wagtail_vector_index.storage.models import EmbeddableFieldsMixin, Embedding
from wagtail_vector_index.storage.numpy.provider import NumpyIndexMixin

from finetune_switch.adapters import Scope, SearchableIndex
from finetune_switch.passages import Hit

from .part_search import PartIndex, QueryContext
from .parts import label_of
from .storage import SiteIndexMixin


class QuestionVectors:
    """Embeds a question once for each embedding backend."""

    def __init__(self) -> None:
        self._vectors: dict[tuple[str, str], list[float]] = {}

    def get(self, index: Any, question: str) -> list[float]:
        key = (index.embedding_backend_alias, question)
        if key not in self._vectors:
            self._vectors[key] = next(iter(index.get_embedding_backend().embed([question])))
        return self._vectors[key]


class RegisteredIndex:
    """An index of wagtail-vector-index that does not use our storage provider."""

    def __init__(self, alias: str, index: Any, vectors: QuestionVectors) -> None:
        self.alias = alias
        self.label = label_of(index) or alias
        self._index = index
        self._vectors = vectors

    def search(
        self, question: str, *, limit: int, scope: Scope, threshold: float | None
    ) -> Sequence[Hit]:
        vector = self._vectors.get(self._index, question)
        if isinstance(self._index, NumpyIndexMixin):
            # Its own search embeds and saves every document again.
            candidates: Iterable[Any] = self._stored_documents()
        else:
            candidates = self._index.get_similar_documents(vector, limit=limit)
        documents = [document for document in candidates if len(document.vector) == len(vector)]
        scores = _cosine(vector, [document.vector for document in documents])
        best = np.argsort(-scores, kind="stable")[:limit]
        return [self._hit(documents[position], float(scores[position])) for position in best]

    def rebuild(self) -> None:
        self._index.rebuild_index()

    def _stored_documents(self) -> list[Any]:
        """The documents of the objects in its querysets. Indexes share one table."""
        content_types = ContentType.objects.get_for_models(
            *(queryset.model for queryset in self._index.querysets)
        )
        # None means all objects of a model. Keys are stored as text, and compared in Python, since
        # databases convert them to text in different ways.
        held: dict[int, set[str] | None] = {}
        for queryset in self._index.querysets:
            kind = content_types[queryset.model].pk
            queryset = queryset.all()
            if not queryset.query.has_filters() and not queryset.query.is_sliced:
                held[kind] = None
            elif (keys := held.setdefault(kind, set())) is not None:
                keys.update(map(str, queryset.values_list("pk", flat=True)))
        rows = Embedding.objects.filter(content_type__in=held).order_by("pk")
        return [
            row.to_document()
            for row in rows
            if (keys := held[row.content_type_id]) is None or row.object_id in keys
        ]

    def _hit(self, document: Any, score: float) -> Hit:
        kind = ContentType.objects.get_for_id(int(document.metadata["content_type_id"]))
        return Hit(
            text=document.metadata["content"],
            score=score,
            model=f"{kind.app_label}.{kind.model}",
            object_id=document.metadata["object_id"],
            index=self.alias,
        )


class RegisteredIndexes:
    def indexes(self) -> Sequence[SearchableIndex]:
        vectors, context = QuestionVectors(), QueryContext()
        return [
            PartIndex(index, context)
            if isinstance(index, SiteIndexMixin)
            else RegisteredIndex(alias, index, vectors)
            for alias, index in registry
        ]


def models_in_our_index() -> list[type[Model]]:
    """The models of indexes with our storage provider, without pages, which are always indexed."""
    return [
        queryset.model
        for _alias, index in registry
        if isinstance(index, SiteIndexMixin)
        for queryset in getattr(index, "querysets", ())
        if not issubclass(queryset.model, AbstractPage)
    ]


def declared_field_names(model: type[Model]) -> list[str] | None:
    """The ``embedding_fields`` of a model whose index we store; ``None`` for other models.

    What is not declared is not embedded.
    """
    declared: list[Any] = getattr(model, "embedding_fields", [])
    if not issubclass(model, EmbeddableFieldsMixin) or not declared:
        return None
    is_ours = any(
        issubclass(model, queryset.model)
        for _alias, index in registry
        if isinstance(index, SiteIndexMixin)
        for queryset in getattr(index, "querysets", ())
    )
    return [field.field_name for field in declared] if is_ours else None


def _cosine(vector: Sequence[float], others: Sequence[Sequence[float]]) -> np.ndarray:
    """The cosine similarity of a vector with each of the others; 0 for zero vectors."""
    if not others:
        return np.zeros(0, dtype=np.float32)
    matrix = np.asarray(others, dtype=np.float32)
    query = np.asarray(vector, dtype=np.float32)
    norms = np.linalg.norm(matrix, axis=1) * np.linalg.norm(query)
    return np.divide(matrix @ query, norms, out=np.zeros(len(matrix), np.float32), where=norms > 0)
