"""The tables and indexes of the pgvector store."""

from __future__ import annotations

import numpy as np
import pytest
from django.db import (
    DatabaseError,
    OperationalError,
    close_old_connections,
    connection,
    transaction,
)
from django.test.utils import CaptureQueriesContext

from finetune_switch.exceptions import BackendError
from finetune_switch.index.stores import hnsw, pgvector
from finetune_switch.index.stores.pgvector import PgvectorStore, column_type, table_name
from finetune_switch.models import Chunk, Document, EmbeddingSpace
from tests.vectors import EVERYTHING, explain, ids, make_space, needs_postgresql, unit, write

pytestmark = needs_postgresql


@pytest.fixture
def store() -> PgvectorStore:
    return PgvectorStore()


# ------------------------------------------------------------------------------- coming and going


@pytest.mark.django_db
def test_add_change_and_remove(store):
    space = make_space(4)
    axes = np.eye(4, dtype=np.float32)
    store.prepare(space)
    first, second = write(space, axes[:2])
    store.add(space, [first, second, second + 1_000])
    assert ids(store.search(space, axes[0], limit=1, scope=EVERYTHING)) == [first]
    Chunk.objects.filter(pk=first).update(vector=axes[3].tobytes())
    store.add(space, [first])
    (best,) = store.search(space, axes[3], limit=1, scope=EVERYTHING)
    assert (best.chunk_id, best.score) == (first, pytest.approx(1))
    store.remove(space, [first])
    assert ids(store.search(space, axes[3], limit=9, scope=EVERYTHING)) == [second]
    # Deleted without a call of the store.
    Chunk.objects.filter(pk=second).delete()
    assert store.search(space, axes[3], limit=9, scope=EVERYTHING) == []


@pytest.mark.django_db
def test_deleted_chunks_do_not_use_the_limit(store):
    space = make_space()
    asked = unit(1, 512, seed=2)
    gone = write(space, np.repeat(asked, 300, axis=0))
    kept = write(space, unit(300, 512))
    store.prepare(space)
    store.create_index(space, concurrently=False)
    Chunk.objects.filter(pk__in=gone).delete()
    found = store.search(space, asked[0], limit=10, scope=EVERYTHING)
    assert len(found) == 10
    assert set(ids(found)) <= set(kept)


@pytest.mark.django_db
def test_repeated_prepare_and_drop(store):
    space, vectors = make_space(8), unit(3, 8)
    first, second, third = write(space, vectors)
    store.prepare(space)
    # As after the use of another store.
    Chunk.objects.filter(pk=first).delete()
    Document.objects.filter(chunks=second).update(is_restricted=True)
    store.remove(space, [third])
    store.prepare(space)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT chunk_id, is_restricted FROM {table_name(space)} ORDER BY 1")
        assert cursor.fetchall() == [(second, True), (third, False)]
    store.drop(space)
    store.drop(space)
    store.remove(space, [third])
    store.add(space, [third])
    assert len(store.search(space, vectors[0], limit=9, scope=EVERYTHING)) == 2


@pytest.mark.django_db
def test_other_dimensions_replace_the_table(store):
    space = make_space(8)
    store.prepare(space)
    EmbeddingSpace.objects.filter(pk=space.pk).update(dimensions=4)
    space.refresh_from_db()
    (chunk,) = write(space, unit(1, 4))
    store.prepare(space)
    assert ids(store.search(space, unit(1, 4)[0], limit=1, scope=EVERYTHING)) == [chunk]


@pytest.mark.django_db
def test_unprepared_space(store):
    with pytest.raises(BackendError) as caught, transaction.atomic():
        store.search(make_space(4), unit(1, 4)[0], limit=5, scope=EVERYTHING)
    assert caught.value.code == "index_not_ready"
    assert "manage.py finetune_switch index" in str(caught.value.remedy)


@pytest.mark.django_db
def test_vectors_of_the_wrong_size(store):
    space = make_space(4)
    with pytest.raises(ValueError, match="4 dimensions"):
        store.search(space, unit(1, 5)[0], limit=5, scope=EVERYTHING)
    write(space, unit(1, 5))
    with pytest.raises(ValueError, match="not 4"):
        store.prepare(space)


@pytest.mark.django_db
def test_nan_is_rejected(store):
    space = make_space(4)
    (kept,) = write(space, unit(1, 4))
    store.prepare(space)
    (bad,) = write(space, np.full((1, 4), np.nan, "<f4"))
    with pytest.raises(DatabaseError, match="NaN"), transaction.atomic():
        store.add(space, [bad])
    assert ids(store.search(space, unit(1, 4)[0], limit=5, scope=EVERYTHING)) == [kept]


# ---------------------------------------------------------------------------------- dimensions


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("dimensions", "kind", "has_index"),
    [
        (2_000, "vector(2000)", True),
        (2_001, "halfvec(2001)", True),
        (3_072, "halfvec(3072)", True),
        (4_000, "halfvec(4000)", True),
        (4_001, "vector(4001)", False),
    ],
)
def test_many_dimensions(store, dimensions, kind, has_index):
    space, vectors = make_space(dimensions), unit(60, dimensions)
    chunks = write(space, vectors)
    assert column_type(space) == kind
    store.prepare(space)
    assert store.create_index(space, concurrently=False) is has_index
    assert store.has_index(space) is has_index
    store.add(space, chunks[:2])
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    assert ("_hnsw_" in explain(store, space, vectors[7])) is has_index
    best = store.search(space, vectors[7], limit=5, scope=EVERYTHING)[0]
    assert (best.chunk_id, best.score) == (chunks[7], pytest.approx(1, abs=2e-3))


# --------------------------------------------------------------------------------------- the index


def index_statements(queries) -> list[str]:
    return [
        " ".join(query["sql"].split()[:3])
        for query in queries
        if query["sql"].startswith(("CREATE INDEX", "DROP INDEX"))
    ]


@pytest.mark.django_db
def test_create_index_in_a_transaction(store):
    space = make_space(8)
    write(space, unit(20, 8))
    with CaptureQueriesContext(connection) as queries:
        assert store.create_index(space, concurrently=True)
        assert store.create_index(space, concurrently=True)
        assert store.has_index(space)
        store.drop_index(space)
        store.drop_index(space)
    assert not store.has_index(space)
    # create_index() also created the table. The second call did nothing.
    assert index_statements(queries) == ["CREATE INDEX IF", "DROP INDEX IF"]
    assert len(store.search(space, unit(20, 8)[3], limit=3, scope=EVERYTHING)) == 3


@pytest.mark.django_db(transaction=True)
def test_create_index_concurrently(store, monkeypatch):
    space = make_space(8)
    write(space, unit(20, 8))
    store.prepare(space)
    with connection.cursor() as cursor:
        cursor.execute("SHOW maintenance_work_mem")
        before = cursor.fetchone()
    with CaptureQueriesContext(connection) as queries:
        assert store.create_index(space, concurrently=True)
        store.drop_index(space)
    assert index_statements(queries) == ["CREATE INDEX CONCURRENTLY", "DROP INDEX CONCURRENTLY"]
    with CaptureQueriesContext(connection) as queries:
        assert store.create_index(space, concurrently=False)
    assert index_statements(queries) == ["CREATE INDEX IF"]
    with connection.cursor() as cursor:
        cursor.execute("SHOW maintenance_work_mem")
        assert cursor.fetchone() == before
        cursor.execute("SHOW hnsw.ef_search")
        store.search(space, unit(20, 8)[3], limit=3, scope=EVERYTHING)
        cursor.execute("SHOW hnsw.ef_search")
        assert cursor.fetchone() == ("40",)
    # With other parameters, the old index is dropped after the new one is created.
    monkeypatch.setattr(pgvector, "M", 8)
    assert store.create_index(space, concurrently=True)
    (index,) = hnsw.indexes("default", table_name(space))
    assert index.name.endswith("_hnsw_8_64")
    store.drop(space)


@pytest.mark.django_db(transaction=True)
def test_interrupted_index_is_created_again(store):
    space = make_space(8)
    write(space, unit(20, 8))
    store.prepare(space)
    assert store.create_index(space, concurrently=True)
    name = f"{table_name(space)}_hnsw_16_64"
    with connection.cursor() as cursor:
        # As after an interrupted CREATE INDEX CONCURRENTLY.
        cursor.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass(%s)", [name]
        )
    assert not store.has_index(space)
    assert store.create_index(space, concurrently=True)
    assert store.has_index(space)
    store.drop(space)


@pytest.mark.django_db
def test_second_attempt_without_parallel_workers(store, monkeypatch):
    space, tried = make_space(8), []
    store.prepare(space)
    build = hnsw._build

    def fail_first(using, statement, settings):
        tried.append(settings.get("max_parallel_maintenance_workers"))
        if len(tried) == 1:
            raise OperationalError("could not resize shared memory segment")
        build(using, statement, settings)

    monkeypatch.setattr(hnsw, "_build", fail_first)
    assert store.create_index(space, concurrently=False)
    assert tried == [None, "0"]


# ------------------------------------------------------------------------------------------- faults


@pytest.mark.django_db(transaction=True)
def test_lost_connection_has_no_second_attempt(store):
    space, vectors = make_space(8), unit(5, 8)
    chunks = write(space, vectors)
    store.prepare(space)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
    finally:
        other.close()
    with pytest.raises(DatabaseError, match=r"terminat|closed"):
        store.search(space, vectors[0], limit=1, scope=EVERYTHING)
    close_old_connections()
    assert ids(store.search(space, vectors[0], limit=1, scope=EVERYTHING)) == chunks[:1]
    store.drop(space)


@pytest.mark.django_db(transaction=True)
def test_rollback(store):
    space, vectors = make_space(8), unit(2, 8)
    chunks = write(space, vectors)
    store.prepare(space)

    def broken_off():
        with transaction.atomic():
            store.remove(space, chunks[:1])
            store.add(space, write(space, unit(1, 8, seed=5)))
            raise KeyError

    with pytest.raises(KeyError):
        broken_off()
    found = store.search(space, vectors[0], limit=9, scope=EVERYTHING)
    assert sorted(ids(found)) == sorted(chunks)
    store.drop(space)


@pytest.mark.django_db(transaction=True)
def test_flush(store):
    from django.core.management import call_command

    space, vectors = make_space(8), unit(2, 8)
    write(space, vectors)
    store.prepare(space)
    call_command("flush", interactive=False, verbosity=0)
    assert store.search(space, vectors[0], limit=9, scope=EVERYTHING) == []
    store.drop(space)
