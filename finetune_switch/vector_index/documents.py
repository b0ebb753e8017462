"""Conversion between wagtail-vector-index's ``Document`` and our keys and passages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from wagtail_vector_index.storage.base import Document

from finetune_switch.index.writing import Key
from finetune_switch.models import Chunk, EmbeddingSpace
from finetune_switch.passages import Passage


def keys_of(documents: Iterable[Document]) -> Iterator[Key]:
    """The keys of the objects that the documents were made from."""
    for document in documents:
        kind = ContentType.objects.get_for_id(int(document.metadata["content_type_id"]))
        yield f"{kind.app_label}.{kind.model}", str(document.metadata["object_id"])


def documents_of(passages: Sequence[Passage], space: EmbeddingSpace) -> Iterator[Document]:
    """Passages as documents. ``embedding_pk`` is the primary key of our chunk."""
    columns = ("pk", "vector", "text", "document__model", "document__object_id")
    rows = Chunk.objects.filter(
        space=space,
        document__model__in={passage.source.model for passage in passages},
        document__object_id__in={passage.source.object_id for passage in passages},
    ).values_list(*columns)
    chunks = {
        (model, object_id, text.replace("\x00", "").strip()): (pk, vector)
        for pk, vector, text, model, object_id in rows
    }
    for passage in passages:
        source = passage.source
        found = chunks.get((source.model, source.object_id, passage.text))
        if found is None:
            # The chunk was replaced after the search.
            continue
        pk, vector = found
        kind = ContentType.objects.get_for_model(
            apps.get_model(source.model), for_concrete_model=False
        )
        yield Document(
            vector=np.frombuffer(vector, "<f4").tolist(),
            embedding_pk=pk,
            metadata={
                "object_id": source.object_id,
                "content_type_id": str(kind.pk),
                "content": passage.text,
            },
        )
