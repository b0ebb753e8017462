"""What is offered while a question is typed."""

from __future__ import annotations

import pytest
from django.apps import apps
from wagtail.contrib.search_promotions.models import Query

from finetune_switch.models import Comparison, Question
from tests.comparison_helpers import bar, make_comparison
from tests.pages import address
from tests.roles import grant

EVIL = "</script><script>alert(1)</script>"


def suggestions(reader, **query):
    response = reader.client.get(address("comparisons:suggestions"), query)
    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    return response.json()


def search_for(text, times=1):
    for _number in range(times):
        Query.get(text).add_hit()


@pytest.fixture
def compare(site, hosted, tuned):
    return lambda question, **values: make_comparison(
        question, [hosted, tuned], site=site, **values
    )


def test_nothing(site, admin):
    assert suggestions(admin) == []
    assert suggestions(admin, q="boat") == []


def test_each_kind_in_turn(compare, admin):
    compare("When is the boat due?")
    saved = Question.objects.create(text="What does a boat cost?")
    search_for("boat hire")
    assert suggestions(admin, q="BOAT") == [
        {"text": "What does a boat cost?", "kind": "saved", "saved": saved.pk},
        {"text": "When is the boat due?", "kind": "recent"},
        {"text": "boat hire", "kind": "searched"},
    ]
    assert suggestions(admin, q="hire") == [{"text": "boat hire", "kind": "searched"}]
    assert len(suggestions(admin)) == 3


def test_each_text_once_as_it_was_saved(compare, admin):
    compare("When do you open?")
    compare("When do you open?")
    for _number in range(3):
        Question.objects.create(text="Earlier")
    saved = Question.objects.create(text="when do you OPEN?")
    search_for("when do you open?")
    found = [one for one in suggestions(admin) if "open" in one["text"].lower()]
    assert found == [{"text": "when do you OPEN?", "kind": "saved", "saved": saved.pk}]


def test_ten_at_most_with_some_of_each(compare, admin):
    for number in range(12):
        compare(f"Asked {number}?")
        Question.objects.create(text=f"Saved {number}?")
        search_for(f"searched {number}")
    found = suggestions(admin)
    assert len(found) == 10
    kinds = [one["kind"] for one in found]
    assert {kind: kinds.count(kind) for kind in kinds} == {"saved": 4, "recent": 3, "searched": 3}


def test_most_searched_first(site, admin):
    search_for("rarely")
    search_for("often", times=3)
    assert [one["text"] for one in suggestions(admin)] == ["often", "rarely"]


def test_a_question_about_pages_that_are_not_open_is_not_offered(compare, site, admin, log_in):
    compare("What do they earn?", pages=[site.root_page])
    bar(site.root_page)
    assert suggestions(log_in("comparer"), q="earn") == []
    assert len(suggestions(admin, q="earn")) == 1


def test_what_visitors_searched_for_is_for_those_who_may_read_their_questions(site, log_in):
    search_for("my brother's debts")
    editor = log_in("comparer")
    assert suggestions(editor, q="debts") == []
    assert "debts" not in editor.get("compare:index").html
    grant(editor.user, "view_exchange")
    assert [one["kind"] for one in suggestions(editor, q="debts")] == ["searched"]


def test_without_wagtails_log(site, admin, monkeypatch):
    search_for("boats")
    installed = apps.is_installed
    monkeypatch.setattr(
        apps, "is_installed", lambda name: "promotions" not in name and installed(name)
    )
    assert suggestions(admin, q="boats") == []


@pytest.mark.parametrize("query", ["\x00", "%", "x" * 20_000, "'; --", "\ud7ff", "\\"])
def test_nonsense_breaks_nothing(query, compare, admin):
    compare("When?")
    assert len(suggestions(admin, q=query)) == (query == "\x00")


def test_text_is_text(compare, admin):
    compare(EVIL)
    assert suggestions(admin)[0]["text"] == EVIL


def test_queries_do_not_grow(compare, site, admin, django_assert_max_num_queries):
    def look():
        with django_assert_max_num_queries(40) as captured:
            suggestions(admin)
        return len(captured)

    bar(site.root_page)
    compare("When?", pages=[site.root_page])
    look()
    few = look()
    for number in range(20):
        compare(f"When {number}?", pages=[site.root_page])
    assert look() == few
    assert Comparison.objects.count() == 21
