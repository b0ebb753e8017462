"""What people start with: pages are indexed and a question is answered on SQLite.

``make sqlite`` runs this file alone, on SQLite; the other tests run on PostgreSQL.
"""

from __future__ import annotations

import pytest
from django.db import connection

from finetune_switch.models import Exchange, Outcome, Switch
from finetune_switch.search import search
from tests.helpers import make_backend
from tests.index_helpers import build, counts, titles
from tests.visitor_helpers import ask_visitor

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="about SQLite"),
]

QUESTION = "When does the harbour open?"
OPENING = "The harbour opens at nine on every day but Christmas."


@pytest.fixture
def page(make_page):
    page = make_page("Opening hours", OPENING)
    build()
    return page


def test_a_build_finds_what_is_there_and_what_has_changed(page, make_page):
    assert titles() == {"Harbour", "Opening hours"}
    make_page("Moorings", "A mooring costs £18 a night.")
    assert counts(build(changed_only=True))[0] == 1
    page.unpublish()
    assert titles("mooring") == {"Harbour", "Moorings"}


def test_words_and_vectors_find_the_page(page, site):
    (first, *_others) = search(QUESTION, site=site)
    assert (first.source.title, set(first.found_by)) == ("Opening hours", {"vector", "text"})


def test_an_answer_without_a_model_quotes_the_page(page, site, ask):
    asked = ask(QUESTION, site=site)
    assert asked.text == f"{OPENING} [1]"
    assert asked.exchange.outcome == Outcome.COMPLETE


def test_a_model_is_asked_and_recorded(page, site, connections, standin, ask):
    Switch.objects.create(site=site).activate(make_backend("ollama"), expected=None)
    asked = ask(QUESTION, site=site)
    (request,) = standin.requests
    assert OPENING in str(request.json["messages"])
    assert (asked.exchange.answer, asked.exchange.outcome) == (asked.text, Outcome.COMPLETE)


def test_a_visitor_is_answered(page, client):
    said = b"".join(ask_visitor(client, QUESTION).streaming_content).decode()
    assert "nine on every day but Christmas" in said
    assert Exchange.objects.get().question == QUESTION
