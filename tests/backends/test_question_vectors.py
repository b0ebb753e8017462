"""A question is embedded once for all that looks for something by it."""

from __future__ import annotations

import pytest
from wagtail.models import Locale

from finetune_switch.access import Asker
from finetune_switch.models import PreparedAnswer
from finetune_switch.search import retrieve, search
from tests.conversation_helpers import BY_MODEL, BY_RULE, FOLLOW_UP, TURNS, make_museum, switch_to
from tests.embedding_helpers import chooser
from tests.helpers import ask_sync
from tests.index_helpers import ANYTHING, build

pytestmark = pytest.mark.django_db(transaction=True)

QUESTION = "When does the museum open on Sundays?"
INDEXES = ("pages", "ArticlePageIndex")


@pytest.fixture
def museum(site, connections, settings, standin, make_page):
    """Pages in an index whose vectors come from a server."""
    chooser(settings)("openai")
    pages = make_museum(make_page)
    standin.clear()
    return pages


@pytest.fixture
def embedded(standin):
    """Each text that the server was asked to embed, as often as it was."""
    return lambda: [
        text
        for request in standin.requests
        if request.path.endswith("/embeddings")
        for text in request.json["input"]
    ]


def prepare(question, answer="At noon."):
    return PreparedAnswer.objects.create(
        examples=question, answer=answer, locale=Locale.get_default()
    )


class TestRetrieve:
    def test_several_indexes(self, museum, embedded):
        assert retrieve(QUESTION, asker=Asker.anonymous(), indexes=INDEXES, threshold=ANYTHING)
        assert embedded() == [QUESTION]

    def test_more_is_asked_for_where_much_may_not_be_shown(self, museum, embedded, monkeypatch):
        passages = retrieve(
            QUESTION, asker=Asker.anonymous(), indexes=["pages"], threshold=ANYTHING, limit=1
        )
        first = museum[passages[0].source.title]
        first.unpublish()
        monkeypatch.setattr("finetune_switch.search.retrieval.SURPLUS", (1, 2, 4))
        embedded_before = len(embedded())
        assert retrieve(
            QUESTION, asker=Asker.anonymous(), indexes=["pages"], threshold=ANYTHING, limit=1
        )
        assert embedded()[embedded_before:] == [QUESTION]


class TestSearch:
    def test_search(self, museum, embedded):
        found = search(QUESTION, indexes=INDEXES, threshold=ANYTHING)
        assert found.paginator.count > len(museum)
        assert embedded() == [QUESTION]

    def test_search_page_with_its_answer(self, museum, embedded, client, site):
        switch_to(site)
        response = client.get("/answers/search/", {"q": QUESTION})
        assert "noon" in response.content.decode()
        assert embedded() == [QUESTION]


class TestAnswer:
    def test_server_that_refuses_is_asked_once(self, museum, embedded, site, settings, standin):
        standin.add_model("refuses-later", listed=False)
        chooser(settings)("openai", "refuses-later")
        build()
        switch_to(site)
        prepare("Is there a cloakroom?")
        standin.clear()
        standin.add_model("refuses-later", listed=False, fault="unauthorized")
        asked = ask_sync(QUESTION, prepared=True)
        assert asked.failure.code == "unauthorized"
        assert embedded() == [QUESTION]

    def test_prepared_answers_and_pages(self, museum, embedded, site, standin):
        switch_to(site)
        prepare("Is there a cloakroom?")
        standin.clear()
        asked = ask_sync(QUESTION, prepared=True)
        assert "noon" in asked.text
        assert embedded() == [QUESTION]

    def test_follow_up(self, museum, embedded, site, standin):
        switch_to(site)
        prepare("Is there a cloakroom?")
        standin.clear()
        asked = ask_sync(FOLLOW_UP, turns=TURNS, prepared=True)
        assert asked.exchange.standalone_question == BY_MODEL
        assert embedded() == [FOLLOW_UP, BY_RULE, BY_MODEL]

    def test_follow_up_that_the_model_rewrites_as_the_rule_does(
        self, museum, embedded, site, standin, monkeypatch
    ):
        switch_to(site)
        monkeypatch.setattr(
            "finetune_switch.answers.opening.standalone_by_rule", lambda *args: BY_MODEL
        )
        standin.clear()
        ask_sync(FOLLOW_UP, turns=TURNS)
        assert embedded() == [BY_MODEL]
