from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from taggit.models import Tag
from wagtail_vector_index.ai import get_embedding_backend
from wagtail_vector_index.storage import get_storage_provider
from wagtail_vector_index.storage.base import VectorIndex
from wagtail_vector_index.storage.models import (
    EmbeddableFieldsVectorIndexMixin,
    Embedding,
)

from demo_site.models import ArticlePage, BoatPage
from finetune_switch import adapters
from finetune_switch.access import Asker, asking_as
from finetune_switch.access.visibility import VISIBILITY_HOOK
from finetune_switch.adapters import Scope
from finetune_switch.backends.embeddings.embedded import EmbeddedEmbedder
from finetune_switch.exceptions import EmbeddingError
from finetune_switch.models import Document, EmbeddingSpace, PendingUpdate, Switch
from finetune_switch.vector_index.storage import SiteIndexMixin, SiteStorageProvider
from tests.index_helpers import ANYTHING, build
from tests.vector_index_helpers import (
    LAMP,
    QUESTION,
    ROPE,
    SOUP,
    call_async,
    call_sync,
    disable_exact_search,
    names,
    registering,
    restrict,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def articles():
    return ArticlePage.vector_index


@pytest.fixture
def pages(make_page):
    return [make_page("Lamp", LAMP), make_page("Café", SOUP), make_page("Rope", ROPE)]


@pytest.fixture
def lamp(pages, articles):
    articles.rebuild_index()
    return pages[0]


@pytest.fixture
def register():
    with registering() as register:
        yield register


@pytest.fixture
def hook():
    """Makes objects other than pages visible to everybody."""
    from wagtail import hooks

    with hooks.register_temporarily(VISIBILITY_HOOK, lambda asker, instance: True):
        yield


@pytest.fixture(params=["exact", "store"])
def exact_or_store(request, monkeypatch):
    """Both ways of searching a part: exactly, and in the store."""
    if request.param == "store":
        disable_exact_search(monkeypatch)


@pytest.fixture(params=["sync", "async"])
def call(request):
    """Calls a method of an index, or its async variant."""
    return call_sync if request.param == "sync" else call_async


class TestProvider:
    def test_demo_site_uses_it(self, articles):
        assert isinstance(get_storage_provider("default"), SiteStorageProvider)
        assert isinstance(articles, SiteIndexMixin)
        assert isinstance(articles._get_storage_provider(), SiteStorageProvider)

    def test_it_takes_no_options(self, settings):
        path = "finetune_switch.vector_index.storage.SiteStorageProvider"
        settings.WAGTAIL_VECTOR_INDEX_STORAGE_PROVIDERS = {
            "default": {"STORAGE_PROVIDER": path, "M": 16}
        }
        with pytest.raises(ImproperlyConfigured, match="'M'"):
            get_storage_provider("default")

    def test_index_without_querysets(self, site, register):
        index = type("Bare", (SiteIndexMixin, VectorIndex), {})()
        for call in (index.rebuild_index, index.clear, lambda: index.search("lamp")):
            with pytest.raises(ImproperlyConfigured, match="has no querysets"):
                call()

    def test_app_labels_are_unique(self):
        from django.apps import apps

        labels = [config.label for config in apps.get_app_configs()]
        assert len(labels) == len(set(labels))
        assert {"finetune_switch", "finetune_switch_vector_index"} <= set(labels)


class TestOtherModels:
    @pytest.fixture
    def tags(self, site, register):
        index = register(Tag.objects.all(), name="TagIndex")
        for name in ("Tide tables for the harbour", "Rules for mooring"):
            Tag.objects.create(name=name)
        index.rebuild_index()
        return index

    def test_found_with_permission(self, tags, call):
        assert call(tags, "search", "tide tables") == []
        boss = Asker.from_user(User.objects.create_superuser("boss"))
        with asking_as(boss):
            found = call(tags, "search", "tide tables")
            assert names(found)[0] == "Tide tables for the harbour"
            assert isinstance(found[0], Tag)
            assert names(call(tags, "find_similar", found[0])) == ["Rules for mooring"]

    def test_found_by_everybody_with_a_hook(self, hook, tags):
        assert names(tags.search("tide tables"))[0] == "Tide tables for the harbour"
        assert names(tags.query("When is the tide?").sources)

    def test_kept_up_to_date(self, hook, tags, settings):
        settings.TASKS = {
            "default": {"BACKEND": "django_tasks.backends.immediate.ImmediateBackend"}
        }
        first = Tag.objects.first()
        PendingUpdate.objects.all().delete()
        first.name = "Charts of the estuary"
        first.save()
        assert PendingUpdate.objects.filter(model="taggit.tag").exists()
        build()
        assert names(tags.search("charts of the estuary"))[0] == "Charts of the estuary"

    def test_unregistered_model(self, site):
        bases = (EmbeddableFieldsVectorIndexMixin, SiteIndexMixin, VectorIndex)
        index = type("Loose", bases, {"querysets": [Tag.objects.all()]})()
        with pytest.raises(ImproperlyConfigured, match=r"taggit\.Tag"):
            index.rebuild_index()


class TestWriting:
    def test_only_changed_texts_are_embedded(self, lamp, articles, monkeypatch):
        texts: list[str] = []
        embed = EmbeddedEmbedder.embed
        monkeypatch.setattr(
            EmbeddedEmbedder, "embed", lambda self, some: texts.extend(some) or embed(self, some)
        )
        articles.rebuild_index()
        assert texts == []
        lamp.introduction = "Something else altogether."
        lamp.save_revision().publish()
        articles.rebuild_index()
        assert texts
        assert not any("kipper" in text for text in texts)

    def test_unpublished_and_deleted_pages_are_removed(self, lamp, articles):
        lamp.unpublish()
        articles.rebuild_index()
        assert sorted(Document.objects.values_list("title", flat=True)) == ["Café", "Rope"]
        lamp.delete()
        BoatPage.vector_index.rebuild_index()
        assert Document.objects.count() == 2

    def test_update_vector_indexes(self, pages):
        call_command("update_vector_indexes", interactive=False, verbosity=0)
        assert Document.objects.count() == 4
        assert not Embedding.objects.exists()
        assert not EmbeddingSpace.objects.filter(is_active=True).exists()
        assert build().kept == 4

    def test_failure_keeps_existing_documents(self, lamp, articles, monkeypatch):
        def fail(self, texts):
            raise EmbeddingError("Off.", code="refused")

        lamp.introduction = "Something else altogether."
        lamp.save_revision().publish()
        with monkeypatch.context() as patch:
            patch.setattr(EmbeddedEmbedder, "embed", fail)
            with pytest.raises(EmbeddingError):
                articles.rebuild_index()
        assert names(articles.search(QUESTION, limit=1)) == ["Lamp"]

    def test_changed_embedding_model_builds_the_whole_index(self, pages, articles, monkeypatch):
        build()
        old = EmbeddingSpace.objects.get()
        EmbeddingSpace.objects.update(model_name="gone", connection="gone")
        articles.rebuild_index()
        new = EmbeddingSpace.objects.get()
        assert new.is_active
        assert new.pk != old.pk
        assert names(articles.search(QUESTION, limit=1)) == ["Lamp"]

    def test_upsert_and_delete(self, pages, articles, make_page):
        documents = list(articles.get_documents())
        articles.upsert(documents=[d for d in documents if "kipper" in d.metadata["content"]])
        assert names(articles.search(QUESTION)) == ["Café"]
        articles.upsert(documents=iter(documents))
        assert len(articles.search(QUESTION)) == 3
        vector = next(get_embedding_backend("default").embed([LAMP]))
        (document,) = articles.get_similar_documents(vector, limit=1)
        articles.delete(document_ids=[document.embedding_pk])
        assert names(articles.search(QUESTION)) == ["Rope", "Café"]
        articles.delete(document_ids=[])

    def test_clear_only_removes_its_own_objects(self, pages, articles, register):
        build()
        register(ArticlePage.objects.filter(title="Lamp")).clear()
        assert names(articles.search(QUESTION)) == ["Rope", "Café"]
        articles.clear()
        assert list(Document.objects.values_list("title", flat=True)) == ["Harbour"]


class TestRegisteredWithTheSwitch:
    def test_alias_and_label(self, pages, register):
        assert adapters.indexes()["ArticlePageIndex"].label == "Articles"
        assert adapters.indexes()["BoatPageIndex"].label == "Boats"
        build()
        assert {"pages", "ArticlePageIndex"} <= set(adapters.indexes())

    def test_scope_and_threshold(self, lamp, site, exact_or_store):
        def found(threshold=ANYTHING, limit=9, **scope):
            # New instances for each question.
            index = adapters.indexes()["ArticlePageIndex"]
            hits = index.search(QUESTION, limit=limit, scope=Scope(**scope), threshold=threshold)
            assert {hit.index for hit in hits} <= {"ArticlePageIndex"}
            return hits

        assert len(found()) == len(found(site_id=site.pk, locale_ids=frozenset({lamp.locale_id})))
        assert len(found(limit=2)) == 2
        assert found(site_id=site.pk + 1) == found(locale_ids=frozenset({9999})) == []
        best, second, *_others = found()
        assert len(found(threshold=(best.score + second.score) / 2)) == 1
        assert "text" in best.found_by
        restrict(lamp)
        ArticlePage.vector_index.rebuild_index()
        assert best.object_id not in {hit.object_id for hit in found(include_restricted=False)}
        assert best.object_id in {hit.object_id for hit in found()}

    def test_selected_for_a_site(self, pages, site, ask):
        build()
        Switch.objects.create(site=site, indexes=["ArticlePageIndex"], similarity_threshold=0.4)
        asked = ask(QUESTION, site=site)
        assert {passage.index for passage in asked.sources.passages} == {"ArticlePageIndex"}
        Switch.objects.update(indexes=["BoatPageIndex"])
        assert ask(QUESTION, site=site).sources.passages == []
