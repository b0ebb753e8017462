"""``manage.py finetune_switch index``: another index than the site's own, and HNSW."""

from __future__ import annotations

import pytest
from django.db import connection

from finetune_switch.adapters import indexes
from finetune_switch.index.stores import get_store
from finetune_switch.models import Document
from finetune_switch.models.index import active_space
from tests.helpers import manage
from tests.index_helpers import build

pytestmark = pytest.mark.django_db

ON_POSTGRESQL = connection.vendor == "postgresql"


@pytest.fixture
def pages(make_page):
    return make_page("Opening hours", "The harbour opens at nine.")


class TestAnotherIndex:
    def test_one_of_wagtail_vector_index(self, pages):
        done = manage("index", "--index", "ArticlePageIndex")
        assert (done.code, done.out) == (0, "The index ArticlePageIndex was built.\n")
        # The home page is of another type.
        assert set(Document.objects.values_list("model", flat=True)) == {"demo_site.articlepage"}

    def test_the_sites_own_by_its_name(self, pages):
        assert manage("index", "--index", "pages").code == 0
        assert Document.objects.exists()

    def test_one_that_does_not_exist(self, pages):
        done = manage("index", "--index", "nonsense")
        assert done.code == 2
        assert "There is no index nonsense. Available: ArticlePageIndex" in done.err
        assert all(alias in done.err for alias in indexes())


class TestHNSW:
    @pytest.mark.skipif(not ON_POSTGRESQL, reason="needs a PostgreSQL with pgvector")
    def test_is_dropped_and_made_again(self, pages):
        build()
        store, space = get_store(), active_space()
        assert store.has_index(space)
        done = manage("index", "--hnsw", "drop")
        assert (done.code, done.out) == (
            0,
            "There is no HNSW index. Searches read every vector.\n",
        )
        assert not store.has_index(space)
        done = manage("index", "--hnsw", "make", "--json")
        assert (done.code, done.json) == (0, {"hnsw": True})
        assert store.has_index(space)

    @pytest.mark.skipif(not ON_POSTGRESQL, reason="needs a PostgreSQL with pgvector")
    def test_of_nothing(self, pages):
        done = manage("index", "--hnsw", "make")
        assert done.code == 1
        assert "Nothing is indexed yet" in done.err

    @pytest.mark.skipif(ON_POSTGRESQL, reason="PostgreSQL has one")
    def test_in_memory(self, pages):
        build()
        done = manage("index", "--hnsw", "drop")
        assert done.code == 2
        assert "has no HNSW index" in done.err
