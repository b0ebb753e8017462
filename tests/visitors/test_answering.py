"""What visitors are answered: the event stream, the search page, and the widget's place."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from gzip import compress
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from django.contrib.auth.models import User
from django.template import Context, Template
from django.test import Client
from django.utils.translation import override
from wagtail.models import PageViewRestriction

import finetune_switch
from finetune_switch.models import Exchange, Origin, Switch
from finetune_switch.visitors.answering import parts_of
from tests.helpers import make_backend, make_passages
from tests.index_helpers import build
from tests.visitor_helpers import ask_visitor, events

pytestmark = pytest.mark.django_db

OPENING = "The lighthouse opens at 9am, and a ticket costs £24."
SAID = "It opens at nine. [1] A dog pays £7. [1] <b>Welcome.</b>"


@pytest.fixture
def lighthouse(site, connections, standin, make_page):
    """A page, a model that adds a price of its own to it, and a switch that names the model."""
    page = make_page("Lighthouse", OPENING)
    build()
    standin.add_model("chatty", listed=False, answer=SAID)
    # Above what the home page has in common with the question.
    switch = Switch.objects.create(site=site, similarity_threshold=0.4)
    switch.activate(make_backend("ollama", "chatty"), expected=None)
    return page


class TestAsk:
    def test_sources_then_the_checked_text_then_the_end(self, client, lighthouse, standin):
        names, data = zip(*events(ask_visitor(client)), strict=True)
        assert (names[0], set(names[1:-1]), names[-1]) == ("sources", {"text"}, "done")
        assert data[0]["passages"][0]["source"]["url"] == "/lighthouse/"
        text = "".join(piece["text"] for piece in data[1:-1])
        instead = "Please look this up on the page itself. [1]"
        assert text == f"It opens at nine. [1] {instead} <b>Welcome.</b>"
        exchange = Exchange.objects.get()
        assert (exchange.origin, exchange.user, exchange.answer) == (Origin.SITE, None, SAID)
        assert [held["text"] for held in exchange.withheld_facts] == ["£7"]

    def test_which_model_it_was_and_what_it_cost_is_not_told(self, client, lighthouse):
        shown = {name: set(data) for name, data in events(ask_visitor(client))}
        assert shown == {
            "sources": {"exchange", "data_destination", "passages", "left_out"},
            "text": {"text"},
            "done": {"outcome", "citations"},
        }

    def test_the_lock_can_be_off(self, client, lighthouse, settings):
        settings.FINETUNE_SWITCH = {**settings.FINETUNE_SWITCH, "VISITORS": {"FACT_LOCK": False}}
        text = "".join(data["text"] for name, data in events(ask_visitor(client)) if name == "text")
        assert text == SAID

    @pytest.mark.parametrize(
        ("headers", "is_taken"),
        [
            ({"sec-fetch-site": "same-origin"}, True),
            ({"origin": "http://testserver"}, True),
            ({}, False),
            ({"sec-fetch-site": "same-site"}, False),
            ({"sec-fetch-site": "cross-site", "origin": "http://testserver"}, False),
            ({"sec-fetch-site": "none"}, False),
            ({"origin": "https://testserver"}, False),
            ({"origin": "http://testserver.example"}, False),
            ({"origin": "null"}, False),
        ],
    )
    def test_only_the_sites_own_pages_ask(self, lighthouse, standin, headers, is_taken):
        response = ask_visitor(Client(enforce_csrf_checks=True), headers=headers)
        if is_taken:
            assert events(response)[-1][0] == "done"
        else:
            assert response.status_code == 403
            message = "Questions can only be asked on this site's own pages."
            assert response.json() == {"message": message, "code": "origin"}
            assert standin.requests == []

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            ({"question": " "}, "Write a question first."),
            ({"locale": "de", "question": ""}, "Schreiben Sie zuerst eine Frage."),
            ({"locale": "xx"}, "This site has no content in the language “xx”."),
            ({"locale": "../" * 200}, "This site has no content in the language"),
            ({"question": "a" * 1001}, "The question has 1001 characters; at most 1000 can be"),
        ],
    )
    def test_what_cannot_be_asked_is_refused_with_a_sentence(self, client, site, data, message):
        response = ask_visitor(client, **data)
        assert response.status_code == 400
        assert response.json()["message"].startswith(message)

    def test_it_is_for_post_alone(self, client, site):
        assert client.get("/answers/ask/").status_code == 405

    def test_a_server_that_is_down_is_a_sentence(self, client, lighthouse, standin):
        standin.add_model("chatty", listed=False, fault="unauthorized")
        names, data = zip(*events(ask_visitor(client)), strict=True)
        assert names == ("sources", "failed")
        assert data[0]["passages"]
        assert set(data[1]) == {"message", "code"}

    def test_a_private_page_is_for_those_who_may_open_it(self, client, lighthouse):
        PageViewRestriction.objects.create(page=lighthouse, restriction_type="login")
        assert events(ask_visitor(client))[0][1]["passages"] == []
        client.force_login(User.objects.create_user("ada"))
        assert events(ask_visitor(client))[0][1]["passages"] != []

    def test_the_language_of_the_page_is_that_of_the_answer(self, client, lighthouse):
        ask_german = ask_visitor(client, "When does the lighthouse open?", locale="de")
        text = "".join(data["text"] for name, data in events(ask_german) if name == "text")
        assert "Bitte sehen Sie auf der Seite selbst nach. [1]" in text


class TestSearchPage:
    def soup(self, client, **query):
        response = client.get("/answers/search/", query)
        assert response.status_code == 200
        return BeautifulSoup(response.content, "html.parser"), response

    def test_the_answer_its_sources_and_the_results(self, client, lighthouse):
        page, response = self.soup(client, q="When does the lighthouse open?")
        answer = page.select_one(".finetune-answer")
        assert "It opens at nine. [1]" in answer.get_text()
        assert "£7" not in page.get_text()
        assert answer.select_one("b") is None
        assert {link["href"] for link in answer.select("a")} == {"/lighthouse/"}
        (result,) = page.select(".finetune-results li")
        assert result.h3.get_text() == "Lighthouse"
        assert result.select("mark")
        assert page.select_one("input[name=q]")["value"] == "When does the lighthouse open?"
        assert "private" in response["Cache-Control"]

    def test_nothing_is_asked_without_a_question(self, client, lighthouse, standin):
        page, _ = self.soup(client)
        assert page.select_one(".finetune-answer, .finetune-results") is None
        assert standin.requests == []

    def test_who_turns_pages_is_not_answered_again(self, client, lighthouse, make_page, standin):
        for number in range(12):
            make_page(f"Lighthouse {number}", f"The lighthouse opens at {number}.")
        build()
        first, _ = self.soup(client, q="lighthouse")
        assert first.select_one(".finetune-pages [rel=next]")["href"] == "?q=lighthouse&page=2"
        standin.clear()
        second, _ = self.soup(client, q="lighthouse", page="2")
        assert second.select(".finetune-results li")
        assert second.select_one(".finetune-answer") is None
        assert standin.requests == []

    def test_a_failure_is_a_sentence_above_the_results(self, client, lighthouse, standin):
        standin.add_model("chatty", listed=False, fault="unauthorized")
        page, _ = self.soup(client, q="lighthouse")
        assert page.select_one(".finetune-answer [role=alert]").get_text()
        assert page.select(".finetune-results li")

    def test_too_long_a_question_is_a_sentence(self, client, site, connections):
        page, _ = self.soup(client, q="a" * 1001)
        assert "The question has 1001 characters" in page.select_one("[role=alert]").get_text()

    def test_a_script_has_the_answer_later_and_the_results_at_once(
        self, client, lighthouse, standin
    ):
        page, _ = self.soup(client, q="When & where?", answer="later")
        chat = page.select_one(".finetune-answer finetune-chat")
        assert chat["data-question"] == "When & where?"
        assert chat.a["href"] == "/answers/search/?q=When%20%26%20where%3F"
        assert page.select_one(".finetune-results")
        assert standin.requests == []
        assert page.select_one("script[src$='finetune-search.js']")

    def test_a_site_overrides_it_block_by_block(self, client, lighthouse, settings, tmp_path):
        """By a template of the same name, which extends the one that it stands before."""
        name = "finetune_switch/visitors/search.html"
        own = tmp_path / name
        own.parent.mkdir(parents=True)
        own.write_text(
            f'{{% extends "{name}" %}}'
            "{% block heading %}Ask the keeper{% endblock %}"
            "{% block sources %}<p class='own'>{{ answered.sources.0.title }}</p>{% endblock %}"
            "{% block results %}{{ block.super }}<p class='after'>{{ found.number }}</p>"
            "{% endblock %}"
        )
        settings.TEMPLATES = [
            {**engine, "DIRS": [tmp_path, *engine["DIRS"]]} for engine in settings.TEMPLATES
        ]
        page, _ = self.soup(client, q="When does the lighthouse open?")
        assert page.h1.get_text() == "Ask the keeper"
        assert "It opens at nine. [1]" in page.select_one(".finetune-answer").get_text()
        assert page.select_one(".own").get_text() == "Lighthouse"
        assert page.select_one(".finetune-sources") is None
        assert page.select_one(".finetune-results li")
        assert page.select_one(".after").get_text() == "1"


class TestWidget:
    def render(self, options=""):
        template = Template(f"{{% load finetune_switch_tags %}}{{% finetune_chat {options} %}}")
        return BeautifulSoup(template.render(Context()), "html.parser")

    def test_it_holds_nothing_of_one_visitor(self, django_assert_num_queries):
        with django_assert_num_queries(0):
            page = self.render()
        chat = page.find("finetune-chat")
        assert chat["data-ask"] == "/answers/ask/"
        assert chat.find("form")["action"] == "/answers/search/"
        assert "csrf" not in str(page)
        assert page.find("script")["type"] == "module"

    @pytest.mark.parametrize("options", ["dialog=True", 'mode="dialog"'])
    def test_as_a_dialog_it_is_a_link_until_the_script_has_come(self, options):
        chat = self.render(options).find("finetune-chat")
        assert chat["data-mode"] == "dialog"
        assert chat.a["href"] == "/answers/search/"
        assert chat.find("form") is None

    def test_its_texts_are_in_the_language_of_the_page(self):
        with override("de"):
            chat = self.render().find("finetune-chat")
        assert chat["lang"] == "de"
        assert json.loads(chat["data-texts"])["again"] == "Neu beginnen"

    def test_the_script_uses_the_texts_that_there_are(self):
        script = SCRIPT.read_text()
        used = set(re.findall(r"\btexts\.(\w+)", script)) | set(
            re.findall(r"(?:button|thumb)\((?:this\.)?texts, '(\w+)'", script)
        )
        assert used == set(json.loads(self.render().find("finetune-chat")["data-texts"]))

    def test_it_is_small_and_writes_no_markup(self):
        assert sum(len(compress(path.read_bytes())) for path in (SCRIPT, SEARCH_SCRIPT)) < 12_000
        assert "import" not in re.findall(r"^\w+", SCRIPT.read_text(), re.MULTILINE)
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", SCRIPT.read_text()
        )

    def test_it_reads_streams_as_the_comparison_does(self):
        """Each script is one complete file; a shared one would be a second to load and copy."""
        reader = re.compile(r"^async function\* eventsOf.*?^}", re.MULTILINE | re.DOTALL)
        scripts = (SCRIPT, SCRIPT.parents[1] / "comparisons" / "finetune-compare.js")
        visitors, editors = (reader.findall(script.read_text()) for script in scripts)
        assert visitors == editors
        assert len(visitors) == 1


SCRIPT = Path(finetune_switch.__file__).parent / "static/finetune_switch/visitors/finetune-chat.js"
SEARCH_SCRIPT = SCRIPT.with_name("finetune-search.js")


def test_citations_are_apart_from_the_words():
    passages = make_passages("a", "b")
    parts = [(part.text, part.source) for part in parts_of("A [1; 2], b [9].", passages)]
    assert parts == [
        ("A ", None),
        ("1", passages[0]),
        ("2", passages[1]),
        (", b ", None),
        (".", None),
    ]


def test_the_addresses_import_nothing_that_is_slow():
    code = (
        "import django; django.setup(); import sys, finetune_switch.urls;"
        "print(*({'litellm', 'phonenumbers', 'finetune_switch.text.fact_lock'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
