from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from wagtail.models import PageViewRestriction
from wagtail_vector_index.storage import registry
from wagtail_vector_index.storage.base import QueryResponse, VectorIndex
from wagtail_vector_index.storage.models import Embedding, PageEmbeddableFieldsVectorIndexMixin
from wagtail_vector_index.storage.numpy.provider import NumpyIndexMixin

from demo_site.models import ArticlePage
from demo_site.standin.behaviours import TEST_ANSWER
from finetune_switch import adapters
from finetune_switch.access import Asker, asking_as
from finetune_switch.exceptions import BackendError, InvalidQuestion
from finetune_switch.models import Exchange, Outcome, Switch
from finetune_switch.search import retrieve
from tests.helpers import make_backend, run

pytestmark = pytest.mark.django_db

LAMP = "The lighthouse lamp was first lit in 1871 by Ada Pender, the keeper's daughter."
SOUP = "The lighthouse café serves kipper soup with brown bread from noon until three."
QUESTION = "Who lit the lamp of the lighthouse?"
ECHO = {
    "CLASS": "wagtail_vector_index.ai_utils.backends.echo.EchoChatBackend",
    "CONFIG": {"MODEL_ID": "echo-1", "TOKEN_LIMIT": 2000},
}


@pytest.fixture(params=["sync", "async"])
def query(request):
    def ask(*args, asker=None, **kwargs):
        index = ArticlePage.vector_index

        async def wait():
            with asking_as(asker or Asker.anonymous()):
                return await index.aquery(*args, **kwargs)

        if request.param == "async":
            return run(wait())
        with asking_as(asker or Asker.anonymous()):
            return index.query(*args, **kwargs)

    return ask


@pytest.fixture
def switch(site, connections):
    switch = Switch.objects.create(site=site, similarity_threshold=0.3)
    switch.activate(make_backend("ollama"), expected=None)
    return switch


@pytest.fixture
def lamp(make_page, switch):
    page = make_page("Lamp", LAMP)
    make_page("Café", SOUP)
    ArticlePage.vector_index.rebuild_index()
    return page


class TestSiteProvider:
    def test_records_the_exchange(self, lamp, query, switch, site):
        response = query(QUESTION)
        assert isinstance(response, QueryResponse)
        assert response.response == TEST_ANSWER
        assert response.sources[0] == lamp
        exchange = Exchange.objects.get()
        assert (exchange.question, exchange.answer) == (QUESTION, TEST_ANSWER)
        assert (exchange.outcome, exchange.site) == (Outcome.COMPLETE, site)
        assert exchange.backend == switch.active
        assert exchange.passages[0]["source"]["title"] == "Lamp"
        assert exchange.passages[0]["index"] == "ArticlePageIndex"
        assert exchange.citations == [1]
        assert response.answer.exchange_id == exchange.pk
        assert [passage.as_dict() for passage in response.answer.passages] == exchange.passages

    def test_the_passages_of_our_retrieval(self, lamp, query, site):
        expected = retrieve(
            QUESTION,
            asker=Asker.anonymous(),
            site=site,
            indexes=["ArticlePageIndex"],
            threshold=0.3,
        )
        assert query(QUESTION).answer.passages == expected

    def test_uses_the_backends_own_prompt(self, lamp, query, standin, settings):
        settings.WAGTAIL_VECTOR_INDEX_QUERY_PROMPT = "Theirs."
        query(QUESTION)
        sent = str(standin.requests[0].json["messages"])
        assert "Ada Pender" in sent
        assert "Theirs." not in sent

    def test_sources_limit(self, make_page, switch, query):
        Switch.objects.update(similarity_threshold=0)
        long = "".join(f"<p>{LAMP} For the {n}th time, at length. {SOUP * 6}</p>" for n in range(9))
        page = make_page("Long", LAMP)
        page.body = [("paragraph", long)]
        page.save_revision().publish()
        for number in range(8):
            make_page(
                f"Page {number}", f"The lamp of the lighthouse was lit by hand number {number}."
            )
        ArticlePage.vector_index.rebuild_index()
        for limit in (1, 2, 7):
            response = query(QUESTION, sources_limit=limit)
            assert len(response.sources) == len(set(response.sources)) == limit
            numbers = [passage.number for passage in response.answer.passages]
            assert numbers == list(range(1, len(numbers) + 1))
            assert len({p.source.object_id for p in response.answer.passages}) == limit

    def test_private_page(self, lamp, query, standin):
        PageViewRestriction.objects.create(page=lamp, restriction_type="login")
        response = query(QUESTION)
        assert lamp not in response.sources
        assert "Pender" not in str([request.json for request in standin.requests])
        member = Asker.from_user(User.objects.create_user("member"))
        assert query(QUESTION, asker=member).sources[0] == lamp
        assert "Pender" in str(standin.requests[-1].json)

    def test_nothing_found(self, lamp, query, standin):
        Switch.objects.update(similarity_threshold=0.99)
        response = query("What does a wedding cost?")
        assert (response.response, response.sources) == ("I don't know.", [])
        assert standin.requests == []
        assert Exchange.objects.get().outcome == Outcome.NO_ANSWER

    def test_other_chat_backend(self, lamp, query, settings, standin):
        declared = settings.WAGTAIL_VECTOR_INDEX
        backends = {**declared["CHAT_BACKENDS"], "echo": ECHO}
        settings.WAGTAIL_VECTOR_INDEX = {**declared, "CHAT_BACKENDS": backends}
        assert query(QUESTION, chat_backend_alias="echo").response.startswith("This is an echo")
        assert standin.requests == []
        with pytest.raises(KeyError):
            query(QUESTION, chat_backend_alias="gone")

    def test_failures(self, lamp, query, switch):
        with pytest.raises(InvalidQuestion):
            query("  ")
        Switch.objects.update(
            active=make_backend("ollama", "fault-leaky-error", first_token_seconds=3)
        )
        with pytest.raises(BackendError, match="could not run the model"):
            query(QUESTION)
        assert Exchange.objects.get().outcome == Outcome.FAILED


class TestNumpyProvider:
    """Indexes with wagtail-vector-index's own provider work as before."""

    @pytest.fixture
    def theirs(self, switch, make_page):
        before = dict(registry._registry)
        bases = (PageEmbeddableFieldsVectorIndexMixin, NumpyIndexMixin, VectorIndex)
        index = type("TheirsIndex", bases, {"querysets": [ArticlePage.objects.all()]})()
        registry.register_index(index)
        make_page("Lamp", LAMP)
        make_page("Café", SOUP)
        index.rebuild_index()
        yield index
        registry._registry.clear()
        registry._registry.update(before)

    def test_query_uses_the_switch_with_its_own_prompt(self, theirs, standin):
        response = theirs.query(QUESTION)
        assert response.response == TEST_ANSWER
        assert "Use the following context" in standin.requests[0].json["messages"][0]["content"]
        assert "Ada Pender" in standin.requests[0].json["messages"][1]["content"]
        assert Exchange.objects.get().passages == []
        assert Embedding.objects.exists()

    def test_retrieval_searches_it(self, theirs, site):
        assert "TheirsIndex" in adapters.indexes()
        (best, *_others) = retrieve(QUESTION, asker=Asker.anonymous(), indexes=["TheirsIndex"])
        assert (best.source.title, best.index) == ("Lamp", "TheirsIndex")
        assert theirs.search(QUESTION)
