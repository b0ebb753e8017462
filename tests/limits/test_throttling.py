"""Limits on what visitors ask: each of them, a site, at once, and when the cache fails."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache, caches
from django.core.cache.backends.locmem import LocMemCache
from django.test import Client, RequestFactory
from wagtail.models import Site

from finetune_switch.limits import budgets, throttling
from finetune_switch.limits import counters as counting
from finetune_switch.models import Exchange, Origin, Outcome, Switch
from tests.helpers import make_backend
from tests.index_helpers import build
from tests.visitor_helpers import ask_visitor, events

pytestmark = pytest.mark.django_db

QUESTION = "When does the lighthouse open?"
PRICED = {"prompt_price": Decimal(90_000), "completion_price": Decimal(0)}
"""Nine cents a token of the prompt: one question costs more than most budgets."""


class FailingCache(LocMemCache):
    """As one whose server is down."""

    def get(self, *args, **kwargs):
        raise ConnectionError("no cache at redis://10.0.0.7")

    add = set = incr = get_many = delete = get_or_set = get


class FullCache(LocMemCache):
    """As one that has no room: it says so, or it says nothing and forgets."""

    def add(self, *args, **kwargs):
        return False

    def set(self, *args, **kwargs):
        pass


@pytest.fixture
def visitors(settings):
    """Sets options for visitors."""

    def set_options(**options):
        settings.FINETUNE_SWITCH = {**settings.FINETUNE_SWITCH, "VISITORS": options}

    return set_options


@pytest.fixture
def use_cache(settings):
    """Makes the cache "limits" one of that class. Wagtail itself needs one that works."""

    def use(cache_class):
        name = f"{__name__}.{cache_class.__name__}"
        others = {"BACKEND": name, "LOCATION": cache_class.__name__}
        settings.CACHES = settings.CACHES | {"limits": others}

    return use


@pytest.fixture
def lighthouse(site, connections, standin, make_page):
    page = make_page("Lighthouse", "The lighthouse opens at 9am, and a ticket costs £24.")
    build()
    standin.add_model("keeper", listed=False, answer="It opens at nine. [1]")
    switch = Switch.objects.create(site=site)
    switch.activate(make_backend("ollama", "keeper", **PRICED), expected=None)
    standin.clear()
    return page


@pytest.fixture(autouse=True)
def nobody_was_warned(quiet_minute, monkeypatch):
    monkeypatch.setattr(counting, "_warned_at", None)
    monkeypatch.setattr(throttling, "_warned_of_proxy", False)


def read(response):
    """The text of an answer that was streamed to its end."""
    assert response.status_code == 200, response.content
    return "".join(data.get("text", "") for name, data in events(response) if name == "text")


def assert_refused(response, status, code, seconds=None):
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.json()["message"].endswith(".")
    assert response.json()["search_url"] == "/answers/search/"
    assert response.headers.get("Retry-After") == (None if seconds is None else str(seconds))


class TestEachVisitor:
    def test_too_many_in_a_minute(self, client, lighthouse, visitors, standin):
        visitors(QUESTIONS_A_MINUTE=2)
        assert read(ask_visitor(client))
        assert read(ask_visitor(client))
        standin.clear()
        assert_refused(ask_visitor(client), 429, "too_many", 31)
        assert standin.requests == []

    def test_too_many_in_a_day(self, client, lighthouse, visitors):
        visitors(QUESTIONS_A_DAY=1)
        assert read(ask_visitor(client))
        assert_refused(ask_visitor(client), 429, "too_many", 41370)

    def test_the_sentence_is_in_the_language_of_the_page(self, client, lighthouse, visitors):
        visitors(QUESTIONS_A_MINUTE=1)
        read(ask_visitor(client))
        assert "Ask again in 31 seconds." in ask_visitor(client).json()["message"]

    def test_another_visitor_and_another_site_have_limits_of_their_own(
        self, client, lighthouse, visitors, site, settings
    ):
        visitors(QUESTIONS_A_MINUTE=1)
        settings.ALLOWED_HOSTS = ["*"]
        Site.objects.create(hostname="other.example", root_page=site.root_page, port=80)
        read(ask_visitor(client))
        assert ask_visitor(client).status_code == 429
        assert read(ask_visitor(Client(REMOTE_ADDR="192.0.2.9")))
        assert ask_visitor(Client(SERVER_NAME="other.example")).status_code == 200
        client.force_login(User.objects.create_user("ada"))
        assert read(ask_visitor(client))
        assert ask_visitor(client).status_code == 429

    def test_the_search_page_obeys_the_same_limits(self, client, lighthouse, visitors, standin):
        visitors(QUESTIONS_A_MINUTE=1)
        headers = {"sec-fetch-site": "same-origin"}
        assert client.get("/answers/search/", {"q": QUESTION}, headers=headers).status_code == 200
        standin.clear()
        response = client.get("/answers/search/", {"q": QUESTION}, headers=headers)
        assert (response.status_code, response["Retry-After"]) == (429, "31")
        assert "Ask again in 31 seconds." in response.content.decode()
        assert "/lighthouse/" in response.content.decode()
        assert standin.requests == []

    def test_what_cannot_be_asked_counts_nothing(self, client, lighthouse, visitors):
        visitors(QUESTIONS_A_MINUTE=1)
        assert (
            ask_visitor(client, " ").status_code
            == ask_visitor(client, "a" * 1001).status_code
            == 400
        )
        assert read(ask_visitor(client))

    def test_a_limit_can_be_off(self, client, lighthouse, visitors):
        off = ("QUESTIONS_A_MINUTE", "QUESTIONS_A_DAY", "SITE_QUESTIONS_A_DAY", "STREAMS")
        visitors(**dict.fromkeys([*off, "MAX_QUESTION_LENGTH"]))
        for _ in range(12):
            assert ask_visitor(client, QUESTION + " " * 5 + "!" * 1500).status_code == 200


@pytest.mark.parametrize(
    ("proxies", "first", "second", "is_one"),
    [
        (0, {"REMOTE_ADDR": "192.0.2.1"}, {"REMOTE_ADDR": "192.0.2.2"}, False),
        # Anybody can write that header.
        (0, {"HTTP_X_FORWARDED_FOR": "192.0.2.1"}, {"HTTP_X_FORWARDED_FOR": "192.0.2.2"}, True),
        (1, {"HTTP_X_FORWARDED_FOR": "192.0.2.1"}, {"HTTP_X_FORWARDED_FOR": "192.0.2.2"}, False),
        (
            1,
            {"HTTP_X_FORWARDED_FOR": "192.0.2.8, 192.0.2.1"},
            {"HTTP_X_FORWARDED_FOR": "192.0.2.9,192.0.2.1"},
            True,
        ),
        (
            2,
            {"HTTP_X_FORWARDED_FOR": "192.0.2.8, 10.0.0.1"},
            {"HTTP_X_FORWARDED_FOR": "192.0.2.9, 10.0.0.1"},
            False,
        ),
        (
            1,
            {"HTTP_X_FORWARDED_FOR": "192.0.2.1:4001"},
            {"HTTP_X_FORWARDED_FOR": "192.0.2.1:4002"},
            True,
        ),
        (
            1,
            {"HTTP_X_FORWARDED_FOR": "[2001:db8::1]:4001"},
            {"HTTP_X_FORWARDED_FOR": "2001:db8::2"},
            True,
        ),
        (0, {"REMOTE_ADDR": "2001:db8:0:7::1"}, {"REMOTE_ADDR": "2001:db8:0:7:9::2"}, True),
        (0, {"REMOTE_ADDR": "2001:db8:0:7::1"}, {"REMOTE_ADDR": "2001:db8:0:8::1"}, False),
        (0, {"REMOTE_ADDR": "::ffff:192.0.2.1"}, {"REMOTE_ADDR": "192.0.2.1"}, True),
        (0, {"REMOTE_ADDR": ""}, {"REMOTE_ADDR": ""}, True),
    ],
)
def test_who_counts_as_one_visitor(visitors, settings, proxies, first, second, is_one):
    settings.FINETUNE_SWITCH = {"VISITORS": {"TRUSTED_PROXIES": proxies}}
    one, other = (
        throttling.visitor_hash(RequestFactory().get("/", **meta)) for meta in (first, second)
    )
    assert (one == other) is is_one


def test_the_team_hears_of_a_proxy_that_nobody_declared(rf, caplog):
    for _ in range(2):
        throttling.visitor_hash(rf.get("/", headers={"x-forwarded-for": "192.0.2.1"}))
    assert [record.message for record in caplog.records if "TRUSTED_PROXIES" in record.message] == [
        caplog.records[0].message
    ]


def test_the_record_keeps_a_hash_that_is_another_one_tomorrow(client, lighthouse, monkeypatch):
    read(ask_visitor(client))
    read(ask_visitor(client))
    tomorrow = datetime(2027, 3, 15, 12, 30, 30, tzinfo=UTC)
    monkeypatch.setattr(budgets, "local_now", lambda: tomorrow)
    read(ask_visitor(client))
    last, second, first = Exchange.objects.values_list("visitor", flat=True)
    assert first == second != last
    assert len(first) == 32
    assert "127.0.0.1" not in str(list(Exchange.objects.values()))


class TestAtOnce:
    def test_one_too_many_is_told_at_once_and_a_stream_that_ends_makes_room(
        self, client, lighthouse, visitors, standin
    ):
        visitors(STREAMS=1)
        under_way = ask_visitor(client)
        standin.clear()
        assert_refused(ask_visitor(client), 503, "busy", 5)
        assert standin.requests == []
        read(under_way)
        assert read(ask_visitor(client))

    @pytest.mark.django_db(transaction=True)
    def test_a_reader_who_leaves_makes_room(self, client, lighthouse, visitors):
        visitors(STREAMS=1)
        left = ask_visitor(client)
        next(left.streaming_content)
        left.close()
        assert read(ask_visitor(client))

    def test_a_failure_makes_room(self, client, lighthouse, visitors, standin):
        visitors(STREAMS=1)
        standin.add_model("keeper", listed=False, fault="unauthorized")
        for _ in range(3):
            assert events(ask_visitor(client))[-1][0] == "failed"

    def test_what_is_refused_takes_no_room(self, client, lighthouse, visitors):
        visitors(STREAMS=1, QUESTIONS_A_MINUTE=1)
        read(ask_visitor(client))
        for _ in range(3):
            assert ask_visitor(client).status_code == 429

    def test_a_slot_of_a_process_that_died_comes_free(self):
        assert counting.take_slot("x", 1, 1)
        assert counting.take_slot("x", 1, 1) is None
        cache._expire_info = dict.fromkeys(cache._expire_info, 0)
        assert counting.take_slot("x", 1, 1)

    def test_who_comes_late_gives_back_nothing_that_is_somebody_elses(self):
        late = counting.take_slot("y", 1, 10)
        cache.clear()
        assert counting.take_slot("y", 1, 10)
        late()
        assert counting.take_slot("y", 1, 10) is None


class TestBudget:
    def test_of_questions_a_day(self, client, lighthouse, visitors, standin, caplog):
        visitors(SITE_QUESTIONS_A_DAY=1)
        read(ask_visitor(client))
        standin.clear()
        for _ in range(2):
            # Sentences from the pages, and no model.
            assert "opens at 9am" in read(ask_visitor(client))
        assert standin.requests == []
        told = [record.message for record in caplog.records if "used up" in record.message]
        assert len(told) == 1

    def test_of_dollars_a_month(self, client, lighthouse, visitors, standin, site, caplog):
        visitors(SITE_DOLLARS_A_MONTH=5, WHEN_USED_UP="search")
        read(ask_visitor(client))
        (cost,) = Exchange.objects.values_list("cost", flat=True)
        assert cost > 5
        standin.clear()
        assert_refused(ask_visitor(client), 503, "budget", 1510170)
        assert standin.requests == []
        assert "5 dollars is used up" in caplog.text
        page = client.get("/answers/search/", {"q": QUESTION})
        assert page.status_code == 503
        assert "/lighthouse/" in page.content.decode()
        sentence = budgets.used_up(site.pk).sentence
        assert sentence.startswith("This month's budget of $5 is used up (since 14/03/2027")
        assert sentence.endswith("Visitors can search the pages, and get no answers.")

    def test_what_was_spent_before_is_counted(self, client, lighthouse, visitors, site):
        now = budgets.local_now()
        for day, origin, cost in ((1, Origin.SITE, 3), (2, Origin.SITE, 1), (2, Origin.SHELL, 90)):
            Exchange.objects.create(
                site=site, origin=origin, cost=cost, outcome=Outcome.COMPLETE,
                opened_at=now.replace(day=day), deadline_at=now,
            )  # fmt: skip
        Exchange.objects.create(
            site=site, origin=Origin.SITE, cost=50, outcome=Outcome.COMPLETE,
            opened_at=now.replace(month=2), deadline_at=now,
        )  # fmt: skip
        visitors(SITE_DOLLARS_A_MONTH=4.5)
        assert budgets.used_up(site.pk) is None
        budgets.add_cost(site.pk, Decimal("0.5"), is_recorded=False)
        assert budgets.used_up(site.pk).of == "dollars"
        assert budgets.used_up(site.pk + 1) is None

    def test_what_is_not_recorded_is_counted_as_well(self, client, lighthouse, visitors, settings):
        visitors(SITE_DOLLARS_A_MONTH=5, WHEN_USED_UP="search")
        settings.FINETUNE_SWITCH["RECORD_VISITOR_QUESTIONS"] = False
        read(ask_visitor(client))
        assert not Exchange.objects.exists()
        assert_refused(ask_visitor(client), 503, "budget", 1510170)

    @pytest.mark.django_db(transaction=True)
    def test_who_leaves_before_the_server_told_has_spent_all_the_same(
        self, client, lighthouse, visitors, standin
    ):
        visitors(SITE_DOLLARS_A_MONTH=5, WHEN_USED_UP="search")
        standin.add_model("keeper", listed=False, answer="Nine. " * 90, tokens_per_second=20)
        left = ask_visitor(client)
        while b"event: text" not in next(left.streaming_content):
            pass
        left.close()
        assert Exchange.objects.get().cost is None
        assert_refused(ask_visitor(client), 503, "budget", 1510170)

    def test_nothing_is_summed_where_there_is_no_budget(self, django_assert_num_queries, site):
        with django_assert_num_queries(0):
            assert budgets.count_question(site.pk) is None


class TestCache:
    @contextmanager
    def warned(self, caplog, times):
        with caplog.at_level(logging.WARNING, "finetune_switch.throttling"):
            yield
        said = [r.message for r in caplog.records if "are not counted" in r.message]
        assert len(said) == times

    def test_that_is_down_stops_nobody_and_is_heard_of_once(
        self, client, lighthouse, visitors, use_cache, caplog
    ):
        visitors(QUESTIONS_A_MINUTE=1, STREAMS=1, CACHE="limits")
        use_cache(FailingCache)
        with self.warned(caplog, 1):
            for _ in range(2):
                assert read(ask_visitor(client)) == "It opens at nine. [1]"
        assert set(Exchange.objects.values_list("visitor", flat=True)) == {""}

    def test_that_is_down_spends_no_more_than_the_budget(
        self, client, lighthouse, visitors, use_cache
    ):
        visitors(SITE_DOLLARS_A_MONTH=5, CACHE="limits")
        use_cache(FailingCache)
        Exchange.objects.create(
            site_id=Switch.objects.get().site_id, origin=Origin.SITE, cost=6,
            opened_at=budgets.local_now(), deadline_at=budgets.local_now(),
        )  # fmt: skip
        assert "opens at 9am" in read(ask_visitor(client))

    def test_that_is_full_stops_nobody(self, client, lighthouse, visitors, use_cache, caplog):
        visitors(QUESTIONS_A_MINUTE=1, STREAMS=1, CACHE="limits")
        use_cache(FullCache)
        with self.warned(caplog, 1):
            for _ in range(3):
                assert read(ask_visitor(client))

    def test_that_forgets_keys_begins_to_count_anew(self, client, lighthouse, visitors):
        visitors(QUESTIONS_A_MINUTE=1)
        for _ in range(2):
            assert read(ask_visitor(client))
            caches["default"].clear()


class TestSwitchedOff:
    def test_the_next_question_is_refused_and_search_goes_on(self, client, lighthouse, standin):
        Switch.objects.update(answers_visitors=False)
        assert_refused(ask_visitor(client), 503, "off")
        assert client.get("/answers/about/").json()["is_on"] is False
        page = client.get("/answers/search/", {"q": QUESTION})
        assert page.status_code == 200
        assert "/lighthouse/" in page.content.decode()
        assert "finetune-answer" not in page.content.decode()
        assert standin.requests == []
        Switch.objects.update(answers_visitors=True)
        assert read(ask_visitor(client))
