"""The address to which a browser sends a question with those before it."""

from __future__ import annotations

import json
import uuid
from functools import partial

import pytest
from django.contrib.auth.models import User
from wagtail.models import PageViewRestriction

from finetune_switch.models import Exchange
from tests.conversation_helpers import BY_MODEL, FIRST, FOLLOW_UP, make_museum, switch_to

pytestmark = pytest.mark.django_db


@pytest.fixture
def pages(site, connections, make_page):
    return make_museum(make_page)


@pytest.fixture
def switched(site, connections):
    return partial(switch_to, site)


HERE = {"sec-fetch-site": "same-origin"}


def post(client, body, headers=HERE):
    data = body if isinstance(body, (str, bytes)) else json.dumps(body)
    return client.post(
        "/answers/conversation/", data, content_type="application/json", headers=headers
    )


def read(response):
    assert response.status_code == 200, response.content
    blocks = b"".join(response.streaming_content).decode().split("\n\n")
    return [
        (block.split("\n")[0][7:], json.loads(block.split("\n")[1][6:]))
        for block in blocks
        if block.startswith("event: ")
    ]


BODY = {
    "question": FOLLOW_UP,
    "locale": "en-gb",
    "turns": [{"question": FIRST, "answer": "The museum opens at ten in the morning. [1]"}],
}


WRONG = [
    ("", "The request has to be a JSON object."),
    ("[" * 100_000, "The request has to be a JSON object."),
    (b"\xff", "The request has to be a JSON object."),
    ([FOLLOW_UP], "The request has to be a JSON object."),
    ({}, "Write a question first."),
    ({"question": 7}, "“question” has to be a text."),
    ({**BODY, "turns": "none"}, "“turns” has to be a list of objects"),
    ({**BODY, "turns": ["When?"]}, "“turns” has to be a list of objects"),
    ({**BODY, "turns": [{"question": ["When?"]}]}, "“question” has to be a text."),
    ({**BODY, "turns": [{"answer": "At ten."}]}, "Turn 1 of the conversation has no"),
    (
        {**BODY, "turns": [{"question": "x" * 1_001}]},
        "The question in turn 1 of the conversation has 1001 characters; at most 1000",
    ),
    ({**BODY, "conversation": "x"}, "“conversation” has to be a UUID, not “x”."),
    ({**BODY, "id": {"a": 1}}, "“id” has to be a UUID"),
    ({**BODY, "locale": "xx"}, "This site has no content in the language “xx”."),
]


class TestEndpoint:
    def test_a_follow_up_is_answered(self, client, pages, switched):
        switched()
        number = str(uuid.uuid4())
        names, data = zip(*read(post(client, {**BODY, "conversation": number})), strict=True)
        assert (names[0], set(names[1:-1]), names[-1]) == ("sources", {"text"}, "done")
        assert "on Sundays the museum opens at noon" in "".join(e.get("text", "") for e in data)
        assert set(data[-1]) == {"outcome", "citations"}
        exchange = Exchange.objects.get()
        assert str(exchange.conversation) == number
        assert exchange.standalone_question == BY_MODEL

    def test_nothing_is_kept_for_the_next_visitor(self, client, pages, switched, standin):
        """A member's answer is in that member's browser, and nowhere else."""
        PageViewRestriction.objects.create(page=pages["Soup"], restriction_type="login")
        switched(passages=3)
        number = str(uuid.uuid4())
        member = client.__class__()
        member.force_login(User.objects.create_user("ada"))
        soup = {"question": "What does the café serve on Sundays?", "conversation": number}
        said = read(post(member, soup))
        assert "soup of the day" in json.dumps(said)
        standin.clear()
        again = {"question": "What is served with it?", "conversation": number}
        heard = json.dumps(read(post(client, again)))
        asked = json.dumps([request.json for request in standin.requests])
        assert "soup of the day" not in heard + asked
        assert not client.session.keys()

    def test_a_question_that_is_sent_twice_is_asked_once(self, client, pages, switched, standin):
        switched()
        body = {**BODY, "id": str(uuid.uuid4())}
        first, second = read(post(client, body)), read(post(client, body))
        assert first[-1] == second[-1]
        assert Exchange.objects.count() == 1
        # The rewrite and the answer.
        assert len(standin.requests) == 2

    @pytest.mark.django_db(transaction=True)
    def test_nor_after_the_connection_was_lost(self, client, pages, switched, standin):
        switched("fault-rewrite-hangs")
        body = {**BODY, "id": str(uuid.uuid4())}
        lost = post(client, body)
        stream = iter(lost.streaming_content)
        while b"sources" not in next(stream):
            pass
        next(stream)
        lost.close()
        asked = len(standin.requests)
        name, data = read(post(client, body))[-1]
        assert (name, data["code"]) == ("failed", "interrupted")
        assert len(standin.requests) == asked

    def test_what_is_wrong_is_named(self, client, site):
        for body, message in WRONG:
            response = post(client, body)
            assert (response.status_code, body) == (400, body)
            assert response.json()["message"].startswith(message)
        assert not Exchange.objects.exists()

    def test_a_long_story_is_refused_with_a_sentence(self, client, site, settings):
        settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
        response = post(client, BODY)
        assert (response.status_code, response.json()["message"]) == (
            400,
            "The request is too large.",
        )

    def test_half_a_character_is_no_failure(self, client, pages, switched):
        switched()
        body = {**BODY, "question": "And on Sundays \ud83d?", "turns": [{"question": "\udc00?"}]}
        assert read(post(client, body))[-1][0] == "done"

    def test_only_the_sites_own_pages_converse(self, client, site):
        assert post(client, BODY, {"sec-fetch-site": "cross-site"}).status_code == 403
        assert client.get("/answers/conversation/", headers=HERE).status_code == 405

    def test_a_single_question_may_have_numbers_too(self, client, pages, switched, standin):
        switched()
        form = {"q": FIRST, "id": str(uuid.uuid4()), "conversation": str(uuid.uuid4())}
        answers = [read(client.post("/answers/ask/", form, headers=HERE))[-1] for _ in range(2)]
        assert answers[0] == answers[1]
        exchange = Exchange.objects.get()
        assert (str(exchange.pk), str(exchange.conversation)) == (form["id"], form["conversation"])
        assert len(standin.requests) == 1
        refused = client.post("/answers/ask/", {**form, "id": "7"}, headers=HERE)
        assert (refused.status_code, refused.json()["message"]) == (
            400,
            "“id” has to be a UUID, not “7”.",
        )
