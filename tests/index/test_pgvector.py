"""Searches of the pgvector store."""

from __future__ import annotations

import numpy as np
import pytest
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from finetune_switch.backends.embeddings.embedded import MULTILINGUAL, EmbeddedEmbedder
from finetune_switch.index import stores
from finetune_switch.index.stores import extension, get_store, pgvector
from finetune_switch.index.stores.base import Scope
from finetune_switch.index.stores.extension import is_supported
from finetune_switch.index.stores.memory import MemoryStore
from finetune_switch.index.stores.pgvector import PgvectorStore, table_name
from finetune_switch.models import Chunk, Document
from tests.vectors import (
    COMMON_SITE,
    ENGLISH,
    EVERYTHING,
    GERMAN,
    RARE_SITE,
    SENTENCES,
    explain,
    ids,
    make_space,
    natural_sentences,
    needs_postgresql,
    questions,
    recall,
    write,
)


@pytest.fixture
def store() -> PgvectorStore:
    return PgvectorStore()


@pytest.fixture(scope="module")
def asked() -> np.ndarray:
    return np.asarray(EmbeddedEmbedder(MULTILINGUAL).embed(questions(60)), np.float32)


@pytest.fixture(scope="module")
def town(django_db_setup, django_db_blocker):
    """Thousands of real sentences with an HNSW index, for tests that only read."""
    vectors = np.asarray(
        EmbeddedEmbedder(MULTILINGUAL).embed(natural_sentences(SENTENCES)), np.float32
    )
    with django_db_blocker.unblock():
        space = make_space()
        write(
            space,
            vectors,
            site_id=lambda n: RARE_SITE if n % 100 == 7 else COMMON_SITE,
            locale_id=lambda n: (ENGLISH, GERMAN, None)[n % 3],
            is_restricted=lambda n: n % 2 == 0,
        )
        store = PgvectorStore()
        store.prepare(space)
        assert store.create_index(space, concurrently=True)
        yield space
        store.drop(space)
        Chunk.objects.filter(space=space).delete()
        space.delete()


# -------------------------------------------------------------------------------- which store


@pytest.mark.django_db
def test_default_store():
    expected = PgvectorStore if django_settings.USES_POSTGRESQL else MemoryStore
    assert isinstance(get_store(), expected)
    assert isinstance(get_store(store="memory"), MemoryStore)
    with pytest.raises(ImproperlyConfigured, match="memory, pgvector, not 'faiss'"):
        get_store(store="faiss")


@pytest.mark.django_db
@pytest.mark.parametrize("store", [None, "pgvector"])
def test_memory_store_without_packages(monkeypatch, settings, store, caplog):
    settings.FINETUNE_SWITCH = {"INDEX": {"STORE": store}}
    monkeypatch.setattr(extension, "find_spec", lambda name: None)
    stores._log_fallback.cache_clear()
    assert [type(get_store()) for _ in range(2)] == [MemoryStore] * 2
    assert caplog.text.count("finetune-switch[postgres]") == (1 if store else 0)


@pytest.mark.django_db
@pytest.mark.skipif(
    django_settings.USES_POSTGRESQL, reason="about another database than PostgreSQL"
)
def test_remedy_without_postgresql(store):
    assert not is_supported()
    with pytest.raises(ImproperlyConfigured, match='"memory" store'):
        store.prepare(make_space())


@needs_postgresql
@pytest.mark.django_db
def test_support_is_cached(monkeypatch):
    monkeypatch.setattr(extension, "_known", {})
    with CaptureQueriesContext(connection) as queries:
        assert [is_supported() for _ in range(3)] == [True] * 3
    assert len(queries) == 1


@needs_postgresql
@pytest.mark.django_db
def test_remedy_without_extension(store, monkeypatch):
    monkeypatch.setattr(extension, "_known", {})
    with connection.cursor() as cursor:
        cursor.execute("DROP EXTENSION IF EXISTS vector CASCADE")
        cursor.execute("CREATE ROLE finetune_guest")
        cursor.execute("GRANT USAGE ON SCHEMA public TO finetune_guest")
        cursor.execute("SET LOCAL ROLE finetune_guest")
        assert not is_supported()
        with pytest.raises(ImproperlyConfigured, match="CREATE EXTENSION vector"):
            extension.ensure_extension("default")
        cursor.execute("RESET ROLE")
        monkeypatch.setattr(extension, "_known", {})
        assert is_supported()
        store.prepare(make_space())
        assert extension.version("default") >= (0, 8)


# ------------------------------------------------------------------------------- over real text


@needs_postgresql
@pytest.mark.django_db
@pytest.mark.parametrize(
    "scope",
    [EVERYTHING, Scope(COMMON_SITE), Scope(None, frozenset([GERMAN])), Scope(None, None, False)],
)
def test_plan_uses_the_index(store, town, asked, scope):
    plan = explain(store, town, asked[0], scope)
    assert f"Index Scan using {table_name(town)}_hnsw" in plan
    assert "Sort" not in plan


@needs_postgresql
@pytest.mark.django_db
@pytest.mark.parametrize(
    "scope",
    [
        EVERYTHING,
        Scope(COMMON_SITE),
        Scope(RARE_SITE),
        Scope(COMMON_SITE, frozenset([GERMAN]), False),
        Scope(RARE_SITE, frozenset([ENGLISH]), False),
    ],
)
def test_recall(store, town, asked, scope):
    assert recall(store, town, asked, scope) >= 0.95
    assert recall(store, town, asked[:20], scope, limit=25) >= 0.95


@needs_postgresql
@pytest.mark.django_db
@pytest.mark.parametrize("iterative_scan", ["strict_order", "relaxed_order", "off"])
def test_rare_site_fills_the_limit(store, town, asked, iterative_scan, monkeypatch):
    monkeypatch.setattr(pgvector, "ITERATIVE_SCAN", iterative_scan)
    monkeypatch.setattr(pgvector, "EF_SEARCH", 20)
    with transaction.atomic(), connection.cursor() as cursor:
        # Otherwise the planner prefers an exact search of the site's few rows.
        cursor.execute("SET LOCAL enable_bitmapscan = off; SET LOCAL enable_seqscan = off")
        cursor.execute(f"DROP INDEX {table_name(town)}_scope")
        assert "_hnsw" in explain(store, town, asked[0], Scope(RARE_SITE))
        for vector in asked[:10]:
            found = store.search(town, vector, limit=20, scope=Scope(RARE_SITE))
            sites = Chunk.objects.filter(pk__in=ids(found)).values_list("document__site_id")
            assert len(found) == 20
            assert {site for (site,) in sites} == {RARE_SITE}
        transaction.set_rollback(True)


@needs_postgresql
@pytest.mark.django_db
def test_order_and_scores(store, town, asked):
    found = store.search(town, asked[0], limit=10, scope=EVERYTHING)
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    stored = dict(Chunk.objects.filter(pk__in=ids(found)).values_list("pk", "vector"))
    expected = [float(np.frombuffer(stored[pk], "<f4") @ asked[0]) for pk in ids(found)]
    assert scores == pytest.approx(expected, abs=1e-5)


@needs_postgresql
@pytest.mark.django_db
def test_one_query_without_session_settings(store, town, asked):
    store.search(town, asked[0], limit=5, scope=EVERYTHING)
    with CaptureQueriesContext(connection) as queries:
        store.search(town, asked[0], limit=5, scope=Scope(COMMON_SITE))
    assert len(queries) == 1


@needs_postgresql
@pytest.mark.django_db
def test_limit_above_ef_search(store, town, asked):
    assert len(store.search(town, asked[0], limit=1_500, scope=EVERYTHING)) == 1_500
    assert len(store.search(town, asked[0], limit=9_000, scope=EVERYTHING)) == SENTENCES
    assert store.search(town, asked[0], limit=0, scope=EVERYTHING) == []


@needs_postgresql
@pytest.mark.django_db
def test_older_pgvector_fills_the_limit(store, town, asked, monkeypatch):
    monkeypatch.setitem(extension._known, "default", extension._Extension((0, 6), True))
    assert "iterative_scan" not in store.query(town, asked[0], limit=5, scope=EVERYTHING)[0]
    assert recall(store, town, asked[:10], Scope(RARE_SITE, None, False)) >= 0.95


# ------------------------------------------------------------------------------------- scopes


@needs_postgresql
@pytest.mark.django_db
def test_site_locale_and_privacy(store):
    space = make_space(3)
    here, elsewhere, everywhere, private = write(
        space,
        np.eye(3, dtype="<f4")[[0, 0, 0, 0]],
        site_id=lambda n: (1, 2, None, 1)[n],
        locale_id=lambda n: (1, 1, None, 2)[n],
        is_restricted=lambda n: n == 3,
    )
    store.prepare(space)

    def found(*scope):
        vector = np.eye(3, dtype=np.float32)[0]
        return set(ids(store.search(space, vector, limit=9, scope=Scope(*scope))))

    assert found() == {here, elsewhere, everywhere, private}
    assert found(1) == {here, everywhere, private}
    assert found(1, None, False) == {here, everywhere}
    assert found(None, frozenset([2])) == {everywhere, private}
    assert found(None, frozenset()) == {everywhere}
    assert found(2, frozenset([1, 2])) == {elsewhere, everywhere}
    Document.objects.filter(chunks=here).update(is_restricted=True, site_id=2)
    store.add(space, [here])
    assert found(1, None, False) == {everywhere}
    assert found(2) == {here, elsewhere, everywhere}
