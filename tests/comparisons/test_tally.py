"""The tally: real rows, added up, and what of it each reader gets to see."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.contrib.auth import get_user_model

from finetune_switch.access import Asker
from finetune_switch.comparisons.reading import ComparisonReader
from finetune_switch.comparisons.tally import tally
from finetune_switch.judging.statistics import wilson_interval
from finetune_switch.models import ChatBackend, Comparison, Exchange, Grade, Outcome, Question
from tests.comparison_helpers import (
    answer_column,
    bar,
    column_of,
    grade,
    make_comparison,
    prefer,
    show_names,
)

pytestmark = pytest.mark.django_db


class TestWilson:
    @pytest.mark.parametrize(
        ("wins", "trials", "low", "high"),
        [
            # Figures of Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0000, 0.1611),
            (1, 29, 0.0061, 0.1718),
            (10, 10, 0.7225, 1.0000),
        ],
    )
    def test_as_others_have_worked_it_out(self, wins, trials, low, high):
        interval = wilson_interval(wins, trials)
        assert interval == pytest.approx((low, high), abs=5e-5)

    def test_of_nothing(self):
        assert wilson_interval(0, 0) is None


@pytest.fixture
def judges(db):
    users = get_user_model().objects
    return [
        users.create_superuser("nell", "nell@example.org"),
        users.create_superuser("sam", "sam@example.org"),
    ]


@pytest.fixture
def models(db, connections):
    def add(alias, label):
        return ChatBackend.objects.create(
            alias=alias, label=label, connection="openai", model_name="test-model"
        )

    return {
        "base": add("base", "Base"),
        "hosted": add("hosted", "Hosted"),
        "tuned": add("tuned", "Tuned"),
    }


@pytest.fixture
def compare(site, models):
    def compare(*names, **values):
        backends = [models[name] for name in names or ("hosted", "tuned")]
        return make_comparison("When?", backends, **{"site": site, **values})

    return compare


def count(user, comparisons=None):
    found = Comparison.objects.all() if comparisons is None else comparisons
    return tally(found, ComparisonReader(user, Asker.from_user(user)))


def grades(rows):
    return {row.name: row.grade_counts for row in rows}


def test_nothing(site, judges):
    found = count(judges[0])
    assert (found.comparisons, found.backends, found.pairs, found.topics) == (0, [], [], [])


def test_what_nobody_judged_does_not_count(compare, judges):
    compare()
    noted = compare()
    grade(noted, "A", judges[0], note="Hm.")
    taken_back = compare()
    grade(taken_back, "A", judges[0], "wrong")
    Grade.undo(Exchange.objects.get(pk=column_of(taken_back, "A").exchange_id), judge=judges[0])
    assert count(judges[0]).comparisons == 0


def test_the_table_of_a_case(compare, judges):
    """Ten questions to three models, as it once was: 3-0-6-1, 5-0-5-0 and 0-4-0-6."""
    case = {
        "base": ["correct"] * 3 + ["dont_know"] * 6 + ["wrong"],
        "hosted": ["correct"] * 5 + ["dont_know"] * 5,
        "tuned": ["partly_correct"] * 4 + ["wrong"] * 6,
    }
    for number in range(10):
        comparison = compare(*case)
        for letter, values in zip("ABC", case.values(), strict=True):
            grade(comparison, letter, judges[0], values[number])
    found = count(judges[0])
    assert found.comparisons == 10
    assert grades(found.backends) == {
        "Base": [3, 0, 6, 1],
        "Hosted": [5, 0, 5, 0],
        "Tuned": [0, 4, 0, 6],
    }
    assert [row.graded for row in found.backends] == [10, 10, 10]


def test_each_judges_current_grade(compare, judges):
    comparison = compare()
    nell, sam = judges
    grade(comparison, "A", nell, "wrong", tone="no")
    grade(comparison, "A", nell, "correct")
    grade(comparison, "A", sam, "partly_correct", tone="yes")
    grade(comparison, "B", sam, tone="nearly")
    found = count(nell)
    assert grades(found.backends) == {"Hosted": [1, 1, 0, 0], "Tuned": [0, 0, 0, 0]}
    assert [row.tone_counts for row in found.backends] == [[1, 0, 1], [0, 1, 0]]


def test_an_answer_that_was_replaced_takes_its_grades_along(compare, judges):
    comparison = compare()
    column = column_of(comparison, "A")
    grade(comparison, "A", judges[0], "wrong")
    column.try_again(column.exchange_id)
    answer_column(column, "Another")
    grade(comparison, "A", judges[0], "correct")
    assert grades(count(judges[0]).backends)["Hosted"] == [1, 0, 0, 0]


class TestPairs:
    def test_two(self, compare, judges):
        nell, sam = judges
        # Columns stand in any order.
        for names, words in (
            (("hosted", "tuned"), ("A", "A")),
            (("tuned", "hosted"), ("B", "both_good")),
            (("tuned", "hosted"), ("A", "both_bad")),
        ):
            comparison = compare(*names)
            prefer(comparison, words[0], nell)
            prefer(comparison, words[1], sam)
        [pair] = count(nell).pairs
        assert (pair.first, pair.second) == ("Hosted", "Tuned")
        assert (pair.wins, pair.losses, pair.both_good, pair.both_bad) == (3, 1, 1, 1)
        assert (pair.decided, pair.share) == (4, 0.75)
        assert pair.interval == wilson_interval(3, 4)
        assert pair.better == ""

    def test_three(self, compare, judges):
        """Who prefers B of A, B and C says nothing of A and C."""
        prefer(compare("base", "hosted", "tuned"), "B", judges[0])
        found = {(pair.first, pair.second): pair for pair in count(judges[0]).pairs}
        assert set(found) == {("Base", "Hosted"), ("Hosted", "Tuned")}
        assert (found["Base", "Hosted"].wins, found["Base", "Hosted"].losses) == (0, 1)
        assert (found["Hosted", "Tuned"].wins, found["Hosted", "Tuned"].losses) == (1, 0)

    def test_all_of_three(self, compare, judges):
        prefer(compare("base", "hosted", "tuned"), "both_bad", judges[0])
        assert [pair.both_bad for pair in count(judges[0]).pairs] == [1, 1, 1]
        assert [pair.interval for pair in count(judges[0]).pairs] == [None, None, None]

    def test_better_is_more_than_chance(self, compare, judges):
        for _number in range(6):
            prefer(compare(), "B", judges[0])
        [pair] = count(judges[0]).pairs
        assert pair.better == "Tuned"

    def test_a_changed_mind(self, compare, judges):
        comparison = compare()
        prefer(comparison, "A", judges[0])
        prefer(comparison, "B", judges[0])
        [pair] = count(judges[0]).pairs
        assert (pair.wins, pair.losses) == (0, 1)

    def test_a_backend_that_is_gone(self, compare, models, judges):
        for _number in range(2):
            prefer(compare(), "B", judges[0])
        models["tuned"].delete()
        [pair] = count(judges[0]).pairs
        assert (pair.first, pair.second, pair.losses) == ("Hosted", "Tuned", 2)


def test_medians(compare, judges):
    for first, load, total, cost in (
        (1.0, None, 2.0, "0.001"),
        (9.0, 8.5, 4.0, "0.003"),
        (3.0, 0.0, None, None),
    ):
        comparison = compare()
        grade(comparison, "A", judges[0], "correct")
        Exchange.objects.filter(pk=column_of(comparison, "A").exchange_id).update(
            first_token_seconds=first,
            load_seconds=load,
            duration_seconds=total,
            cost=cost and Decimal(cost),
        )
    failed = compare()
    grade(failed, "B", judges[0], "wrong")
    Exchange.objects.filter(pk=column_of(failed, "A").exchange_id).update(
        outcome=Outcome.FAILED, duration_seconds=900
    )
    hosted = count(judges[0]).backends[0]
    assert (hosted.median_first_token, hosted.median_duration) == (1.0, 3.0)
    assert hosted.median_cost == pytest.approx(0.002)


def test_topics(compare, judges):
    question = Question.objects.create(text="When?")
    question.tags.add("hours", "Arrival")
    untagged = Question.objects.create(text="Where?")
    for saved, value in ((question, "correct"), (untagged, "wrong"), (None, "wrong")):
        grade(compare(saved_question=saved), "A", judges[0], value)
    prefer(compare(saved_question=question), "A", judges[0])
    found = dict(count(judges[0]).topics)
    assert list(found) == ["Arrival", "hours"]
    assert grades(found["hours"]) == {"Hosted": [1, 0, 0, 0]}
    assert grades(found["Arrival"]) == {"Hosted": [1, 0, 0, 0]}


class TestWhatIsLeftOut:
    def test_names_that_the_reader_may_not_know(self, compare, judges):
        nell, sam = judges
        hidden, seen = compare(is_blind=True), compare(is_blind=True)
        for comparison in (hidden, seen):
            grade(comparison, "A", sam, "correct")
        show_names(seen, nell)
        found = count(nell)
        assert (found.comparisons, found.hidden_blind, found.hidden_closed) == (1, 1, 0)
        assert grades(found.backends)["Hosted"] == [1, 0, 0, 0]

    def test_pages_that_the_reader_may_not_open(self, compare, judges, site):
        nell = judges[0]
        grade(compare(pages=[site.root_page]), "A", nell, "wrong")
        grade(compare(), "A", nell, "correct")
        bar(site.root_page)
        editor = get_user_model().objects.create_user("editor")
        found = count(editor)
        assert (found.comparisons, found.hidden_blind, found.hidden_closed) == (1, 0, 1)
        assert grades(found.backends)["Hosted"] == [1, 0, 0, 0]
        assert count(nell).comparisons == 2


def test_queries_do_not_grow(compare, judges, site, django_assert_max_num_queries):
    def look():
        with django_assert_max_num_queries(60) as captured:
            count(judges[0])
        return len(captured)

    def add():
        question = Question.objects.create(text="When?")
        question.tags.add("hours")
        comparison = compare(saved_question=question, pages=[site.root_page])
        grade(comparison, "A", judges[1], "correct")
        prefer(comparison, "A", judges[1])

    bar(site.root_page)
    add()
    look()
    few = look()
    for _number in range(12):
        add()
    assert look() == few


def test_filters_apply(compare, judges, models):
    for names in (("hosted", "tuned"), ("hosted", "base")):
        grade(compare(*names), "A", judges[0], "correct")
    found = Comparison.objects.filter(columns__backend=models["base"])
    assert grades(count(judges[0], found).backends) == {"Base": [0] * 4, "Hosted": [1, 0, 0, 0]}


@pytest.mark.parametrize("outcome", [Outcome.CANCELLED, Outcome.FAILED, Outcome.INTERRUPTED])
def test_what_was_broken_off_does_not_count(compare, judges, outcome):
    comparison = compare()
    broken = column_of(comparison, "B")
    grade(comparison, "B", judges[0], "correct")
    prefer(comparison, "B", judges[0])
    Exchange.objects.filter(pk=broken.exchange_id).update(outcome=outcome)
    counted = count(judges[0])
    assert sum(row.graded for row in counted.backends) == 0
    assert not any(pair.wins or pair.losses for pair in counted.pairs)
