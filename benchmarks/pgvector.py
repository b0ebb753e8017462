"""PostgreSQL without the plugin: the least that a search can be, and wagtail-vector-index's own.

Import it once Django is set up.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib.contenttypes.models import ContentType
from django.db import connection
from wagtail.models import Page

from demo_site.models import ArticlePage
from finetune_switch.backends.embeddings import get_embedder
from finetune_switch.index.stores.base import Scope
from finetune_switch.index.stores.pgvector import EF_SEARCH, PgvectorStore, table_name
from finetune_switch.models.index import active_space

SEARCH = """
SELECT document.object_id, chunk.text, found.distance
FROM (
    SELECT chunk_id, vector <=> %s::vector AS distance FROM {table} ORDER BY distance LIMIT %s
) AS found
JOIN finetune_switch_chunk AS chunk ON chunk.id = found.chunk_id
JOIN finetune_switch_document AS document ON document.id = chunk.document_id
ORDER BY found.distance
"""

EMBEDDINGS = """
INSERT INTO wagtail_vector_index_embedding
    (content_type_id, base_content_type_id, object_id, vector, content)
SELECT %(kind)s, %(base)s, document.object_id, to_jsonb(stored.vector::real[]), chunk.text
FROM {table} AS stored
JOIN finetune_switch_chunk AS chunk ON chunk.id = stored.chunk_id
JOIN finetune_switch_document AS document ON document.id = chunk.document_id
"""
VECTORS = """
INSERT INTO pgvector_pgvectorembedding
    (embedding_id, vector, embedding_output_dimensions, index_name)
SELECT embedding.id, embedding.vector::text::vector, %(dimensions)s, %(name)s
FROM wagtail_vector_index_embedding AS embedding
"""


class Raw:
    """A search in SQL over the plugin's own HNSW index, and one fetch of the pages."""

    def __init__(self, limit: int) -> None:
        space = active_space()
        assert space is not None
        self.limit = limit
        self.embedder = get_embedder(space)
        self.sql = SEARCH.format(table=table_name(space))
        with connection.cursor() as cursor:
            cursor.execute(f"SET hnsw.ef_search = {EF_SEARCH}")

    def ask(self, question: str) -> list[tuple[str, str, float]]:
        vector = self.embedder.embed([question])[0]
        literal = f"[{','.join(map(str, vector.tolist()))}]"
        with connection.cursor() as cursor:
            cursor.execute(self.sql, [literal, self.limit])
            rows = cursor.fetchall()
        pages = Page.objects.in_bulk([int(object_id) for object_id, _text, _distance in rows])
        return [(pages[int(pk)].title, text, distance) for pk, text, distance in rows]


def copy_to_vector_index() -> None:
    """What wagtail-vector-index's rebuild would write of the same documents, which takes it minutes
    for 100,000."""
    space = active_space()
    assert space is not None
    values = {
        "kind": ContentType.objects.get_for_model(ArticlePage).pk,
        "base": ContentType.objects.get_for_model(Page).pk,
        "dimensions": space.dimensions,
        "name": type(ArticlePage.vector_index).__name__,
    }
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM pgvector_pgvectorembedding")
        cursor.execute("DELETE FROM wagtail_vector_index_embedding")
        cursor.execute(EMBEDDINGS.format(table=table_name(space)), values)
        cursor.execute(VECTORS, values)
        cursor.execute("ANALYZE")


def recall(questions: Sequence[str], limit: int) -> float:
    """How much of what an exact search finds is found by the index."""
    space = active_space()
    assert space is not None
    store, found, wanted = PgvectorStore(), 0, 0
    for vector in get_embedder(space).embed(questions):
        best = store.search(space, vector, limit=limit, scope=Scope())
        sql, parameters = store.query(space, vector, limit=limit, scope=Scope(), exact=True)
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            exact = cursor.fetchall()
        # Two that are equally near are as good as each other.
        furthest = max(distance for _chunk_id, distance in exact)
        found += sum(1 - one.score <= furthest + 1e-6 for one in best)
        wanted += len(exact)
    return found / wanted
