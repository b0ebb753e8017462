"""Retrieval finds only pages that the asker may open now."""

from __future__ import annotations

import asyncio
import re
import threading
import time

import pytest
from django.contrib.auth.models import Group, User
from wagtail.models import Locale, Page, PageViewRestriction, Site

from demo_site.models import HomePage, SectionPage
from finetune_switch import adapters
from finetune_switch.access import Asker
from finetune_switch.answers import aanswer, answer
from finetune_switch.exceptions import BackendError
from finetune_switch.models import Chunk, Exchange, Outcome, Switch
from finetune_switch.passages import Hit
from finetune_switch.search import retrieve
from tests.helpers import make_backend, make_passages, run
from tests.index_helpers import build

pytestmark = pytest.mark.django_db

LAMP = "The lighthouse lamp was first lit in 1871 by Ada Pender, the keeper's daughter."
SOUP = "The lighthouse café serves kipper soup with brown bread from noon until three."
QUESTION = "Who lit the lamp of the lighthouse?"
OTHER_WORDS = "What does soup taste like?"


def found(asker=None, **options):
    return {passage.source.title for passage in retrieve_as(asker, **options)}


def retrieve_as(asker=None, question=QUESTION, **options):
    return retrieve(question, asker=asker or Asker.anonymous(), **{"threshold": 0.45, **options})


def restrict(page, kind=PageViewRestriction.LOGIN, groups=(), **values):
    row = PageViewRestriction.objects.create(page=page, restriction_type=kind, **values)
    row.groups.set(groups)
    return row


@pytest.fixture
def lamp(make_page, reindex):
    page = make_page("Lamp", LAMP)
    make_page("Café", SOUP)
    reindex()
    return page


class TestWhatIsFound:
    def test_best_page_first(self, lamp, site):
        best, *_others = retrieve_as(site=site)
        assert (best.number, best.source.title, best.source.object_id) == (1, "Lamp", str(lamp.pk))
        assert "Ada Pender" in best.text
        assert best.source.url == "/lamp/"
        assert best.source.model == "demo_site.articlepage"
        assert 0.3 < best.score <= 1

    def test_nothing_below_the_threshold(self, lamp):
        lamp, café = (passage.score for passage in retrieve_as(threshold=0))
        assert found(threshold=café - 0.001) == {"Lamp", "Café"}
        assert found(threshold=(lamp + café) / 2) == {"Lamp"}
        assert found(question=OTHER_WORDS, threshold=0.99) == set()

    def test_limit(self, lamp):
        assert [p.source.title for p in retrieve_as(threshold=0, limit=1)] == ["Lamp"]

    def test_only_in_the_indexes_named(self, lamp):
        assert found(indexes=["ArticlePageIndex"]) == {"Lamp"}
        assert found(indexes=["BoatPageIndex"]) == set()
        assert found(indexes=["GoneIndex"]) == set()

    def test_writes_nothing(self, lamp, django_assert_max_num_queries):
        with django_assert_max_num_queries(30) as captured:
            retrieve_as()
        verbs = {query["sql"].split()[0].upper() for query in captured}
        assert verbs <= {"SELECT", "DECLARE"}  # PostgreSQL reads many rows by a cursor


class TestWhatIsHidden:
    """Permissions are checked when the question is asked. Nothing is indexed again here."""

    def test_unpublished_since(self, lamp):
        lamp.unpublish()
        assert found() == set()
        lamp.save_revision().publish()
        assert found() == {"Lamp"}

    def test_deleted_since(self, lamp):
        lamp.delete()
        assert found() == set()

    def test_a_draft(self, make_page, lamp, reindex):
        make_page("Draft", LAMP, live=False)
        reindex()
        assert found() == {"Lamp"}

    def test_an_unpublished_change(self, lamp, reindex):
        lamp.introduction = "The secret lighthouse lamp of 1999 was lit by Bert."
        lamp.save_revision()
        reindex()
        assert "1999" not in "".join(passage.text for passage in retrieve_as(threshold=0))

    def test_behind_a_login(self, lamp):
        restrict(lamp)
        member = User.objects.create_user("member")
        assert found() == set()
        assert found(Asker.from_user(member)) == {"Lamp"}

    def test_for_a_group(self, lamp):
        crew, other = (Group.objects.create(name=name) for name in ("Crew", "Other"))
        restrict(lamp, PageViewRestriction.GROUPS, [crew])
        assert found() == found(Asker.member_of(other)) == set()
        assert found(Asker.member_of(crew)) == {"Lamp"}

    def test_behind_a_password(self, lamp):
        row = restrict(lamp, PageViewRestriction.PASSWORD, password="tar")
        boss = User.objects.create_superuser("boss")
        assert found() == found(Asker.from_user(boss)) == set()
        assert found(Asker.from_user(None, [row.pk])) == {"Lamp"}

    def test_below_a_private_page(self, site, lamp, make_page, reindex):
        section = Page.objects.get(pk=site.root_page.pk).add_child(
            instance=SectionPage(title="Crew", introduction="For the crew.")
        )
        inner = make_page("Inner", f"{LAMP} So it began.", parent=section)
        make_page("Innermost", f"{LAMP} So it ended.", parent=inner)
        reindex()
        assert found() == {"Lamp", "Inner", "Innermost"}
        restrict(section)
        assert found() == {"Lamp"}
        crew = Group.objects.create(name="Crew")
        restrict(inner, PageViewRestriction.GROUPS, [crew])
        member = Asker.from_user(User.objects.create_user("member"))
        assert found(member) == {"Lamp"}
        assert found(Asker.member_of(crew)) == {"Lamp", "Inner", "Innermost"}

    def test_an_alias_made_before_its_source_became_private(self, site, lamp, reindex):
        lamp.create_alias(parent=site.root_page, update_slug="copy")
        reindex()
        assert len(retrieve_as(each_source_once=True)) == 2
        restrict(lamp)
        assert found() == set()

    def test_aliases_of_the_pages_below_it_too(self, site, lamp, make_page, reindex):
        make_page("Inner", LAMP, parent=lamp)
        lamp.refresh_from_db()
        lamp.create_alias(recursive=True, parent=site.root_page, update_slug="copy")
        reindex()
        assert len(retrieve_as(each_source_once=True)) == 4
        restrict(lamp)
        assert found() == set()

    def test_of_another_site(self, lamp, site, reindex):
        elsewhere = Page.get_first_root_node().add_child(
            instance=HomePage(title="Other", slug="other", strapline="x", introduction="Other.")
        )
        other = Site.objects.create(hostname="other.example", root_page=elsewhere)
        assert found(site=other) == set()
        assert found(site=site) == {"Lamp"}
        Page.objects.get(pk=lamp.pk).move(Page.objects.get(pk=elsewhere.pk), "last-child")
        assert found(site=site) == set()
        reindex()
        assert found(site=other) == {"Lamp"}
        assert found(site=site) == set()

    def test_in_another_language(self, lamp, site, reindex):
        german = Locale.objects.create(language_code="de")
        assert found(locale="en-gb") == found(locale="en") == {"Lamp"}
        assert found(locale="de") == set()
        lamp.locale = german
        lamp.save()
        assert found(locale="en-gb") == set()
        reindex()
        assert found(locale="de-at") == {"Lamp"}
        assert found(locale="fr") == {"Lamp"}


class Fixed:
    """An index of another package with given hits."""

    alias = label = "fixed"

    def __init__(self, *hits):
        self.hits = hits

    def indexes(self):
        return [self]

    def search(self, question, *, limit, **options):
        if isinstance(self.hits[0], Exception):
            raise self.hits[0]
        return self.hits[:limit]


@pytest.fixture
def index(monkeypatch):
    def use(*hits, kind=Fixed):
        monkeypatch.setattr(adapters, "_index_sources", [])
        adapters.register_indexes(kind(*hits))

    return use


def hit(page, text=LAMP, score=0.8, **values):
    return Hit(
        text, score, **{"model": "demo_site.articlepage", "object_id": str(page.pk), **values}
    )


class TestAnyIndex:
    def test_best_first_numbered_and_once(self, lamp, index):
        index(
            hit(lamp, "a\x00", 0.9), hit(lamp, " b ", 0.6), hit(lamp, "b", 0.5), hit(lamp, "c", 0.1)
        )
        passages = retrieve_as()
        assert [(p.number, p.text, p.score) for p in passages] == [(1, "a", 0.9), (2, "b", 0.6)]

    def test_hidden_pages_do_not_count_towards_the_limit(self, lamp, make_page, index):
        hidden = [make_page(f"Hidden {n}", LAMP) for n in range(3)]
        for page in hidden:
            page.unpublish()
        index(*(hit(page, score=0.9) for page in hidden), hit(lamp))
        assert [p.source.title for p in retrieve_as(limit=1)] == ["Lamp"]

    def test_objects_other_than_pages_are_left_out(self, lamp, index):
        index(hit(lamp, model="auth.user"), hit(lamp, object_id="99999"))
        assert retrieve_as() == []

    @pytest.mark.parametrize("error", [RuntimeError("secret"), BackendError("Its server is off.")])
    def test_one_that_fails(self, lamp, index, error):
        index(error)
        with pytest.raises(BackendError) as caught:
            retrieve_as()
        assert "secret" not in str(caught.value)


class TestAReaderWhoLeavesMeanwhile:
    def test_leaves_no_question_open(self, lamp, site, index, standin, connections):
        """The search goes on in its thread, and its exchange has to be closed."""
        searching = threading.Event()

        class Slow(Fixed):
            def search(self, question, *, limit, **options):
                searching.set()
                time.sleep(0.4)
                return super().search(question, limit=limit, **options)

        index(hit(lamp), kind=Slow)
        pending = aanswer(QUESTION, site=site, backend=make_backend("ollama"))

        async def leave():
            reading = asyncio.ensure_future(anext(aiter(pending)))
            await asyncio.to_thread(searching.wait, 5)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            assert reading.cancelled()

        run(leave())
        assert Exchange.objects.get().outcome == Outcome.CANCELLED
        assert standin.requests == []


class TestNeighbours:
    """Texts of a page that follow each other are one passage."""

    @pytest.fixture
    def long_page(self, site, make_page):
        page = make_page("Winch", "The winch hauls boats up the slipway.")
        page.body = [
            ("paragraph", f"<p>The winch hauls boat number {n}. {'It takes a while. ' * 38}</p>")
            for n in range(4)
        ]
        page.save_revision().publish()
        other = make_page("Crane", "The crane lifts a boat out of the water with a winch.")
        build()
        return page, other

    def passages(self, **options):
        return retrieve(
            "What hauls a boat up?", asker=Asker.anonymous(), indexes=["pages"], threshold=-1.0,
            **options,
        )  # fmt: skip

    def test_joined_in_the_order_of_the_page(self, long_page):
        page, _other = long_page
        found = self.passages(limit=9)
        of_page = [one for one in found if one.source.object_id == str(page.pk)]
        assert len(of_page) < Chunk.objects.filter(document__object_id=str(page.pk)).count()
        text = max((one.text for one in of_page), key=len)
        numbers = [int(n) for n in re.findall(r"boat number (\d)", text)]
        assert len(numbers) >= 2
        assert numbers == sorted(numbers)
        assert [one.number for one in found] == list(range(1, len(found) + 1))

    def test_other_pages_fill_the_limit(self, long_page):
        titles = {one.source.title for one in self.passages(limit=4)}
        assert {"Winch", "Crane"} <= titles

    def test_a_list_of_pages_has_each_once(self, long_page):
        found = self.passages(limit=9, each_source_once=True)
        assert len({one.source.object_id for one in found}) == len(found)


class TestThroughAnswer:
    def test_limit_and_threshold_of_the_switch(self, lamp, site, connections, ask):
        Switch.objects.create(site=site, passages=1, similarity_threshold=0)
        backend = make_backend("ollama")
        asked = ask(QUESTION, site=site, backend=backend)
        assert [p.source.title for p in asked.sources.passages] == ["Lamp"]
        Switch.objects.update(similarity_threshold=0.99)
        assert ask(OTHER_WORDS, site=site, backend=backend).done.outcome == Outcome.NO_ANSWER
        # What has the question's words needs no similar vector.
        assert ask(QUESTION, site=site, backend=backend).done.outcome == Outcome.COMPLETE

    def test_a_private_page_reaches_no_model(self, lamp, site, connections, standin, ask):
        restrict(lamp)
        Switch.objects.create(site=site, similarity_threshold=0.45)
        asked = ask(QUESTION, site=site, backend=make_backend("ollama"))
        assert (asked.sources.passages, standin.requests) == ([], [])
        assert "Pender" not in str(vars(asked.exchange))
        member = Asker.from_user(User.objects.create_user("member"))
        assert ask(QUESTION, site=site, asker=member, backend=make_backend("ollama")).done
        assert "Pender" in str(standin.requests[0].json)

    def test_a_failing_index_is_reported(self, lamp, site, index, ask):
        index(RuntimeError("secret"))
        failure = ask(QUESTION, site=site).failure
        assert (failure.code, "secret" in failure.message) == ("retrieval_failed", False)

    def test_given_passages_are_not_replaced(self, lamp, site, ask):
        lamp.unpublish()
        passages = make_passages(LAMP)
        assert ask(QUESTION, site=site, passages=passages).sources.passages == passages

    def test_named_indexes(self, lamp, site):
        assert "Ada Pender" in answer(QUESTION, site=site, indexes=["ArticlePageIndex"]).text
        assert answer(QUESTION, site=site, indexes=["BoatPageIndex"]).text == "I don't know."
