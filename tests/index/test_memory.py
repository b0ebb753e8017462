"""The memory store."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
from django.db import connection

from finetune_switch.adapters import Scope
from finetune_switch.index.stores import memory
from finetune_switch.index.stores.memory import MemoryStore
from finetune_switch.models import Chunk, Document, EmbeddingSpace, RemovedChunk

pytestmark = pytest.mark.django_db(transaction=True)

DIMENSIONS = 16
EVERYTHING = Scope()
numbers = np.random.default_rng(1)


def unit(rows):
    vectors = numbers.normal(size=(rows, DIMENSIONS)).astype("<f4")
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def space(db):
    return EmbeddingSpace.objects.create(model_name="test", dimensions=DIMENSIONS, is_active=True)


def add(space, vectors, **document):
    version = space.next_version()
    row = Document.objects.create(
        space=space, model="a.b", object_id=str(Document.objects.count()), title="", **document
    )
    return Chunk.objects.bulk_create(
        Chunk(
            document=row, space=space, position=n, text=str(n), vector=v.tobytes(), version=version
        )
        for n, v in enumerate(vectors)
    )


def remove(space, chunks):
    version = space.next_version()
    ids = [chunk.pk for chunk in chunks]
    RemovedChunk.objects.bulk_create(
        RemovedChunk(space=space, chunk_id=pk, version=version) for pk in ids
    )
    Chunk.objects.filter(pk__in=ids).delete()


def search(space, vector, limit=5, scope=EVERYTHING):
    fresh = EmbeddingSpace.objects.get(pk=space.pk)
    return MemoryStore().search(fresh, vector, limit=limit, scope=scope)


def exactly(space, vector, limit=5):
    """Search with the definition of the cosine, over every row of the table."""
    scores = {
        chunk.pk: float(np.frombuffer(bytes(chunk.vector), "<f4") @ vector)
        for chunk in Chunk.objects.filter(space=space)
    }
    return sorted(scores, key=lambda pk: -scores[pk])[:limit]


def found(*arguments, **options):
    return [hit.chunk_id for hit in search(*arguments, **options)]


def test_order_and_scores(space):
    add(space, unit(300))
    for question in unit(5):
        hits = search(space, question)
        assert [hit.chunk_id for hit in hits] == exactly(space, question)
        chunk = Chunk.objects.get(pk=hits[0].chunk_id)
        cosine = np.frombuffer(bytes(chunk.vector), "<f4") @ question
        assert hits[0].score == pytest.approx(cosine, abs=1e-5)


def test_empty_space(space):
    assert search(space, unit(1)[0]) == []


def test_changes_are_found_by_the_next_search(space, monkeypatch):
    monkeypatch.setattr(memory, "MOST_CHANGED", 12)
    monkeypatch.setattr(memory, "MOST_CHANGED_SHARE", 0.0)
    chunks = add(space, unit(40))
    for step in range(30):
        if step % 3 == 2:
            remove(space, [chunks.pop(int(numbers.integers(len(chunks))))])
        else:
            chunks += add(space, unit(2))
        for question in unit(2):
            assert found(space, question, limit=10) == exactly(space, question, limit=10)


def test_chunk_moves_to_another_site(space):
    chunks = add(space, unit(3), site_id=1)
    question = unit(1)[0]
    assert len(found(space, question, scope=Scope(site_id=1))) == 3
    Document.objects.update(site_id=2)
    Chunk.objects.update(version=space.next_version())
    assert found(space, question, scope=Scope(site_id=1)) == []
    assert sorted(found(space, question, scope=Scope(site_id=2))) == [c.pk for c in chunks]


def test_scope_is_applied_before_the_limit(space):
    add(space, unit(200), site_id=1, locale_id=1)
    (here,) = add(space, unit(1), site_id=2, locale_id=1)
    (everywhere,) = add(space, unit(1))
    (private,) = add(space, unit(1), site_id=2, is_restricted=True)
    question = unit(1)[0]
    scope = Scope(site_id=2, include_restricted=False)
    assert set(found(space, question, scope=scope)) == {here.pk, everywhere.pk}
    assert set(found(space, question, scope=Scope(site_id=2))) == {
        here.pk,
        everywhere.pk,
        private.pk,
    }
    of_another_locale = Scope(site_id=2, locale_ids=frozenset({7}))
    assert set(found(space, question, scope=of_another_locale)) == {everywhere.pk, private.pk}


def test_second_search_has_no_queries(space, django_assert_num_queries):
    add(space, unit(10))
    search(space, unit(1)[0])
    with django_assert_num_queries(1):
        # The query reads the space with its version.
        search(space, unit(1)[0])


def test_a_refresh_reads_only_what_changed(space, django_assert_num_queries):
    add(space, unit(9000))
    search(space, unit(1)[0])
    base = next(iter(memory._snapshots.values())).base
    add(space, unit(1))
    with django_assert_num_queries(3) as captured:
        search(space, unit(1)[0])
    assert next(iter(memory._snapshots.values())).base.vectors is base.vectors
    assert all("version" in query["sql"] for query in captured)


def test_reload_behind_the_horizon(space):
    chunks = add(space, unit(5))
    question = unit(1)[0]
    assert len(found(space, question)) == 5
    remove(space, chunks[:4])
    RemovedChunk.objects.all().delete()
    EmbeddingSpace.objects.filter(pk=space.pk).update(horizon=space.version)
    assert found(space, question) == [chunks[4].pk]


def test_new_space_with_the_same_primary_key(space):
    add(space, unit(3))
    search(space, unit(1)[0])
    pk = space.pk
    EmbeddingSpace.objects.all().delete()
    space = EmbeddingSpace.objects.create(
        pk=pk, model_name="other", dimensions=DIMENSIONS, is_active=True
    )
    assert found(space, unit(1)[0]) == []


@pytest.mark.django_db(transaction=True)
def test_concurrent_searches_and_changes(space):
    add(space, unit(50))
    (wanted,) = add(space, unit(1))
    vector = np.frombuffer(bytes(wanted.vector), "<f4")
    wrong, stop = [], threading.Event()

    def ask():
        try:
            while not stop.is_set():
                if found(space, vector)[:1] != [wanted.pk]:
                    wrong.append("another chunk came first")
        except Exception as error:
            wrong.append(repr(error))
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        add(space, unit(1))
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_fork_while_another_thread_loads(space):
    """A forked child loads the matrix even if the parent held the lock."""
    add(space, unit(10))
    question = unit(1)[0]
    expected = found(space, question)
    fresh = EmbeddingSpace.objects.get(pk=space.pk)
    with memory._lock:
        pid = os.fork()
        if not pid:
            ok = False
            try:
                ok = memory._lock.acquire(timeout=5)
                memory._lock.release()
                hits = MemoryStore().search(fresh, question, limit=5, scope=EVERYTHING)
                ok = ok and [hit.chunk_id for hit in hits] == expected
            finally:
                os._exit(0 if ok else 1)
    assert os.waitpid(pid, 0)[1] == 0
