"""What scripts may ask: feedback, the search, and that the description says what there is."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import resolve, reverse
from django.utils import timezone
from jsonschema import Draft202012Validator
from wagtail.models import PageViewRestriction, Site

from finetune_switch.limits.throttling import REQUESTS_FOR_EACH_QUESTION
from finetune_switch.models import Exchange, Feedback, Origin, Switch
from finetune_switch.urls import urlpatterns
from finetune_switch.visitors.openapi import EVENTS, description
from tests.index_helpers import build

pytestmark = pytest.mark.django_db

HERE = {"sec-fetch-site": "same-origin"}
ELSEWHERE = {"sec-fetch-site": "cross-site", "origin": "https://elsewhere.example"}


@pytest.fixture
def lighthouse(site, connections, make_page):
    page = make_page("Lighthouse", "The lighthouse opens at 9am, and a <b> costs £24.")
    build()
    # Above what the home page has in common with the question.
    Switch.objects.create(site=site, similarity_threshold=0.4)
    return page


@pytest.fixture
def exchange(site):
    return make_exchange(site)


def make_exchange(site, **values):
    deadline_at = timezone.now() + timedelta(minutes=1)
    values = {"origin": Origin.SITE, "question": "When?", "deadline_at": deadline_at, **values}
    return Exchange.objects.create(site=site, **values)


def give(client, exchange, *, headers=HERE, as_form=False, **data):
    data = {"exchange": str(getattr(exchange, "pk", exchange)), **data}
    content = {} if as_form else {"content_type": "application/json"}
    return client.post("/answers/feedback/", data, headers=headers, **content)


class TestFeedback:
    @pytest.mark.parametrize("as_form", [False, True])
    def test_the_last_one_given_counts(self, client, exchange, as_form):
        give(client, exchange, is_helpful=True, as_form=as_form)
        response = give(client, exchange, is_helpful=False, comment=" Too long. ", as_form=as_form)
        assert response.json() == {
            "exchange": str(exchange.pk),
            "is_helpful": False,
            "comment": "Too long.",
        }
        feedback = Feedback.objects.get()
        assert (feedback.exchange, feedback.is_helpful) == (exchange, False)
        assert feedback.comment == "Too long."

    def test_what_is_private_in_a_comment_is_not_kept(self, client, exchange):
        give(client, exchange, is_helpful=False, comment="Write to ada@example.org about it.")
        assert Feedback.objects.get().comment == "Write to [e-mail] about it."
        give(client, exchange, is_helpful=False, comment="01632 960001 " * 38)
        assert Feedback.objects.get().comment.startswith("[telephone] [telephone]")

    @pytest.mark.parametrize("as_form", [False, True])
    def test_it_can_be_taken_back(self, client, exchange, as_form):
        give(client, exchange, is_helpful=True)
        taken = give(client, exchange, is_helpful="" if as_form else None, as_form=as_form)
        assert taken.json()["is_helpful"] is None
        assert not Feedback.objects.exists()

    def test_it_is_for_visitors_exchanges_of_this_very_site(self, client, site, exchange):
        other = Site.objects.create(hostname="other.example", root_page=site.root_page)
        for pk in (
            make_exchange(other).pk,
            make_exchange(site, origin=Origin.COMPARE).pk,
            uuid4(),
            "nonsense",
            "",
        ):
            response = give(client, pk, is_helpful=True)
            assert response.status_code == 404
            message = "The answer that this is about is no longer kept."
            assert response.json()["message"] == message
        assert not Feedback.objects.exists()

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            ({"is_helpful": True, "comment": "a" * 501}, "The comment has 501 characters; at"),
            ({"is_helpful": "perhaps"}, "“is_helpful” has to be true or false, or null"),
            ({"is_helpful": [True]}, "“is_helpful” has to be true or false, or null"),
            ({}, "“is_helpful” has to be true or false, or null"),
            (
                {"is_helpful": True, "locale": "xx"},
                "This site has no content in the language “xx”.",
            ),
        ],
    )
    def test_what_cannot_be_kept_is_refused_with_a_sentence(self, client, exchange, data, message):
        response = give(client, exchange, **data)
        assert response.status_code == 400
        assert response.json()["message"].startswith(message)
        assert not Feedback.objects.exists()

    @pytest.mark.parametrize("body", ["{", "[]", "[" * 100_000, '"\ud800"', "\x00"])
    def test_what_is_no_object_is_refused(self, client, exchange, body):
        raw = body.encode(errors="surrogatepass")
        response = client.generic(
            "POST", "/answers/feedback/", raw, "application/json", headers=HERE
        )
        assert response.status_code == 400

    def test_half_a_character_is_kept_as_a_question_mark(self, client, exchange):
        assert give(client, exchange, is_helpful=True, comment="a\ud800").json()["comment"] == "a?"

    def test_a_page_of_another_site_gives_none(self, client, exchange):
        assert give(client, exchange, is_helpful=True, headers=ELSEWHERE).status_code == 403
        assert client.get("/answers/feedback/").status_code == 405
        assert not Feedback.objects.exists()

    def test_a_loop_of_it_is_refused_before_its_body_is_read(
        self, client, exchange, settings, quiet_minute, django_assert_num_queries
    ):
        limits = {"QUESTIONS_A_MINUTE": 1}
        settings.FINETUNE_SWITCH = {**settings.FINETUNE_SWITCH, "VISITORS": limits}
        for number in range(REQUESTS_FOR_EACH_QUESTION):
            given = give(client, exchange, is_helpful=bool(number % 2), comment=str(number))
            assert given.status_code == 200
        for body in (b"{", b'{"comment": "' + b"a" * 2_000_000 + b'"}'):
            # Of the site alone.
            with django_assert_num_queries(1):
                refused = client.generic(
                    "POST", "/answers/feedback/", body, "application/json", headers=HERE
                )
            assert (refused.status_code, refused["Retry-After"]) == (429, "31")
            assert refused.json()["message"].startswith("Too many requests in a short time.")
        assert Feedback.objects.get().comment == "9"
        # Searching has a count of its own, and so has another visitor.
        assert find(client, q="lighthouse").status_code == 200
        assert give(Client(REMOTE_ADDR="192.0.2.9"), exchange, is_helpful=None).status_code == 200


def find(client, **query):
    return client.get("/answers/results/", query)


class TestResults:
    def test_the_pages_that_match_as_text(self, client, lighthouse):
        response = find(client, q="When does the lighthouse open?")
        (result,) = response.json()["results"]
        assert (result["title"], result["url"]) == ("Lighthouse", "/lighthouse/")
        assert result["excerpt"].count("and a <b> costs £24.") == 1
        assert "mark" not in result["excerpt"]
        assert "no-store" in response["Cache-Control"]

    def test_ten_at_a_time(self, client, lighthouse, make_page):
        for number in range(11):
            make_page(f"Lighthouse {number}", f"The lighthouse opens at {number}.")
        build()
        first, second = (find(client, q="lighthouse", page=page).json() for page in (1, 2))
        assert [len(found["results"]) for found in (first, second)] == [10, 2]
        assert (second["page"], second["pages"], second["count"]) == (2, 2, 12)
        assert find(client, q="lighthouse", page="none").json() == first

    def test_where_nothing_matches_the_closest_are_named(self, client, lighthouse, make_page):
        for number in range(6):
            make_page(f"Boat {number}", f"A boat with {number} masts.")
        build()
        found = find(client, q="Who won the chess championship?").json()
        assert found["is_closest"]
        assert len(found["results"]) == found["count"] == 5
        assert not find(client, q="lighthouse").json()["is_closest"]

    def test_a_private_page_is_for_those_who_may_open_it(self, client, lighthouse):
        PageViewRestriction.objects.create(page=lighthouse, restriction_type="login")
        found = find(client, q="lighthouse").json()
        assert found["is_closest"]
        assert "Lighthouse" not in [result["title"] for result in found["results"]]
        client.force_login(User.objects.create_user("ada"))
        assert find(client, q="lighthouse").json()["count"] == 1

    def test_what_cannot_be_searched_is_refused_with_a_sentence(self, client, site, connections):
        assert find(client, q=" ").json()["message"] == "Write a question first."
        in_german = find(client, q="", locale="de").json()["message"]
        assert in_german == "Schreiben Sie zuerst eine Frage."
        assert find(client, q="a", locale="xx").status_code == 400


class TestDescription:
    """The description and the endpoints cannot drift apart."""

    @pytest.fixture
    def described(self, client):
        response = client.get("/answers/openapi.json")
        assert response.headers["Content-Type"] == "application/json"
        return response.json()

    def check(self, described, body, schema):
        whole = {**schema, "components": described["components"]}
        Draft202012Validator(whole).validate(body)

    def response_schema(self, described, path, method, status, kind="application/json"):
        response = described["paths"][path][method]["responses"][str(status)]
        while "$ref" in response:
            response = self.follow(described, response["$ref"])
        return response["content"][kind]

    def follow(self, described, ref):
        found = described
        for name in ref.removeprefix("#/").split("/"):
            found = found[name]
        return found

    def check_response(self, described, path, response, method="post"):
        schema = self.response_schema(described, path, method, response.status_code)["schema"]
        self.check(described, response.json(), schema)

    def check_stream(self, described, path, response):
        kind = "text/event-stream"
        assert response["Content-Type"].startswith(kind)
        schemas = self.response_schema(described, path, "post", 200, kind)["x-events"]
        body = b"".join(response.streaming_content).decode()
        blocks = [block for block in body.split("\n\n") if block.startswith("event: ")]
        for block in blocks:
            name, data = block.split("\n")
            self.check(described, json.loads(data[6:]), schemas[name[7:]])
        return [block.split("\n")[0][7:] for block in blocks]

    def test_every_reference_leads_somewhere_and_every_schema_is_one(self, described):
        def walk(node):
            if isinstance(node, dict):
                if "$ref" in node:
                    self.follow(described, node["$ref"])
                for value in node.values():
                    walk(value)
            elif isinstance(node, list):
                for value in node:
                    walk(value)

        walk(described)
        for schema in described["components"]["schemas"].values():
            Draft202012Validator.check_schema(schema)
        assert set(EVENTS) == {"sources", "text", "done", "failed"}

    def test_it_names_every_address_under_the_right_server(self, described):
        assert described["openapi"] == "3.1.0"
        (server,) = described["servers"]
        assert server["url"] == "http://testserver/answers"
        names = {resolve(f"/answers{path}").url_name for path in described["paths"]}
        assert names == {pattern.name for pattern in urlpatterns} - {"search", "openapi"}
        assert description("x")["servers"] == [{"url": "x"}]

    def test_questions(self, client, lighthouse, described):
        asked = client.post(
            "/answers/ask/",
            {"q": "When does the lighthouse open?", "id": str(uuid4())},
            headers=HERE,
        )
        names = self.check_stream(described, "/ask/", asked)
        assert (names[0], names[-1]) == ("sources", "done")
        for data, headers, status in (
            ({"q": ""}, HERE, 400),
            ({"q": "When?"}, ELSEWHERE, 403),
        ):
            refused = client.post("/answers/ask/", data, headers=headers)
            assert refused.status_code == status
            self.check_response(described, "/ask/", refused)

    def test_follow_up_questions(self, client, lighthouse, described):
        body = {
            "question": "And what does it cost?",
            "turns": [{"question": "When does the lighthouse open?", "answer": "At nine."}],
            "conversation": str(uuid4()),
            "id": str(uuid4()),
            "locale": "en",
        }
        schema = described["paths"]["/conversation/"]["post"]["requestBody"]["content"]
        self.check(described, body, schema["application/json"]["schema"])
        asked = self.post(client, "conversation", body)
        names = self.check_stream(described, "/conversation/", asked)
        assert (names[0], names[-1]) == ("sources", "done")
        assert Exchange.objects.get().conversation == UUID(body["conversation"])
        refused = self.post(client, "conversation", {**body, "turns": "none"})
        assert refused.status_code == 400
        self.check_response(described, "/conversation/", refused)

    def post(self, client, name, body):
        url = reverse(f"finetune_visitors:{name}")
        return client.post(url, body, content_type="application/json", headers=HERE)

    def test_feedback(self, client, exchange, described):
        for response, status in (
            (give(client, exchange, is_helpful=True), 200),
            (give(client, exchange, is_helpful=None), 200),
            (give(client, exchange), 400),
            (give(client, uuid4(), is_helpful=True), 404),
            (give(client, exchange, is_helpful=True, headers=ELSEWHERE), 403),
        ):
            assert response.status_code == status
            self.check_response(described, "/feedback/", response)

    def test_the_search(self, client, lighthouse, described):
        self.check_response(described, "/results/", find(client, q="lighthouse"), "get")
        self.check_response(described, "/results/", find(client, q=""), "get")

    @pytest.mark.parametrize(
        ("limit", "status"), [("QUESTIONS_A_DAY", 429), ("SITE_QUESTIONS_A_DAY", 503)]
    )
    def test_refusals_of_searches_and_feedback(
        self, client, lighthouse, exchange, described, settings, limit, status
    ):
        settings.FINETUNE_SWITCH = {**settings.FINETUNE_SWITCH, "VISITORS": {limit: 1}}
        for _ in range(REQUESTS_FOR_EACH_QUESTION + 1):
            found = find(client, q="lighthouse")
            given = give(client, exchange, is_helpful=True)
        assert found.status_code == given.status_code == status
        self.check_response(described, "/results/", found, "get")
        self.check_response(described, "/feedback/", given)

    def test_what_there_is_to_know_before(self, client, site, connections, described):
        self.check_response(described, "/about/", client.get("/answers/about/"), "get")
        refused = client.get("/answers/about/", {"locale": "xx"})
        assert refused.status_code == 400
        self.check_response(described, "/about/", refused, "get")
