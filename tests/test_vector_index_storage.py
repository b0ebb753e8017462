"""wagtail-vector-index's own calls over our storage provider find what our retrieval finds."""

from __future__ import annotations

import asyncio
import contextvars

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connection
from django.http import HttpResponse
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from taggit.models import Tag
from wagtail.models import Page, PageViewRestriction, Site
from wagtail_vector_index.ai import get_embedding_backend
from wagtail_vector_index.storage import get_storage_provider, registry
from wagtail_vector_index.storage.base import Document as TheirDocument
from wagtail_vector_index.storage.base import VectorIndex
from wagtail_vector_index.storage.models import (
    EmbeddableFieldsVectorIndexMixin,
    Embedding,
    PageEmbeddableFieldsVectorIndexMixin,
)

from demo_site.models import ArticlePage, BoatPage, HomePage
from finetune_switch import adapters
from finetune_switch.adapters import Scope
from finetune_switch.askers import Asker, asking_as
from finetune_switch.embeddings.base import WrongDimensions
from finetune_switch.embeddings.embedded import EmbeddedEmbedder
from finetune_switch.exceptions import EmbeddingError
from finetune_switch.middleware import CurrentSiteMiddleware
from finetune_switch.models import Chunk, Document, EmbeddingSpace, PendingUpdate, Switch
from finetune_switch.retrieval import retrieve, similar_pages
from finetune_switch.vector_index import parts
from finetune_switch.vector_index.parts import is_narrow
from finetune_switch.vector_index.storage import SiteIndexMixin, SiteStorageProvider
from finetune_switch.visibility import VISIBILITY_HOOK
from tests.helpers import run
from tests.index_helpers import ANYTHING, build

pytestmark = pytest.mark.django_db(transaction=True)

LAMP = "The lighthouse lamp was first lit in 1871 by Ada Pender, the keeper's daughter."
SOUP = "The lighthouse café serves kipper soup with brown bread from noon until three."
ROPE = "Rope for the boats is walked by hand in the long shed behind the chandler's."
QUESTION = "Who lit the lamp of the lighthouse?"


def restrict(page):
    return PageViewRestriction.objects.create(page=page, restriction_type=PageViewRestriction.LOGIN)


def member():
    return Asker.from_user(User.objects.create_user("member"))


def run_here(coroutine):
    """In the context of the caller, as a server's own loop would."""

    async def wait():
        return await asyncio.create_task(coroutine, context=context)

    context = contextvars.copy_context()
    return run(wait())


def names(objects):
    return [str(item) for item in objects]


def writes(queries):
    verbs = {query["sql"].split()[0].upper() for query in queries}
    return verbs - {"SELECT", "DECLARE", "WITH", "FETCH", "CLOSE"}


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
    """Registers indexes over querysets for one test, over our storage provider or another."""
    before = dict(registry._registry)

    def add(*querysets, name="TestIndex", provider=SiteStorageProvider, **values):
        of_pages = issubclass(querysets[0].model, Page) if querysets else False
        kind = (
            PageEmbeddableFieldsVectorIndexMixin if of_pages else EmbeddableFieldsVectorIndexMixin
        )
        bases = (kind, provider.index_mixin, VectorIndex)
        index = type(name, bases, {"querysets": list(querysets), **values})()
        registry.register_index(index)
        return index

    yield add
    registry._registry.clear()
    registry._registry.update(before)


@pytest.fixture
def hook():
    """Lets everybody see what is no page."""
    from wagtail import hooks

    with hooks.register_temporarily(VISIBILITY_HOOK, lambda asker, instance: True):
        yield


@pytest.fixture(params=["few", "many"])
def few_or_many(request, monkeypatch):
    """Parts that are searched exactly, and parts of which the store is asked."""
    if request.param == "many":
        for module in (parts, __import__("finetune_switch.vector_index.searching", fromlist=["x"])):
            monkeypatch.setattr(module, "FEW", 0)


@pytest.fixture(params=["sync", "async"])
def call(request):
    """Calls ``search``, ``find_similar`` or ``query`` of an index either way."""

    def make(index, verb, *args, **kwargs):
        if request.param == "sync":
            return getattr(index, verb)(*args, **kwargs)
        coroutine = getattr(index, f"a{verb}")(*args, **kwargs)
        return run_here(coroutine)

    return make


class TestProvider:
    def test_the_demo_uses_it(self, articles):
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

    def test_an_index_without_querysets(self, site, register):
        index = type("Bare", (SiteIndexMixin, VectorIndex), {})()
        for call in (index.rebuild_index, index.clear, lambda: index.search("lamp")):
            with pytest.raises(ImproperlyConfigured, match="has no querysets"):
                call()

    def test_no_label_of_an_app_is_there_twice(self):
        from django.apps import apps

        labels = [config.label for config in apps.get_app_configs()]
        assert len(labels) == len(set(labels))
        assert {"finetune_switch", "finetune_switch_vector_index"} <= set(labels)


class TestSearch:
    def test_finds_the_page_that_says_it(self, lamp, articles, call, few_or_many):
        found = call(articles, "search", QUESTION)
        assert names(found) == ["Lamp", "Café", "Rope"]
        assert isinstance(found[0], ArticlePage)
        assert names(call(articles, "search", QUESTION, limit=1)) == ["Lamp"]
        assert call(articles, "search", QUESTION, limit=0) == []

    def test_the_same_pages_as_our_retrieval(self, pages, site, register, few_or_many):
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

    def test_five_are_five(self, make_page, site, articles, few_or_many):
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

    def test_an_object_with_only_a_title(self, site, articles):
        page = ArticlePage(
            title="The tide tables of Tarrowby", introduction="x", body=[("paragraph", "x")]
        )
        site.root_page.add_child(instance=page)
        ArticlePage.objects.update(introduction="", body=[])
        articles.rebuild_index()
        assert names(articles.search("tide tables")) == ["The tide tables of Tarrowby"]

    def test_a_question_that_says_nothing(self, lamp, articles):
        assert articles.search("") == articles.search("   ") == []

    def test_where_nothing_was_indexed(self, pages, articles, call):
        assert call(articles, "search", QUESTION) == []
        assert call(articles, "find_similar", pages[0]) == []
        assert list(articles.get_similar_documents([0.5] * 256)) == []

    def test_writes_nothing_and_embeds_nothing_anew(self, lamp, articles, monkeypatch):
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

    def test_the_sites_own_index_answers_only_when_it_is_whole(self, lamp, articles):
        assert "pages" not in adapters.indexes()
        assert names(articles.search(QUESTION, limit=1)) == ["Lamp"]
        build()
        assert "pages" in adapters.indexes()
        assert names(articles.search(QUESTION, limit=1)) == ["Lamp"]


class TestWhoSeesWhat:
    """Nothing is indexed again in these tests."""

    def everything(self, index, page):
        vector = next(get_embedding_backend("default").embed([LAMP]))
        contents = [d.metadata["content"] for d in index.get_similar_documents(vector)]
        return {
            *names(index.search(QUESTION)),
            *names(index.find_similar(page, include_self=True)),
            *names(index.query(QUESTION).sources),
            *(["Lamp"] if any("Pender" in content for content in contents) else []),
        }

    def test_not_what_is_private(self, lamp, articles):
        assert "Lamp" in self.everything(articles, lamp)
        restrict(lamp)
        assert self.everything(articles, lamp) == {"Café", "Rope"} | set()
        with asking_as(member()):
            assert "Lamp" in self.everything(articles, lamp)
        assert "Lamp" not in self.everything(articles, lamp)

    def test_private_when_it_was_indexed(self, pages, articles):
        restrict(pages[0])
        articles.rebuild_index()
        assert names(articles.search(QUESTION)) == ["Café", "Rope"]
        with asking_as(member()):
            assert names(articles.search(QUESTION, limit=1)) == ["Lamp"]

    def test_not_what_was_unpublished_or_deleted(self, lamp, articles, pages):
        lamp.unpublish()
        assert "Lamp" not in self.everything(articles, lamp)
        pages[1].delete()
        assert names(articles.search(QUESTION)) == ["Rope"]

    def test_not_a_draft(self, lamp, articles, make_page):
        make_page("Draft", f"{LAMP} Or was it?", live=False)
        articles.rebuild_index()
        assert "Draft" not in self.everything(articles, lamp)

    def test_of_the_requests_site(self, lamp, articles, settings):
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
        assert on("localhost") == "Lamp,Café,Rope"
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

    def test_tasks_do_not_see_each_others(self, lamp, articles):
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
    def test_the_same_pages_as_ours(self, pages, register):
        build()
        everything = register(Page.objects.all())
        for page in pages:
            assert names(everything.find_similar(page)) == names(similar_pages(page))

    def test_itself_only_when_asked_for(self, lamp, articles, call):
        assert "Lamp" not in names(call(articles, "find_similar", lamp))
        assert names(call(articles, "find_similar", lamp, include_self=True))[0] == "Lamp"
        assert len(call(articles, "find_similar", lamp, limit=1)) == 1
        assert names(articles.find_similar(Page.objects.get(pk=lamp.pk))) == ["Café", "Rope"]

    def test_an_edited_page_stays_in_the_index(self, lamp, articles, call):
        lamp.introduction, lamp.body = SOUP, []
        with CaptureQueriesContext(connection) as queries:
            assert names(call(articles, "find_similar", lamp))[0] == "Café"
        assert writes(queries) == set()
        assert names(articles.search(QUESTION, limit=1)) == ["Lamp"]

    def test_of_an_object_that_was_never_saved(self, lamp, articles):
        draft = ArticlePage(title="Kippers", introduction="Kipper soup with bread.")
        assert names(articles.find_similar(draft, limit=1)) == ["Café"]
        assert articles.find_similar(ArticlePage(title="")) == []


class TestSimilarDocuments:
    def test_as_documents(self, lamp, articles, few_or_many):
        vector = next(get_embedding_backend("default").embed([LAMP]))
        first, *_others = found = list(articles.get_similar_documents(vector, limit=3))
        assert len(found) == 3
        assert isinstance(first, TheirDocument)
        assert first.metadata["object_id"] == str(lamp.pk)
        assert "Ada Pender" in first.metadata["content"]
        assert Chunk.objects.get(pk=first.embedding_pk).text == first.metadata["content"]
        assert len(first.vector) == 256
        assert articles.get_converter().from_document(first) == lamp

    def test_of_another_model(self, lamp, articles):
        with pytest.raises(WrongDimensions):
            list(articles.get_similar_documents([0.1] * 1536))


class TestQuerysets:
    def test_a_filtered_one(self, lamp, make_page, register, few_or_many):
        index = register(ArticlePage.objects.filter(title__startswith="C"))
        assert names(index.search(QUESTION)) == ["Café"]
        café = ArticlePage.objects.get(title="Café")
        café.title = "Kitchen"
        café.save()
        assert index.search(QUESTION) == []

    def test_a_sliced_one_and_an_empty_one(self, lamp, register, few_or_many):
        two = ArticlePage.objects.order_by("-pk")[:2]
        assert names(register(two).search(QUESTION)) == ["Café", "Rope"]
        lamps = ArticlePage.objects.filter(title="Lamp").order_by()
        union = lamps.union(ArticlePage.objects.filter(title="Rope").order_by())
        assert names(register(union).search(QUESTION)) == ["Lamp", "Rope"]
        assert register(ArticlePage.objects.none()).search(QUESTION) == []

    def test_several(self, lamp, site, register, few_or_many):
        index = register(HomePage.objects.all(), ArticlePage.objects.filter(title="Lamp"))
        index.rebuild_index()
        found = index.search(QUESTION)
        assert [type(item) for item in found] == [ArticlePage, HomePage]

    def test_a_base_class_finds_every_type(self, pages, register):
        index = register(Page.objects.all())
        index.rebuild_index()
        assert set(names(index.search(QUESTION))) == {"Lamp", "Café", "Rope", "Harbour"}

    def test_which_are_narrow(self):
        rows = ArticlePage.objects
        for queryset in (rows.all(), rows.live(), rows.live().order_by("title")):
            assert not is_narrow(queryset)
        for queryset in (
            *(rows.filter(title="x"), rows.exclude(title="x"), rows.not_live(), rows.none()),
            *(rows.live().filter(pk__gt=3), rows.all()[:9], rows.live().union(rows.live())),
        ):
            assert is_narrow(queryset)


class TestOtherModels:
    @pytest.fixture
    def tags(self, site, register):
        index = register(Tag.objects.all(), name="TagIndex")
        for name in ("Tide tables for the harbour", "Rules for mooring"):
            Tag.objects.create(name=name)
        index.rebuild_index()
        return index

    def test_are_found_by_who_may_see_them(self, tags, call):
        assert call(tags, "search", "tide tables") == []
        boss = Asker.from_user(User.objects.create_superuser("boss"))
        with asking_as(boss):
            found = call(tags, "search", "tide tables")
            assert names(found)[0] == "Tide tables for the harbour"
            assert isinstance(found[0], Tag)
            assert names(call(tags, "find_similar", found[0])) == ["Rules for mooring"]

    def test_by_everybody_where_a_hook_says_so(self, hook, tags):
        assert names(tags.search("tide tables"))[0] == "Tide tables for the harbour"
        assert names(tags.query("When is the tide?").sources)

    def test_are_kept_up(self, hook, tags, settings):
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

    def test_one_that_is_not_registered(self, site):
        bases = (EmbeddableFieldsVectorIndexMixin, SiteIndexMixin, VectorIndex)
        index = type("Loose", bases, {"querysets": [Tag.objects.all()]})()
        with pytest.raises(ImproperlyConfigured, match=r"taggit\.Tag"):
            index.rebuild_index()


class TestWriting:
    def test_only_what_changed_is_embedded(self, lamp, articles, monkeypatch):
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

    def test_what_is_gone_is_removed(self, lamp, articles):
        lamp.unpublish()
        articles.rebuild_index()
        assert sorted(Document.objects.values_list("title", flat=True)) == ["Café", "Rope"]
        lamp.delete()
        BoatPage.vector_index.rebuild_index()
        assert Document.objects.count() == 2

    def test_all_of_them_by_the_command(self, pages):
        call_command("update_vector_indexes", interactive=False, verbosity=0)
        assert Document.objects.count() == 4
        assert not Embedding.objects.exists()
        assert not EmbeddingSpace.objects.filter(is_active=True).exists()
        assert build().kept == 4

    def test_a_service_that_fails_leaves_the_old_ones(self, lamp, articles, monkeypatch):
        def fail(self, texts):
            raise EmbeddingError("Off.", code="refused")

        lamp.introduction = "Something else altogether."
        lamp.save_revision().publish()
        with monkeypatch.context() as patch:
            patch.setattr(EmbeddedEmbedder, "embed", fail)
            with pytest.raises(EmbeddingError):
                articles.rebuild_index()
        assert names(articles.search(QUESTION, limit=1)) == ["Lamp"]

    def test_another_embedding_model_means_a_whole_build(self, pages, articles, monkeypatch):
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
        assert names(articles.search(QUESTION)) == ["Café", "Rope"]
        articles.delete(document_ids=[])

    def test_clear_takes_only_its_own(self, pages, articles, register):
        build()
        register(ArticlePage.objects.filter(title="Lamp")).clear()
        assert names(articles.search(QUESTION)) == ["Café", "Rope"]
        articles.clear()
        assert list(Document.objects.values_list("title", flat=True)) == ["Harbour"]


class TestForTheSwitch:
    """Beside the site's own, to be chosen for a site."""

    def test_by_alias_and_with_a_name(self, pages, register):
        assert adapters.indexes()["ArticlePageIndex"].label == "Articles"
        assert adapters.indexes()["BoatPageIndex"].label == "Boats"
        build()
        assert {"pages", "ArticlePageIndex"} <= set(adapters.indexes())

    def test_scope_and_threshold(self, lamp, site, few_or_many):
        def found(threshold=ANYTHING, limit=9, **scope):
            # Made anew for each question.
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

    def test_chosen_for_a_site(self, pages, site, ask):
        build()
        Switch.objects.create(site=site, indexes=["ArticlePageIndex"], similarity_threshold=0.4)
        asked = ask(QUESTION, site=site)
        assert {passage.index for passage in asked.sources.passages} == {"ArticlePageIndex"}
        Switch.objects.update(indexes=["BoatPageIndex"])
        assert ask(QUESTION, site=site).sources.passages == []
