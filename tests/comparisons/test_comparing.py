"""One retrieval for several backends, and what people think of the answers."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import connection
from django.utils import timezone
from wagtail.models import PageViewRestriction

from demo_site.models import ArticlePage
from finetune_switch.access import Asker
from finetune_switch.comparisons.comparing import may_read, open_comparison, reveal
from finetune_switch.exceptions import BackendError, InvalidQuestion
from finetune_switch.models import (
    ChatBackend,
    Column,
    Comparison,
    EmbeddingSpace,
    Exchange,
    Grade,
    Origin,
    Preference,
    Switch,
)
from tests.index_helpers import build

pytestmark = pytest.mark.django_db

QUESTION = "When does the harbour open?"


@pytest.fixture
def people(site):
    users = get_user_model().objects
    return users.create_user("nell", "n@example.org"), users.create_user("sam", "s@example.org")


@pytest.fixture
def backends(site):
    rows = [
        ChatBackend(
            alias=name, label=name.title(), connection="openai", model_name="standin-hosted"
        )
        for name in ("one", "two", "three", "four", "five")
    ]
    for row in rows:
        row.save()
    return rows


@pytest.fixture
def page(site):
    page = ArticlePage(
        title="Opening hours",
        introduction="The harbour opens at nine.",
        body=[("paragraph", "<p>The harbour opens at nine in summer.</p>")],
    )
    site.root_page.add_child(instance=page)
    build()
    return page


def compare(backends, user, question=QUESTION, **options):
    options = {"site": None, "locale": "en-gb", **options}
    return open_comparison(question, backends=backends, user=user, **options)


def restrict(page, group=None):
    kind = PageViewRestriction.GROUPS if group else PageViewRestriction.LOGIN
    restriction = PageViewRestriction.objects.create(page=page, restriction_type=kind)
    if group:
        restriction.groups.add(group)


class TestOpening:
    def test_retrieves_once_and_asks_nobody(self, page, backends, people, standin):
        comparison = compare(backends[:3], people[0])
        assert [passage.source.title for passage in comparison.frozen_passages][:1] == [page.title]
        assert [column.letter for column in comparison.columns.all()] == ["A", "B", "C"]
        assert not Exchange.objects.exists()
        assert standin.requests == []

    def test_blind_columns_come_in_any_order(self, page, backends, people):
        orders = {
            tuple(compare(backends[:4], people[0]).columns.values_list("backend", flat=True))
            for _ in range(20)
        }
        assert len(orders) > 1

    def test_others_come_in_the_order_they_were_chosen(self, page, backends, people):
        chosen = [backends[2], backends[0], backends[3]]
        columns = compare(chosen, people[0], is_blind=False).columns
        assert [column.backend for column in columns.select_related("backend")] == chosen

    def test_follows_the_sites_switch(self, site, page, backends, people):
        Switch.objects.create(site=site, similarity_threshold=1.0)
        assert compare(backends[:2], people[0], "What is soup?", site=site).passages == []

    def test_without_retrieval_there_is_nothing_to_read(self, page, backends, people):
        comparison = compare(backends[:2], people[0], retrieval=False)
        assert (comparison.retrieval, comparison.passages) == (False, [])
        assert may_read(Asker.anonymous(), comparison)

    @pytest.mark.parametrize("chosen", [0, 1, 5])
    def test_two_to_four_backends(self, backends, people, chosen):
        with pytest.raises(InvalidQuestion, match=f"Choose 2 to 4 .* {chosen} were chosen"):
            compare(backends[:chosen], people[0])
        assert not Comparison.objects.exists()

    def test_the_same_backend_twice_is_one(self, backends, people):
        with pytest.raises(InvalidQuestion, match="1 were chosen"):
            compare([backends[0], backends[0]], people[0])

    @pytest.mark.parametrize(
        ("question", "said"), [(" \x00 ", "Write a question first"), ("x" * 20_001, "20001 char")]
    )
    def test_questions_that_are_none(self, backends, people, question, said):
        with pytest.raises(InvalidQuestion, match=said):
            open_comparison(
                question, backends=backends[:2], site=None, locale="en-gb", user=people[0]
            )

    def test_pages_that_cannot_be_searched(self, page, backends, people):
        EmbeddingSpace.objects.update(connection="gone")
        with pytest.raises(BackendError):
            compare(backends[:2], people[0])
        assert not Comparison.objects.exists()


class TestReading:
    def test_of_a_page_that_was_restricted_since(self, page, backends, people):
        comparison = compare(backends[:2], people[0])
        assert may_read(Asker.anonymous(), comparison)
        restrict(page)
        assert not may_read(Asker.anonymous(), comparison)
        assert may_read(Asker.from_user(people[0]), comparison)

    def test_of_a_page_that_is_gone(self, page, backends, people):
        comparison = compare(backends[:2], people[0])
        page.delete()
        assert not may_read(Asker.from_user(people[0]), comparison)

    def test_as_a_member_of_a_group(self, page, backends, people):
        crew = Group.objects.create(name="Crew")
        restrict(page, crew)
        build()
        visitors = compare(backends[:2], people[0]).frozen_passages
        assert page.title not in {passage.source.title for passage in visitors}
        comparison = compare(backends[:2], people[0], as_group=crew)
        assert comparison.frozen_passages[0].source.title == page.title
        assert not may_read(Asker.from_user(people[0]), comparison)
        people[0].groups.add(crew)
        assert may_read(Asker.from_user(people[0]), comparison)


class TestNames:
    def test_nobody_knows_them_before_judging(self, page, backends, people):
        nell, sam = people
        comparison = compare(backends[:2], nell)
        assert not comparison.tells_names_to(nell)
        assert not reveal(comparison, nell)
        Preference.record(comparison, judge=nell, was_blind=True, outcome="both_bad", column=None)
        assert not comparison.tells_names_to(nell)
        assert reveal(comparison, nell)
        assert comparison.tells_names_to(nell)
        assert not comparison.tells_names_to(sam)

    def test_taking_it_back_does_not_make_it_unseen(self, page, backends, people):
        comparison = compare(backends[:2], people[0])
        Preference.record(
            comparison, judge=people[0], was_blind=True, outcome="both_good", column=None
        )
        reveal(comparison, people[0])
        Preference.undo(comparison, judge=people[0])
        assert comparison.tells_names_to(people[0])

    def test_everybody_knows_them_where_it_is_not_blind(self, page, backends, people):
        assert compare(backends[:2], people[0], is_blind=False).tells_names_to(people[1])


@pytest.fixture
def exchange(site):
    return Exchange.objects.create(
        question=QUESTION, origin=Origin.COMPARE, deadline_at=timezone.now(), answer="At nine."
    )


def grades(exchange):
    rows = Grade.objects.filter(exchange=exchange).order_by("pk")
    return [(grade.value, grade.tone, grade.is_current) for grade in rows]


class TestGrades:
    def test_change_leaves_a_history(self, exchange, people):
        nell = people[0]
        Grade.record(exchange, judge=nell, was_blind=True, value="wrong")
        Grade.record(exchange, judge=nell, was_blind=True, tone="yes")
        last = Grade.record(exchange, judge=nell, was_blind=False, value="correct")
        assert grades(exchange) == [
            ("wrong", "", False),
            ("wrong", "yes", False),
            ("correct", "yes", True),
        ]
        assert (last.replaces.value, last.was_blind) == ("wrong", False)

    def test_the_same_again_is_no_change(self, exchange, people):
        first = Grade.record(exchange, judge=people[0], was_blind=True, value="wrong")
        assert Grade.record(exchange, judge=people[0], was_blind=False, value="wrong") == first
        assert len(grades(exchange)) == 1

    def test_undo_goes_back_step_by_step(self, exchange, people):
        nell = people[0]
        Grade.record(exchange, judge=nell, was_blind=True, value="wrong")
        Grade.record(exchange, judge=nell, was_blind=True, value="correct")
        assert Grade.undo(exchange, judge=nell).value == "wrong"
        assert grades(exchange) == [("wrong", "", True), ("correct", "", False)]
        assert Grade.undo(exchange, judge=nell) is None
        assert Grade.undo(exchange, judge=nell) is None
        assert not any(is_current for _value, _tone, is_current in grades(exchange))
        assert Grade.objects.filter(withdrawn_at=None).count() == 0

    def test_each_judge_for_themselves(self, exchange, people):
        for judge, value in zip(people, ("wrong", "correct"), strict=True):
            Grade.record(exchange, judge=judge, was_blind=True, value=value)
        Grade.undo(exchange, judge=people[0])
        assert grades(exchange) == [("wrong", "", False), ("correct", "", True)]

    @pytest.mark.django_db(transaction=True)
    def test_two_windows_at_once(self, exchange, people):
        """Both are kept, one after the other, and neither fails."""
        meeting = threading.Barrier(2)

        def grade(value):
            try:
                meeting.wait(5)
                Grade.record(exchange, judge=people[0], was_blind=True, value=value)
            finally:
                connection.close()

        with ThreadPoolExecutor(2) as threads:
            list(threads.map(grade, ["wrong", "correct"]))
        assert sorted(is_current for _value, _tone, is_current in grades(exchange)) == [False, True]


class TestTryingAgain:
    def test_chooses_another_exchange_once(self, page, backends, people):
        comparison = compare(backends[:2], people[0])
        rows = Column.objects.filter(comparison=comparison, position=0)
        column, colleagues = rows.get(), rows.get()
        failed = column.exchange_id
        assert column.try_again(instead_of=failed)
        assert not colleagues.try_again(instead_of=failed)
        assert colleagues.exchange_id == column.exchange_id != failed
