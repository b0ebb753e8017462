"""The queries of wagtail-vector-index's API, answered by our retrieval and answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from django.db.models import Model
from django.utils.translation import get_language
from wagtail.models import TranslatableMixin
from wagtail_vector_index.storage.base import Document, QueryResponse

from finetune_switch.access.askers import current_asker
from finetune_switch.access.sites import current_request, site_for
from finetune_switch.answers import Answer, AsyncAnswer, aanswer, answer
from finetune_switch.answers.threads import in_database_thread as in_thread
from finetune_switch.backends.embeddings import get_embedder
from finetune_switch.backends.embeddings.base import check_vectors
from finetune_switch.exceptions import EmbeddingError
from finetune_switch.index.stores.base import Vector
from finetune_switch.index.writing import Key, chunks_of, embed_chunks, text_of
from finetune_switch.models import ChatBackend, Chunk, EmbeddingSpace, Switch
from finetune_switch.passages import Passage
from finetune_switch.search import retrieve_for

from .declared import SWITCH_CLASSES, chat_backend_settings
from .documents import documents_of
from .part_search import PartIndex, QueryContext, VectorPartIndex
from .parts import Part, document_key

__all__ = ["aquery", "find_similar", "in_thread", "query", "search", "similar_documents"]

# The lowest cosine similarity.
NO_THRESHOLD = -1.0


@dataclass
class SiteQueryResponse(QueryResponse):
    """Adds the answer, with its passages, citations and exchange, to the response."""

    answer: Answer | AsyncAnswer | None = field(default=None, repr=False)


def search(index: Any, question: str, *, limit: int) -> list[Model]:
    """See :meth:`~.storage.SiteIndexMixin.search`."""
    searched = PartIndex(index, QueryContext())
    found = _retrieve(searched, question, limit=limit, each_source_once=True)
    return searched.part.fetch(map(_key, found))


def find_similar(index: Any, instance: Model, *, include_self: bool, limit: int) -> list[Model]:
    """See :meth:`~.storage.SiteIndexMixin.find_similar`."""
    context = QueryContext()
    if context.space is None or (vector := _vector_of(instance, context.space)) is None:
        return []
    searched = VectorPartIndex(index, context, vector)
    found = _retrieve(
        searched,
        locale=_language_of(instance),
        limit=limit if include_self else limit + 1,
        each_source_once=True,
    )
    own = None if include_self else document_key(instance)
    return searched.part.fetch([key for key in map(_key, found) if key != own][:limit])


def similar_documents(index: Any, vector: Sequence[float], *, limit: int) -> Iterator[Document]:
    """See :meth:`~.storage.SiteIndexMixin.get_similar_documents`."""
    context = QueryContext()
    if (space := context.space) is None:
        return
    unit = check_vectors([list(vector)], 1, space.dimensions)[0]
    yield from documents_of(_retrieve(VectorPartIndex(index, context, unit), limit=limit), space)


def query(
    index: Any, question: str, *, sources_limit: int, chat_backend_alias: str
) -> SiteQueryResponse:
    """See :meth:`~.storage.SiteIndexMixin.query`."""
    response = answer(question, **_options(index, question, sources_limit, chat_backend_alias))
    return SiteQueryResponse(response.text, _sources(index, response.passages), response)


async def aquery(
    index: Any, question: str, *, sources_limit: int, chat_backend_alias: str
) -> SiteQueryResponse:
    options = await in_thread(_options, index, question, sources_limit, chat_backend_alias)
    response = aanswer(question, **options)
    text = await response.text()
    return SiteQueryResponse(text, await in_thread(_sources, index, response.passages), response)


def _options(index: Any, question: str, limit: int, chat_backend_alias: str) -> dict[str, Any]:
    backend = _backend(chat_backend_alias)
    switch = _switch()
    return {
        "passages": _passages(index, question, limit, switch),
        "site": switch.site_or_none,
        "asker": current_asker(),
        "backend": backend,
    }


def _passages(index: Any, question: str, limit: int, switch: Switch) -> list[Passage]:
    """The best passages from ``limit`` sources, or from fewer if no more are found."""
    searched = PartIndex(index, QueryContext())
    passage_limit = max(limit, switch.passages)
    found = _retrieve(searched, question, limit=passage_limit, switch=switch)
    sources = dict.fromkeys(map(_key, found))
    if len(sources) < limit and len(found) == passage_limit:
        # A few sources have used up the limit. Add the best passage of each further source.
        more = _retrieve(searched, question, limit=limit, switch=switch, each_source_once=True)
        found += [passage for passage in more if _key(passage) not in sources]
        sources = dict.fromkeys(map(_key, found))
    wanted = list(sources)[:limit]
    kept = [passage for passage in found if _key(passage) in wanted]
    return [replace(passage, number=number) for number, passage in enumerate(kept, 1)]


def _retrieve(
    searched: PartIndex,
    question: str = "",
    *,
    limit: int,
    switch: Switch | None = None,
    locale: str | None = None,
    each_source_once: bool = False,
) -> list[Passage]:
    """Passages for the current asker; with ``switch``, above its similarity threshold only."""
    if limit < 1:
        return []
    return retrieve_for(
        switch or _switch(),
        question,
        asker=current_asker(),
        locale=locale or get_language(),
        indexes=[searched],
        limit=limit,
        threshold=NO_THRESHOLD if switch is None else None,
        each_source_once=each_source_once,
    )


def _switch() -> Switch:
    """The switch of the current request's site, or of the default site."""
    request = current_request()
    return Switch.for_question(site_for(request) if request is not None else None)


def _key(passage: Passage) -> Key:
    return passage.source.model, passage.source.object_id


def _sources(index: Any, passages: Sequence[Passage]) -> list[Model]:
    return Part.of(index).fetch(dict.fromkeys(map(_key, passages)))


def _backend(alias: str) -> ChatBackend | None:
    """The chat backend of a wagtail-vector-index alias; ``None`` for the switch.

    Raises :class:`KeyError` for an unknown alias, as wagtail-vector-index does.
    """
    declared = chat_backend_settings()
    if not declared and alias == "default":
        return None
    if declared[alias].get("CLASS") in SWITCH_CLASSES:
        return None
    row = ChatBackend.objects.filter(kind=ChatBackend.Kind.ADAPTER, connection=alias).first()
    if row is not None:
        return row
    # Declared after the last `migrate`, which creates the row.
    config = declared[alias].get("CONFIG") or {}
    return ChatBackend(
        kind=ChatBackend.Kind.ADAPTER,
        alias=alias,
        label=alias,
        connection=alias,
        model_name=str(config.get("MODEL_ID", "")),
        context_window=config.get("TOKEN_LIMIT") or 4096,
    )


def _language_of(instance: Model) -> str | None:
    if isinstance(instance, TranslatableMixin) and instance.locale_id:
        return str(instance.locale.language_code)
    return None


def _vector_of(instance: Model, space: EmbeddingSpace) -> Vector | None:
    """The mean vector of an object's current text. Unchanged chunks are not embedded again."""
    embedder = get_embedder(space)
    content = text_of(instance)
    texts = {
        chunk.digest: (content.title, chunk.embedded_text) for chunk in chunks_of(content, embedder)
    }
    model, object_id = document_key(instance)
    rows = Chunk.objects.filter(
        space=space, document__model=model, document__object_id=object_id, digest__in=texts
    )
    vectors = {
        digest: np.frombuffer(vector, "<f4")
        for digest, vector in rows.values_list("digest", "vector")
    }
    try:
        if unknown := [digest for digest in texts if digest not in vectors]:
            found = embed_chunks(embedder, [texts[digest] for digest in unknown])
            vectors.update(zip(unknown, found, strict=True))
        if not texts:
            return None
        mean = np.mean([vectors[digest] for digest in texts], axis=0, keepdims=True)
        return check_vectors(mean, 1, space.dimensions)[0]
    except EmbeddingError as error:
        if not error.is_meaningless_text:
            raise
        return None
