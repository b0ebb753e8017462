"""The search page without a script, and the search as JSON: limits and costs."""

from __future__ import annotations

import pytest
from bs4 import BeautifulSoup
from django.contrib.auth.models import User
from django.core.cache.backends.locmem import LocMemCache
from django.db import connection
from django.template import RequestContext, Template
from django.test import Client
from django.test.utils import CaptureQueriesContext

from finetune_switch.limits.throttling import REQUESTS_FOR_EACH_QUESTION
from finetune_switch.models import Exchange, Switch
from tests.embedding_helpers import chooser
from tests.helpers import make_backend
from tests.index_helpers import build

pytestmark = pytest.mark.django_db(transaction=True)

QUESTION = "When does the lighthouse open?"
NOT_THERE = "Who won the chess championship?"
PAGE = "/answers/search/"
RESULTS = "/answers/results/"


class FailingCache(LocMemCache):
    """A cache whose server is down."""

    def get(self, *args, **kwargs):
        raise ConnectionError("no cache at redis://10.0.0.7")

    add = set = incr = get_many = delete = get_or_set = get


@pytest.fixture
def visitors(settings):
    """Sets options for visitors."""

    def set_options(**options):
        settings.FINETUNE_SWITCH = {**settings.FINETUNE_SWITCH, "VISITORS": options}

    return set_options


@pytest.fixture
def lighthouse(site, connections, standin, make_page, settings, quiet_minute):
    """A page in an index whose embeddings are hosted, and a model that answers."""
    page = make_page("Lighthouse", "The lighthouse opens at 9am, and a ticket costs £24.")
    standin.add_model("own-embed", capabilities=("embedding",), listed=False)
    chooser(settings)("openai", "own-embed")
    build()
    standin.add_model("keeper", listed=False, answer="It opens at nine. [1]")
    Switch.objects.create(site=site, similarity_threshold=0.2).activate(
        make_backend("ollama", "keeper"), expected=None
    )
    standin.clear()
    return page


def embeddings(standin):
    return [
        text for r in standin.requests if r.path.endswith("embeddings") for text in r.json["input"]
    ]


def get(client, path, question=QUESTION, **query):
    return client.get(path, {"q": question, **query}, headers={"sec-fetch-site": "same-origin"})


def statuses(client, path, times, **query):
    return [get(client, path, **query).status_code for _ in range(times)]


class TestLimits:
    @pytest.mark.parametrize("path", [RESULTS, PAGE])
    def test_a_loop_of_searches_buys_no_more_embeddings_than_the_limit(
        self, client, lighthouse, visitors, standin, path
    ):
        visitors(QUESTIONS_A_MINUTE=2)
        most = 2 * REQUESTS_FOR_EACH_QUESTION
        # With "later" no model is asked, and only the search counts.
        asked = statuses(client, path, most + 30, answer="later")
        assert asked == [200] * most + [429] * 30
        assert embeddings(standin) == [QUESTION] * most

    def test_both_ways_to_search_share_one_limit(self, client, lighthouse, visitors):
        visitors(QUESTIONS_A_MINUTE=1)
        assert set(statuses(client, RESULTS, REQUESTS_FOR_EACH_QUESTION)) == {200}
        assert get(client, PAGE, answer="later").status_code == 429

    def test_json_says_when_to_search_again(self, client, lighthouse, visitors):
        visitors(QUESTIONS_A_MINUTE=1)
        statuses(client, RESULTS, REQUESTS_FOR_EACH_QUESTION)
        refused = get(client, RESULTS)
        assert (refused.json()["code"], refused["Retry-After"]) == ("too_many", "31")
        assert refused.json()["message"] == (
            "Too many requests in a short time. Try again in 31 seconds."
        )
        assert get(client, RESULTS, locale="de").json()["code"] == "too_many"

    def test_the_page_keeps_its_form_beside_the_sentence(
        self, client, lighthouse, visitors, standin
    ):
        visitors(QUESTIONS_A_DAY=1)
        statuses(client, PAGE, REQUESTS_FOR_EACH_QUESTION, answer="later")
        standin.clear()
        response = get(client, PAGE)
        page = BeautifulSoup(response.content, "html.parser")
        assert (response.status_code, response["Retry-After"]) == (429, "41370")
        assert page.select_one("[role=alert]").get_text() == (
            "You have reached today's limit. Try again tomorrow."
        )
        assert page.select_one("form input[name=q]")["value"] == QUESTION
        assert page.select_one(".finetune-results, .finetune-answer") is None
        assert standin.requests == []
        assert not Exchange.objects.exists()

    def test_a_whole_site_has_a_limit_of_its_own(self, client, lighthouse, visitors, standin):
        visitors(SITE_QUESTIONS_A_DAY=1, QUESTIONS_A_MINUTE=None, QUESTIONS_A_DAY=None)
        for number in range(REQUESTS_FOR_EACH_QUESTION):
            other = Client(REMOTE_ADDR=f"192.0.2.{number}")
            assert get(other, RESULTS).status_code == 200
        standin.clear()
        refused = get(client, RESULTS)
        assert (refused.status_code, refused.json()["code"]) == (503, "budget")
        assert refused["Retry-After"] == "41370"
        page = get(client, PAGE)
        assert page.status_code == 503
        assert "This site has reached today" in page.content.decode()
        assert standin.requests == []

    def test_who_is_over_the_limit_uses_up_nothing_of_the_sites(self, client, lighthouse, visitors):
        visitors(SITE_QUESTIONS_A_DAY=2, QUESTIONS_A_MINUTE=1)
        statuses(client, RESULTS, 4 * REQUESTS_FOR_EACH_QUESTION)
        assert get(Client(REMOTE_ADDR="192.0.2.9"), RESULTS).status_code == 200

    def test_visitors_share_no_limit_and_an_account_has_its_own(self, client, lighthouse, visitors):
        visitors(QUESTIONS_A_MINUTE=1)
        statuses(client, RESULTS, REQUESTS_FOR_EACH_QUESTION)
        assert get(client, RESULTS).status_code == 429
        assert get(Client(REMOTE_ADDR="192.0.2.9"), RESULTS).status_code == 200
        client.force_login(User.objects.create_superuser("nell"))
        asked = statuses(client, RESULTS, REQUESTS_FOR_EACH_QUESTION + 1)
        assert asked == [200] * REQUESTS_FOR_EACH_QUESTION + [429]

    def test_a_search_uses_up_no_question_and_a_question_no_search(
        self, client, lighthouse, visitors
    ):
        visitors(QUESTIONS_A_MINUTE=1)
        statuses(client, RESULTS, REQUESTS_FOR_EACH_QUESTION - 1)
        answered = get(client, PAGE)
        assert answered.status_code == 200
        assert "It opens at nine." in answered.content.decode()

    def test_limits_can_be_off(self, client, lighthouse, visitors):
        visitors(QUESTIONS_A_MINUTE=None, QUESTIONS_A_DAY=None, SITE_QUESTIONS_A_DAY=None)
        assert set(statuses(client, RESULTS, 110)) == {200}

    def test_a_cache_that_is_down_stops_no_search(self, client, lighthouse, visitors, settings):
        visitors(QUESTIONS_A_MINUTE=1, CACHE="limits")
        name = f"{__name__}.{FailingCache.__name__}"
        settings.CACHES = settings.CACHES | {"limits": {"BACKEND": name}}
        asked = statuses(client, RESULTS, REQUESTS_FOR_EACH_QUESTION + 2)
        assert set(asked + statuses(client, PAGE, 2)) == {200}

    @pytest.mark.parametrize("path", [RESULTS, PAGE])
    def test_what_is_no_question_is_not_searched_for(
        self, client, lighthouse, visitors, standin, path
    ):
        visitors(QUESTIONS_A_MINUTE=1)
        for question in ("", "\x00", "a" * 1001):
            statuses(client, path, REQUESTS_FOR_EACH_QUESTION, question=question)
        assert standin.requests == []
        assert get(client, path).status_code == 200


def test_similar_pages_buy_no_embedding(rf, lighthouse, make_page, standin):
    """The tag has no limit of its own: it compares vectors that are stored."""
    make_page("Lamp", "The lamp of the lighthouse is lit at dusk.")
    build()
    standin.clear()
    template = Template(
        "{% load finetune_switch_tags %}{% similar_pages page as pages %}"
        "{% for page in pages %}{{ page.title }}{% endfor %}"
    )
    shown = template.render(RequestContext(rf.get("/"), {"page": lighthouse}))
    assert "Lamp" in shown
    assert standin.requests == []


class TestOnce:
    """A search page without a script looks once for what it lists and what the model reads."""

    @pytest.mark.parametrize("question", [QUESTION, NOT_THERE])
    def test_the_page_with_its_answer_buys_one_embedding(
        self, client, lighthouse, standin, question
    ):
        assert get(client, PAGE, question).status_code == 200
        assert embeddings(standin) == [question]

    def test_the_closest_pages_cost_no_second_embedding(self, client, lighthouse, standin):
        assert get(client, RESULTS, NOT_THERE).json()["is_closest"]
        assert embeddings(standin) == [NOT_THERE]

    def test_a_server_that_is_down_is_asked_once(self, client, lighthouse, standin, settings):
        standin.add_model("own-embed", listed=False, fault="unauthorized")
        page = get(client, PAGE)
        assert 'role="alert"' in page.content.decode()
        assert len([r for r in standin.requests if r.path.endswith("embeddings")]) == 1

    def test_the_chunks_are_looked_up_once(self, client, lighthouse):
        # The first search of a process loads the vectors.
        get(client, RESULTS)
        counts = []
        for query in ({"answer": "later"}, {}):
            with CaptureQueriesContext(connection) as queries:
                get(client, PAGE, **query)
            chunks = [q for q in queries if 'FROM "finetune_switch_chunk"' in q["sql"]]
            counts.append(len(chunks))
        assert counts[0] == counts[1] > 0

    def test_the_answer_is_made_from_the_best_passages_numbered_from_one(
        self, client, lighthouse, make_page, site
    ):
        for number in range(12):
            make_page(f"Lighthouse {number}", f"The lighthouse opens at {number}.")
        build()
        Switch.objects.update(passages=3)
        get(client, PAGE)
        by_page = Exchange.objects.get().passages
        client.post(
            "/answers/ask/", {"q": QUESTION}, headers={"sec-fetch-site": "same-origin"}
        ).getvalue()
        by_stream = Exchange.objects.order_by("-opened_at")[0].passages
        assert [passage["number"] for passage in by_page] == [1, 2, 3]
        assert by_page == by_stream
