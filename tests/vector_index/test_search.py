from __future__ import annotations

import asyncio

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from wagtail.models import Page, Site
from wagtail_vector_index.ai import get_embedding_backend
from wagtail_vector_index.storage.base import Document as TheirDocument
from wagtail_vector_index.storage.models import Embedding

from demo_site.models import ArticlePage, HomePage
from finetune_switch import adapters
from finetune_switch.access import Asker, asking_as
from finetune_switch.backends.embeddings.base import WrongDimensions
from finetune_switch.backends.embeddings.embedded import EmbeddedEmbedder
from finetune_switch.middleware import CurrentSiteMiddleware
from finetune_switch.models import Chunk
from finetune_switch.search import retrieve, similar_pages
from finetune_switch.vector_index.parts import is_filtered
from tests.helpers import run
from tests.index_helpers import ANYTHING, build
from tests.vector_index_helpers import (
    LAMP,
    QUESTION,
    ROPE,
    SOUP,
    call_async,
    call_sync,
    disable_exact_search,
    member,
    names,
    registering,
    restrict,
    writes,
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


@pytest.fixture(params=["exact", "store"])
def exact_or_store(request, monkeypatch):
    """Both ways of searching a part: exactly, and in the store."""
    if request.param == "store":
        disable_exact_search(monkeypatch)


@pytest.fixture(params=["sync", "async"])
def call(request):
    """Calls a method of an index, or its async variant."""
    return call_sync if request.param == "sync" else call_async


class TestSearch:
    def test_finds_pages(self, lamp, articles, call, exact_or_store):
        found = call(articles, "search", QUESTION)
        assert names(found) == ["Lamp", "Rope", "Café"]
        assert isinstance(found[0], ArticlePage)
        assert names(call(articles, "search", QUESTION, limit=1)) == ["Lamp"]
        assert call(articles, "search", QUESTION, limit=0) == []

    def test_same_pages_as_retrieval(self, pages, site, register, exact_or_store):
        build()
        everything = register(Page.objects.all(), name="EverythingIndex")
        for question in (QUESTION, "soup", "what is made by hand?", "harbour"):
            for index, alias in (
                (everything, "pages"),
                (everything, "EverythingIndex"),
                (ArticlePage.vector_index, "ArticlePageIndex"),
            ):
                passages = retrieve(
                    question,
                    asker=Asker.anonymous(),
                    site=site,
                    indexes=[alias],
                    threshold=ANYTHING,
                    each_source_once=True,
                )
                found = index.search(question)
                assert names(found) == [passage.source.title for passage in passages]
                assert len(found) >= 3

    def test_limit_counts_pages(self, make_page, site, articles, exact_or_store):
        long = "".join(f"<p>{LAMP} It is told for the {n}th time. {SOUP * 4}</p>" for n in range(9))
        page = make_page("Long", LAMP)
        page.body = [("paragraph", long)]
        page.save_revision().publish()
        for number in range(6):
            make_page(f"Page {number}", "The lamp of the lighthouse was lit by the same words.")
        articles.rebuild_index()
        assert Chunk.objects.filter(document__title="Long").count() > 5
        found = articles.search(QUESTION, limit=5)
        assert len(found) == len({page.pk for page in found}) == 5

    def test_page_with_only_a_title(self, site, articles):
        page = ArticlePage(
            title="The tide tables of Tarrowby", introduction="x", body=[("paragraph", "x")]
        )
        site.root_page.add_child(instance=page)
        ArticlePage.objects.update(introduction="", body=[])
        articles.rebuild_index()
        assert names(articles.search("tide tables")) == ["The tide tables of Tarrowby"]

    def test_empty_question(self, lamp, articles):
        assert articles.search("") == articles.search("   ") == []

    def test_without_index(self, pages, articles, call):
        assert call(articles, "search", QUESTION) == []
        assert call(articles, "find_similar", pages[0]) == []
        assert list(articles.get_similar_documents([0.5] * 512)) == []

    def test_only_embeds_the_question_and_never_writes(self, lamp, articles, monkeypatch):
        embedded = []
        embed = EmbeddedEmbedder.embed
        monkeypatch.setattr(
            EmbeddedEmbedder,
            "embed",
            lambda self, texts: embedded.extend(texts) or embed(self, texts),
        )
        with CaptureQueriesContext(
            connection,
        ) as queries:
            articles.search(QUESTION)
            articles.find_similar(lamp)
        assert writes(queries) == set()
        assert len(queries) < 40
        assert embedded == [QUESTION]
        assert not Embedding.objects.exists()

    def test_own_index_is_available_after_a_complete_build(self, lamp, articles):
        assert "pages" not in adapters.indexes()
        assert names(articles.search(QUESTION, limit=1)) == ["Lamp"]
        build()
        assert "pages" in adapters.indexes()
        assert names(articles.search(QUESTION, limit=1)) == ["Lamp"]


class TestPermissions:
    """Permissions and states are checked at the time of the search, without reindexing."""

    def everything(self, index, page):
        vector = next(get_embedding_backend("default").embed([LAMP]))
        contents = [d.metadata["content"] for d in index.get_similar_documents(vector)]
        return {
            *names(index.search(QUESTION)),
            *names(index.find_similar(page, include_self=True)),
            *names(index.query(QUESTION).sources),
            *(["Lamp"] if any("Pender" in content for content in contents) else []),
        }

    def test_private_page(self, lamp, articles):
        assert "Lamp" in self.everything(articles, lamp)
        restrict(lamp)
        assert self.everything(articles, lamp) == {"Café", "Rope"} | set()
        with asking_as(member()):
            assert "Lamp" in self.everything(articles, lamp)
        assert "Lamp" not in self.everything(articles, lamp)

    def test_page_indexed_as_private(self, pages, articles):
        restrict(pages[0])
        articles.rebuild_index()
        assert names(articles.search(QUESTION)) == ["Rope", "Café"]
        with asking_as(member()):
            assert names(articles.search(QUESTION, limit=1)) == ["Lamp"]

    def test_unpublished_and_deleted_pages(self, lamp, articles, pages):
        lamp.unpublish()
        assert "Lamp" not in self.everything(articles, lamp)
        pages[1].delete()
        assert names(articles.search(QUESTION)) == ["Rope"]

    def test_draft(self, lamp, articles, make_page):
        make_page("Draft", f"{LAMP} Or was it?", live=False)
        articles.rebuild_index()
        assert "Draft" not in self.everything(articles, lamp)

    def test_site_of_the_request(self, lamp, articles, settings):
        settings.ALLOWED_HOSTS = ["*"]
        elsewhere = Page.get_first_root_node().add_child(
            instance=HomePage(title="Other", slug="other", strapline="x", introduction="Other.")
        )
        Site.objects.create(hostname="other.example", root_page=elsewhere)
        elsewhere.add_child(instance=ArticlePage(title="Theirs", introduction=f"{LAMP} Indeed."))
        articles.rebuild_index()

        def on(host):
            view = CurrentSiteMiddleware(
                lambda request: HttpResponse(",".join(names(articles.search(QUESTION))))
            )
            return view(RequestFactory().get("/", headers={"host": host})).content.decode()

        assert on("other.example") == "Theirs"
        assert on("localhost") == "Lamp,Rope,Café"
        assert "Theirs" not in names(articles.search(QUESTION))


class TestAskingAs:
    def test_ends_with_the_block(self, lamp, articles, call):
        restrict(lamp)
        with asking_as(member()):
            assert "Lamp" in names(call(articles, "search", QUESTION))
            with asking_as(Asker.anonymous()):
                assert "Lamp" not in names(call(articles, "search", QUESTION))
            assert "Lamp" in names(call(articles, "find_similar", lamp, include_self=True))
        assert "Lamp" not in names(call(articles, "search", QUESTION))

    def test_ends_with_an_error(self, lamp, articles):
        restrict(lamp)
        with pytest.raises(ZeroDivisionError), asking_as(member()):
            _ = 1 / 0
        assert "Lamp" not in names(articles.search(QUESTION))

    def test_concurrent_tasks_are_isolated(self, lamp, articles):
        restrict(lamp)
        somebody = member()

        async def ask(asker):
            with asking_as(asker):
                await asyncio.sleep(0)
                return "Lamp" in names(await articles.asearch(QUESTION))

        async def both():
            return await asyncio.gather(*(ask(a) for a in [somebody, Asker.anonymous()] * 4))

        assert run(both()) == [True, False] * 4


class TestFindSimilar:
    def test_same_pages_as_similar_pages(self, pages, register):
        build()
        everything = register(Page.objects.all())
        for page in pages:
            assert names(everything.find_similar(page)) == names(similar_pages(page))

    def test_include_self(self, lamp, articles, call):
        assert "Lamp" not in names(call(articles, "find_similar", lamp))
        assert names(call(articles, "find_similar", lamp, include_self=True))[0] == "Lamp"
        assert len(call(articles, "find_similar", lamp, limit=1)) == 1
        assert names(articles.find_similar(Page.objects.get(pk=lamp.pk))) == ["Café", "Rope"]

    def test_edited_page_does_not_change_the_index(self, lamp, articles, call):
        lamp.introduction, lamp.body = SOUP, []
        with CaptureQueriesContext(connection) as queries:
            assert names(call(articles, "find_similar", lamp))[0] == "Café"
        assert writes(queries) == set()
        assert names(articles.search(QUESTION, limit=1)) == ["Lamp"]

    def test_unsaved_object(self, lamp, articles):
        draft = ArticlePage(title="Kippers", introduction="Kipper soup with bread.")
        assert names(articles.find_similar(draft, limit=1)) == ["Café"]
        assert articles.find_similar(ArticlePage(title="")) == []


class TestSimilarDocuments:
    def test_finds_documents(self, lamp, articles, exact_or_store):
        vector = next(get_embedding_backend("default").embed([LAMP]))
        first, *_others = found = list(articles.get_similar_documents(vector, limit=3))
        assert len(found) == 3
        assert isinstance(first, TheirDocument)
        assert first.metadata["object_id"] == str(lamp.pk)
        assert "Ada Pender" in first.metadata["content"]
        assert Chunk.objects.get(pk=first.embedding_pk).text == first.metadata["content"]
        assert len(first.vector) == 512
        assert articles.get_converter().from_document(first) == lamp

    def test_wrong_dimensions(self, lamp, articles):
        with pytest.raises(WrongDimensions):
            list(articles.get_similar_documents([0.1] * 1536))


class TestQuerysets:
    def test_filtered(self, lamp, make_page, register, exact_or_store):
        index = register(ArticlePage.objects.filter(title__startswith="C"))
        assert names(index.search(QUESTION)) == ["Café"]
        café = ArticlePage.objects.get(title="Café")
        café.title = "Kitchen"
        café.save()
        assert index.search(QUESTION) == []

    def test_sliced_combined_and_empty(self, lamp, register, exact_or_store):
        two = ArticlePage.objects.order_by("-pk")[:2]
        assert names(register(two).search(QUESTION)) == ["Rope", "Café"]
        lamps = ArticlePage.objects.filter(title="Lamp").order_by()
        union = lamps.union(ArticlePage.objects.filter(title="Rope").order_by())
        assert names(register(union).search(QUESTION)) == ["Lamp", "Rope"]
        assert register(ArticlePage.objects.none()).search(QUESTION) == []

    def test_several_models(self, lamp, site, register, exact_or_store):
        index = register(HomePage.objects.all(), ArticlePage.objects.filter(title="Lamp"))
        index.rebuild_index()
        found = index.search(QUESTION)
        assert [type(item) for item in found] == [ArticlePage, HomePage]

    def test_base_class_includes_subclasses(self, pages, register):
        index = register(Page.objects.all())
        index.rebuild_index()
        assert set(names(index.search(QUESTION))) == {"Lamp", "Café", "Rope", "Harbour"}

    def test_is_filtered(self):
        rows = ArticlePage.objects
        for queryset in (rows.all(), rows.live(), rows.live().order_by("title")):
            assert not is_filtered(queryset)
        for queryset in (
            *(rows.filter(title="x"), rows.exclude(title="x"), rows.not_live(), rows.none()),
            *(rows.live().filter(pk__gt=3), rows.all()[:9], rows.live().union(rows.live())),
        ):
            assert is_filtered(queryset)
