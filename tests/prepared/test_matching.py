"""Answers that people prepared: to which questions they are given, and what that leaves behind."""

from __future__ import annotations

import time

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from wagtail.models import Locale, PageViewRestriction, Site

from finetune_switch.access import Asker
from finetune_switch.models import Exchange, Outcome, PreparedAnswer, Switch
from finetune_switch.prepared.matching import find_prepared, has_phrase
from finetune_switch.text.words import plain
from tests.helpers import make_backend
from tests.index_helpers import build

pytestmark = pytest.mark.django_db

Kind = PreparedAnswer.Kind
QUESTION = "Do I get my money back if I cancel a course?"
LIKE_IT = "Do I get my money back if I cancel the course?"
OTHER = "Is there a lift?"
CORRECTED = "Half of it, until 14 days before the course. Ring 01632 960140."


@pytest.fixture
def prepare(site):
    """A prepared answer in the site's language, in use."""

    def prepare(answer=CORRECTED, **values):
        values = {"examples": QUESTION, "locale": Locale.get_default(), **values}
        return PreparedAnswer.objects.create(answer=answer, **values)

    return prepare


@pytest.fixture
def find(site):
    """The text that is given to a question, or ``None``."""

    def find(question=LIKE_IT, *, asker=None, on=site, locale="en-gb"):
        given = find_prepared(question, asker=asker or Asker.anonymous(), site=on, locale=locale)
        return given and given.text

    return find


@pytest.fixture
def modelled(site, connections, standin, make_page):
    """A page about courses, and a model that would answer from it."""
    page = make_page("Courses", "You get half of the price back when you cancel a course.")
    build()
    standin.add_model("chatty", listed=False, answer="All of it. [1]")
    Switch.objects.create(site=site).activate(make_backend("ollama", "chatty"), expected=None)
    standin.clear()
    return page


class TestAnswer:
    def test_it_comes_as_any_answer_does_and_no_model_is_asked(
        self, ask, modelled, prepare, standin
    ):
        prepared = prepare(page_id=modelled.pk)
        asked = ask(LIKE_IT, prepared=True, fact_lock=True)
        assert standin.requests == []
        assert asked.text == f"{CORRECTED} [1]"
        assert [p.source.url for p in asked.sources.passages] == ["/courses/"]
        assert asked.sources.data_destination == "this website only; no model is asked"
        assert (asked.done.outcome, asked.done.citations) == (Outcome.COMPLETE, [1])
        exchange = asked.exchange
        assert exchange.prepared_answer == prepared
        assert (exchange.answer, exchange.cost, exchange.withheld_facts) == (asked.text, None, [])
        assert (exchange.backend, exchange.backend_state["label"]) == (None, "Corrected answer")

    def test_asked_again_under_the_same_id_it_is_replayed_word_for_word(self, ask, prepare):
        prepared = prepare()
        options = {"prepared": True, "fact_lock": True, "exchange_id": Exchange().pk}
        first = ask(LIKE_IT, **options)
        prepared.delete()
        again = ask(LIKE_IT, **options)
        assert (first.text, again.text) == (CORRECTED, CORRECTED)

    def test_who_does_not_ask_for_it_gets_the_model(self, ask, modelled, prepare, standin):
        prepare()
        asked = ask(LIKE_IT)
        assert asked.text == "All of it. [1]"
        assert asked.exchange.prepared_answer is None

    def test_visitors_are_given_it(self, client, modelled, prepare, standin):
        prepare(page_id=modelled.pk)
        here = {"sec-fetch-site": "same-origin"}
        response = client.post("/answers/ask/", {"q": LIKE_IT}, headers=here)
        assert "01632 960140" in b"".join(response.streaming_content).decode()
        found = client.get("/answers/search/", {"q": LIKE_IT}).content.decode()
        assert "01632 960140" in found
        assert standin.requests == []

    def test_saved_deleted_or_turned_off_it_counts_at_the_next_question(self, find, prepare):
        assert find() is None
        prepared = prepare()
        assert find() == CORRECTED
        prepared.is_on = False
        prepared.save()
        assert find() is None
        prepared.is_on, prepared.answer = True, "All of it."
        prepared.save()
        assert find() == "All of it."
        prepared.delete()
        assert find() is None


class TestWhich:
    def test_what_means_something_else_is_not_answered(self, find, prepare):
        prepare()
        assert find(OTHER) is None
        assert find("?!") is None

    def test_the_threshold_is_the_answers_own(self, find, prepare):
        prepared = prepare(threshold=0.99)
        assert find(LIKE_IT) is None
        assert find(QUESTION) == CORRECTED
        prepared.threshold = 0.2
        prepared.save()
        assert find("Can I cancel?") == CORRECTED

    def test_the_likest_of_several(self, find, prepare):
        prepare("The weekend's.", examples="Is there a lift at the weekend?", threshold=0.5)
        prepare("The lift's.", examples=f"Where is the café?\n{OTHER}", threshold=0.5)
        prepare("The café's.", examples="Is there a café?", threshold=0.1)
        assert find(OTHER) == "The lift's."

    def test_fixed_replies_come_first_and_words_before_similarity(self, find, prepare):
        prepare("Corrected, by words.", examples="", words="course")
        assert find() == "Corrected, by words."
        prepare("Fixed, by similarity.", kind=Kind.FIXED)
        assert find() == "Fixed, by similarity."
        prepare("Fixed, by words.", kind=Kind.FIXED, examples="", words="money back")
        assert find() == "Fixed, by words."

    @pytest.mark.parametrize(
        ("question", "phrase", "stands"),
        [
            ("I want to KILL myself", "kill myself", True),
            ("I can’t go on", "can't go on", True),
            ("Ou est le CAFE?", "café", True),
            ("Wo ist die Straße?", "STRASSE", True),
            ("my\n  chest, pain!", "chest pain", True),
            ("Is the cafeteria open?", "cafe", False),
            ("chest and pain", "chest pain", False),
            ("pain in my chest", "chest pain", False),
            ("営業時間は何時ですか", "営業時間", True),
            ("anything", "", False),
            ("anything?", "?!", False),
            ("100 % sure", "100%", True),
        ],
    )
    def test_words_are_whole_and_without_case_and_accents(self, question, phrase, stands):
        assert has_phrase(plain(question), [phrase]) is stands


class TestForWhom:
    def test_each_language_has_its_own(self, find, prepare):
        german = Locale.objects.create(language_code="de")
        prepare("Half.", words="refund")
        prepare("Die Hälfte.", words="refund", locale=german)
        assert find("refund", locale="en-gb") == "Half."
        assert find("refund", locale="de") == "Die Hälfte."
        assert find("refund", locale="de-at") == "Die Hälfte."

    def test_in_a_project_of_one_language_it_is_for_every_asker(self, find, prepare):
        prepare()
        assert find(locale="de") == CORRECTED

    def test_each_site_has_its_own_and_what_belongs_to_all(self, find, prepare, site, make_page):
        other = Site.objects.create(hostname="other.example", root_page=make_page("Other", "O."))
        prepare("Here.", words="here", site=site)
        prepare("Everywhere.", words="anywhere")
        assert find("here") == "Here."
        assert find("here", on=other) is None
        assert find("anywhere", on=other) == "Everywhere."
        assert find("anywhere", on=None) == "Everywhere."

    def test_a_page_that_the_asker_may_not_open_keeps_it_from_them(self, find, prepare, make_page):
        page = make_page("Rules", "Rules.")
        PageViewRestriction.objects.create(page=page, restriction_type="login")
        prepare("For members.", page_id=page.pk)
        member = Asker.from_user(User.objects.create_user("ada"))
        assert find() is None
        assert find(asker=member) == "For members. [1]"
        # The next best is given in its place.
        prepare("For everybody.", threshold=0.5)
        assert find() == "For everybody."
        assert find(asker=member) in ("For members. [1]", "For everybody.")

    @pytest.mark.parametrize("state", ["unpublished", "deleted", "of another site"])
    def test_a_page_that_is_not_there_for_visitors(self, find, prepare, site, make_page, state):
        page = make_page("Rules", "Rules.")
        prepare(page_id=page.pk)
        assert find() is not None
        if state == "deleted":
            page.delete()
        elif state == "unpublished":
            page.unpublish()
        else:
            site.root_page = make_page("Elsewhere", "Elsewhere.")
            site.save()
        assert find() is None

    def test_a_citation_that_was_written_is_not_doubled(self, find, prepare, make_page):
        prepare("As the rules say [1].", page_id=make_page("Rules", "Rules.").pk)
        assert find() == "As the rules say [1]."


class TestCost:
    def queries(self, question):
        with CaptureQueriesContext(
            connection,
        ) as captured:
            find_prepared(
                question, asker=Asker.anonymous(), site=Site.objects.get(), locale="en-gb"
            )
        return len(captured) - 1

    def test_one_query_where_nothing_was_prepared_and_two_where_something_was(self, prepare):
        self.queries(OTHER)
        assert self.queries(OTHER) == 1
        prepare("By words.", examples="", words="lift")
        assert self.queries(OTHER) == 1
        prepare()
        assert self.queries(QUESTION) == 2

    def test_two_hundred_examples_are_nothing_beside_an_answer(self, prepare):
        for number in range(40):
            prepare(examples="\n".join(f"What is {number} and {n}?" for n in range(5)))
        site, asker = Site.objects.get(), Asker.anonymous()

        def once():
            started = time.perf_counter()
            find_prepared(OTHER, asker=asker, site=site, locale="en-gb")
            return time.perf_counter() - started

        once()
        # Measured: 1 to 2 ms, embedding included. The best of many: other tests run beside it.
        assert min(once() for _ in range(30)) < 0.02
