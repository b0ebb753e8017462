"""What is kept of visitors and what they may see: origins, masking, recording, members' pages."""

from __future__ import annotations

import uuid

import pytest
from bs4 import BeautifulSoup
from django.contrib.auth.models import User
from django.test import Client
from django.utils.translation import override
from wagtail.models import PageViewRestriction

from finetune_switch.models import Exchange, Feedback, Switch
from tests.helpers import make_backend
from tests.index_helpers import build
from tests.visitor_helpers import ask_visitor, events

pytestmark = pytest.mark.django_db

QUESTION = "When does the lighthouse open?"
SHOP = "https://shop.example"
FROM_SHOP = {"origin": SHOP, "sec-fetch-site": "cross-site"}
ME = "Call 020 7946 0000 or write to ada@example.org: when does the lighthouse open?"


@pytest.fixture
def visitors(settings):
    """Sets options for visitors."""

    def set_options(**options):
        settings.FINETUNE_SWITCH = {**settings.FINETUNE_SWITCH, "VISITORS": options}

    return set_options


@pytest.fixture
def lighthouse(site, connections, standin, make_page):
    page = make_page("Lighthouse", "The lighthouse opens at 9am, and a ticket costs £24.")
    build()
    standin.add_model("keeper", listed=False, answer="It opens at nine. [1]")
    # Above what the home page has in common with the question.
    switch = Switch.objects.create(site=site, similarity_threshold=0.33)
    switch.activate(make_backend("ollama", "keeper"), expected=None)
    standin.clear()
    return page


@pytest.fixture
def members_only(lighthouse):
    PageViewRestriction.objects.create(page=lighthouse, restriction_type="login")


@pytest.fixture
def member(members_only):
    """The browser of somebody who is signed in."""
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(User.objects.create_user("ada"))
    return browser


def passages(response):
    return events(response)[0][1]["passages"]


class TestAllowedOrigins:
    def test_asks_of_another_origin_are_anonymous_whatever_cookies_came(self, member, visitors):
        visitors(ALLOWED_ORIGINS=[SHOP])
        assert passages(ask_visitor(member))
        response = ask_visitor(member, headers=FROM_SHOP)
        assert passages(response) == []
        assert response["Access-Control-Allow-Origin"] == SHOP
        assert "Access-Control-Allow-Credentials" not in response
        assert "Origin" in response["Vary"]
        assert not response.cookies

    def test_no_cookie_is_set_where_each_session_is_saved(self, member, visitors, settings):
        visitors(ALLOWED_ORIGINS=[SHOP])
        settings.SESSION_SAVE_EVERY_REQUEST = True
        response = ask_visitor(member, headers=FROM_SHOP)
        assert response.status_code == 200
        assert not response.cookies
        assert passages(ask_visitor(member))

    @pytest.mark.parametrize(
        "origin",
        [
            "https://shop.example.evil.example",
            "http://shop.example",
            "https://shop.example:8443",
            "https://other.example",
            "null",
        ],
    )
    def test_any_other_origin_is_refused(self, client, lighthouse, visitors, standin, origin):
        visitors(ALLOWED_ORIGINS=[SHOP])
        headers = {"origin": origin, "sec-fetch-site": "cross-site"}
        response = ask_visitor(client, headers=headers)
        assert (response.status_code, response.json()["code"]) == (403, "origin")
        assert "Access-Control-Allow-Origin" not in response
        preflight = client.options("/answers/ask/", headers=headers)
        assert preflight.status_code == 403
        assert client.get("/answers/about/", headers=headers).status_code == 403
        assert standin.requests == []

    def test_what_a_browser_asks_first_is_answered(self, client, site, visitors):
        visitors(ALLOWED_ORIGINS=[SHOP])
        headers = {**FROM_SHOP, "access-control-request-method": "POST"}
        response = client.options("/answers/ask/", headers=headers)
        assert (response.status_code, response.content) == (204, b"")
        assert response["Access-Control-Allow-Origin"] == SHOP
        assert response["Access-Control-Allow-Methods"] == "POST"
        assert response["Access-Control-Allow-Headers"] == "Content-Type"

    def test_a_refusal_can_be_read_there_too(self, client, lighthouse, visitors, quiet_minute):
        visitors(ALLOWED_ORIGINS=[SHOP], QUESTIONS_A_MINUTE=1)
        events(ask_visitor(client, headers=FROM_SHOP))
        refused = ask_visitor(client, headers=FROM_SHOP)
        assert refused.status_code == 429
        assert refused["Access-Control-Allow-Origin"] == SHOP
        assert refused["Access-Control-Expose-Headers"] == "Retry-After"
        assert refused.json()["search_url"] == "http://testserver/answers/search/"

    def test_a_page_of_the_site_is_not_another_origin(self, member, visitors):
        visitors(ALLOWED_ORIGINS=[SHOP, "http://testserver"])
        response = ask_visitor(member, headers={"origin": "http://testserver"})
        assert passages(response)
        assert "Access-Control-Allow-Origin" not in response


class TestMembers:
    def test_get_more_than_others_and_nothing_of_it_is_kept_for_them(self, member, client):
        """In turns, so that an answer kept for one would show with the next."""
        for browser, may in [(client, False), (member, True), (client, False), (member, True)]:
            response = ask_visitor(browser)
            assert {"private", "no-store"} <= set(response["Cache-Control"].split(", "))
            said = "".join(str(data) for _name, data in events(response))
            assert ("lighthouse/" in said) is may
            assert ("at nine" in said) is may
            page = browser.get("/answers/search/", {"q": QUESTION})
            assert {"private", "no-store"} <= set(page["Cache-Control"].split(", "))
            assert ("/lighthouse/" in page.content.decode()) is may
            assert ("at nine" in page.content.decode()) is may

    def test_about_and_refusals_are_kept_by_nobody(self, client, site):
        for response in (client.get("/answers/about/"), ask_visitor(client, " ")):
            assert {"private", "no-store"} <= set(response["Cache-Control"].split(", "))


class TestRecord:
    def test_contacts_are_masked_in_what_is_kept_and_not_in_what_the_model_gets(
        self, client, lighthouse, standin, visitors
    ):
        visitors(FACT_LOCK=True)
        standin.add_model(
            "keeper", listed=False, answer="At nine. [1] We call 020 7946 0000, Ada@example.org."
        )
        events(ask_visitor(client, ME))
        exchange = Exchange.objects.get()
        masked = "Call [telephone] or write to [e-mail]: when does the lighthouse open?"
        assert exchange.question == masked
        assert exchange.answer == "At nine. [1] We call [telephone], [e-mail]."
        assert {held["text"] for held in exchange.withheld_facts} == {"[telephone]", "[e-mail]"}
        for held in exchange.withheld_facts:
            assert exchange.answer[held["start"] : held["end"]] == held["text"]
        row = str(list(Exchange.objects.values()))
        assert "7946 0000" not in row
        assert "ada@" not in row.lower()
        assert ME in str([request.body for request in standin.requests])

    def test_a_question_with_a_contact_is_replayed_by_its_id(self, ask, site, connections, standin):
        standin.add_model("keeper", listed=False, answer="At nine.")
        options = {
            "backend": make_backend("ollama", "keeper"),
            "retrieval": False,
            "exchange_id": uuid.uuid4(),
        }
        first = ask(ME, **options)
        standin.clear()
        assert ask(ME, **options).text == first.text == "At nine."
        assert standin.requests == []
        other = ask(ME.replace("when", "why"), **options)
        assert other.failure.code == "id_taken"

    def test_contacts_are_masked_in_what_is_said_of_an_answer(self, client, lighthouse):
        exchange = events(ask_visitor(client))[0][1]["exchange"]
        given = {"exchange": exchange, "is_helpful": "false", "comment": "Call me: 020 7946 0000"}
        response = client.post("/answers/feedback/", given, headers={"origin": "http://testserver"})
        assert response.status_code == 200
        assert Feedback.objects.get().comment == "Call me: [telephone]"

    def test_nothing_is_kept_where_recording_is_off(self, client, lighthouse, settings):
        settings.FINETUNE_SWITCH = {**settings.FINETUNE_SWITCH, "RECORD_VISITOR_QUESTIONS": False}
        name, sources = events(ask_visitor(client))[0]
        assert (name, sources["exchange"]) == ("sources", "")
        assert sources["passages"]
        assert not Exchange.objects.exists()


class TestNotice:
    def notice(self, client, locale="en-gb"):
        page = client.get("/answers/search/")
        shown = BeautifulSoup(page.content, "html.parser").select_one("#finetune-notice")
        about = client.get("/answers/about/", {"locale": locale}).json()
        if locale == "en-gb":
            assert shown.get_text() == about["notice"]
        return about["notice"]

    def test_says_where_questions_go_and_what_is_kept(self, client, lighthouse, settings):
        where = "Your question goes to: a test of Ollama."
        kept = "It is kept for 30 days, without your name or address."
        advice = "Do not write anything personal."
        assert self.notice(client) == f"{where} {kept} {advice}"
        settings.FINETUNE_SWITCH = {**settings.FINETUNE_SWITCH, "RECORD_VISITOR_QUESTIONS": False}
        assert self.notice(client) == f"{where} It is not kept. {advice}"

    def test_can_be_the_sites_own_in_each_language(self, client, lighthouse):
        Switch.objects.update(notice={"en": "Ask away.", "de": "Nur zu."})
        assert self.notice(client) == "Ask away."
        assert self.notice(client, "de") == "Nur zu."

    def test_what_a_widget_has_to_know_of_the_moment(self, client, lighthouse):
        about = client.get("/answers/about/", {"locale": "en-gb"})
        assert about.json() == {
            "is_on": True,
            "notice": self.notice(client),
            "data_destination": "a test of Ollama",
            "is_recorded": True,
            "max_length": 1000,
            "reader": "",
        }
        assert client.get("/answers/about/", {"locale": "xx"}).status_code == 400
        assert client.post("/answers/about/").status_code == 405

    def test_the_form_on_a_cached_page_leads_to_it(self, client, site):
        from django.template import Context, Template

        with override("en-gb"):
            page = Template("{% load finetune_switch_tags %}{% finetune_chat %}").render(Context())
        link = BeautifulSoup(page, "html.parser").select_one("form a")
        assert (link["href"], link.get_text()) == (
            "/answers/search/", "What happens to your question",
        )  # fmt: skip


class TestSearchPageOfOthers:
    @pytest.mark.parametrize(
        ("headers", "is_answered"),
        [
            ({}, True),
            ({"sec-fetch-site": "none"}, True),
            ({"sec-fetch-site": "same-origin"}, True),
            ({"sec-fetch-site": "same-site"}, False),
            ({"sec-fetch-site": "cross-site"}, False),
            ({"sec-fetch-site": "none", "sec-purpose": "prefetch;prerender"}, False),
            ({"sec-fetch-site": "same-origin", "purpose": "prefetch"}, False),
        ],
    )
    def test_asks_no_model_until_the_visitor_does(
        self, client, lighthouse, standin, headers, is_answered
    ):
        response = client.get("/answers/search/", {"q": QUESTION}, headers=headers)
        page = BeautifulSoup(response.content, "html.parser")
        assert page.select(".finetune-results li")
        assert bool(page.select_one(".finetune-answer")) is is_answered
        assert bool(standin.requests) is is_answered
        offer = page.select_one(".finetune-offer a")
        assert bool(offer) is not is_answered
        if offer:
            again = client.get(
                f"/answers/search/{offer['href']}", headers={"sec-fetch-site": "same-origin"}
            )
            assert "It opens at nine." in again.content.decode()
