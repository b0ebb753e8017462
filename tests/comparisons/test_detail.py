"""The side-by-side page: asking, judging, and who may see what of it."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, Permission
from django.urls import reverse
from django.utils import timezone
from wagtail.models import GroupPagePermission, Locale, ModelLogEntry, PageViewRestriction
from wagtail.users.models import UserProfile

from demo_site.models import ArticlePage
from finetune_switch.models import (
    ChatBackend,
    Comparison,
    Exchange,
    Grade,
    Outcome,
    Preference,
    Question,
    Switch,
)
from finetune_switch.models.backend import DEFAULT_SYSTEM_PROMPT
from tests.comparison_helpers import bar, grade, make_comparison
from tests.index_helpers import build
from tests.pages import Page, address
from tests.screens import add_page

pytestmark = pytest.mark.django_db

QUESTION = "When does the harbour open?"
PARTIAL = {"HTTP_X_REQUESTED_WITH": "XMLHttpRequest"}


@pytest.fixture
def article(site):
    page = ArticlePage(
        title="Opening hours",
        introduction="The harbour opens at nine.",
        body=[("paragraph", "<p>The harbour opens at nine in summer.</p>")],
    )
    site.root_page.add_child(instance=page)
    build()
    return page


@pytest.fixture
def models(standin, hosted, tuned):
    """Two backends that the stand-in has models for."""
    for backend, answer in ((hosted, "At nine, I hear. [1]"), (tuned, "Nine, me hearty! [1]")):
        backend.model_name = f"{backend.alias}-model"
        backend.save()
        standin.add_model(backend.model_name, answer=answer)
    return hosted, tuned


def ask(person, models, **more):
    data = {"question": QUESTION, "backends": [row.pk for row in models], "retrieval": "on", **more}
    return person.post("compare:index", **data)


@pytest.fixture
def blind(admin, article, models):
    """A comparison that nobody has judged yet, and that was answered."""
    ask(admin, models, is_blind="on")
    comparison = Comparison.objects.get()
    for position in (0, 1):
        stream(admin, comparison, position)
    return comparison


def stream(person, comparison, position):
    response = person.client.post(address("compare:stream", comparison.pk, position))
    assert response.status_code == 200
    return b"".join(response.streaming_content).decode()


def events(said):
    blocks = [block for block in said.split("\n\n") if block.startswith("event")]
    return [
        (block.split("\n")[0].removeprefix("event: "), json.loads(block.split("data: ")[1]))
        for block in blocks
    ]


def column_of(comparison, backend):
    return comparison.columns.get(backend=backend)


class TestAsking:
    def test_page_begins_with_what_is_active_and_one_beside_it(self, admin, switch, hosted, tuned):
        page = admin.get("compare:index")
        chosen = {int(box["value"]) for box in page.main.select("[name=backends][checked]")}
        assert chosen == {hosted.pk, tuned.pk}
        assert page.main.select_one("[name=is_blind]").has_attr("checked")
        [active] = [chip for chip in page.main.select(".finetune-chip") if chip.select("small")]
        assert " ".join(active.get_text().split()) == "The hosted model on the site now"

    def test_leads_to_the_comparisons_own_address(self, admin, article, models):
        page = ask(admin, models)
        comparison = Comparison.objects.get()
        assert page.response.redirect_chain == [(comparison.get_absolute_url(), 302)]
        assert QUESTION in page.text
        assert "The harbour opens at nine" in page.text
        assert comparison.user == admin.user

    def test_next_time_begins_with_the_same_models(self, admin, article, models, extractive):
        ask(admin, [extractive, models[1]])
        page = admin.get("compare:index")
        chosen = {int(box["value"]) for box in page.main.select("[name=backends][checked]")}
        assert chosen == {extractive.pk, models[1].pk}

    def test_asks_in_the_language_of_the_pages(self, admin, article, models):
        """Whichever one the editor has in the admin."""
        admin.client.cookies["django_language"] = "de"
        profile = UserProfile.get_for_user(admin.user)
        profile.preferred_language = "de"
        profile.save()
        page = ask(admin, models)
        assert "Was sie bekommen haben" in page.text
        assert Comparison.objects.get().locale == "en-gb"

    def test_asks_in_another_language_of_the_site(self, admin, article, models):
        Locale.objects.create(language_code="de")
        page = admin.get("compare:index")
        chosen = page.main.select_one("[name=locale] [selected]")
        assert chosen["value"] == "en-gb"
        ask(admin, models, locale="de")
        assert Comparison.objects.get().locale == "de"

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"locale": "xx"}, "xx is not one of the available choices"),
            ({"question": " "}, "Write a question first."),
            ({"question": "x" * 20_001}, "at most 20000 characters"),
            ({"backends": []}, "Choose two to four models to compare."),
            ({"backends": [999_999]}, "999999 is not one of the available choices"),
            ({"limit": "21"}, "less than or equal to 20"),
            ({"index": "nothing"}, "nothing is not one of the available choices"),
        ],
    )
    def test_what_is_wrong_is_said_and_nothing_is_lost(self, admin, article, models, change, said):
        page = ask(admin, models, **change)
        assert said in page.text
        assert not Comparison.objects.exists()
        if "question" not in change:
            assert page.main.select_one("[name=question]").get_text().strip() == QUESTION

    def test_one_model_alone(self, admin, article, models):
        page = ask(admin, models[:1])
        assert "Choose 2 to 4 models to compare; 1 were chosen." in page.text

    def test_backend_that_is_gone(self, admin, article, hosted, gone):
        page = ask(admin, [hosted, gone])
        assert "the settings no longer declare" in page.text

    def test_group_of_somebody_else(self, log_in, article, models):
        person = log_in("comparer")
        group = Group.objects.create(name="Board")
        assert "Select a valid choice" in ask(person, models, as_group=group.pk).text

    def test_asking_again_takes_the_question_over(self, admin, blind):
        page = admin.get("compare:index", again=blind.pk)
        assert page.main.select_one("[name=question]").get_text().strip() == QUESTION

    def test_what_a_query_must_not_break(self, admin, article):
        for value in ("x", "1", "00000000-0000-0000-0000-000000000000", "%00"):
            assert admin.get("compare:index", again=value, saved=value).status == 200


class TestUntunedModel:
    """What a fine-tune was tuned from, as its last check found it."""

    @pytest.fixture
    def checked(self, tuned):
        tuned.base_model = "llama3.2:latest"
        tuned.save()
        return tuned

    def controls(self, person):
        return person.get("compare:index").main.select(".finetune-control")

    def make_base(self, **values):
        row = ChatBackend(
            **{
                "alias": "base",
                "label": "Llama",
                "connection": "ollama",
                "model_name": "llama3.2",
                **values,
            }
        )
        row.save()
        return row

    def test_is_offered_where_it_is_a_backend(self, log_in, checked, standin):
        base = self.make_base()
        [control] = self.controls(log_in("comparer"))
        assert " ".join(control.get_text().split()) == (
            "Compare “Our fine-tune” with what it was tuned from: llama3.2:latest "
            "Add to this comparison: Llama"
        )
        assert (control["data-tuned"], control["data-base"]) == (str(checked.pk), str(base.pk))
        # It is known from the check: nobody waits for a server.
        assert standin.requests == []

    def test_leads_to_where_it_can_be_added(self, admin, checked):
        [control] = self.controls(admin)
        link = control.select_one("a")
        assert link["href"] == f"{checked.get_check_url()}#finetune-base"
        page = Page(admin.client.get(link["href"]))
        assert page.main.select_one("#finetune-base")

    def test_is_no_news_to_those_who_may_not_add_it(self, log_in, checked):
        assert self.controls(log_in("comparer")) == []

    @pytest.mark.parametrize(
        "values", [{"connection": "openai"}, {"model_name": "llama3.2:1b"}], ids=str
    )
    def test_another_model_is_not_it(self, log_in, checked, values):
        self.make_base(**values)
        assert self.controls(log_in("comparer")) == []

    def test_nothing_is_said_where_no_check_told(self, admin, tuned):
        assert self.controls(admin) == []

    def test_nor_of_a_backend_that_cannot_be_asked(self, admin, gone):
        gone.base_model = "llama3.2"
        gone.save()
        assert self.controls(admin) == []


class TestSavingTheQuestion:
    @pytest.fixture
    def comparison(self, site, hosted, tuned):
        """The first page is cited, the second one supports, and nobody speaks of the third."""
        pages = [add_page(site, title) for title in ("Hours", "Seal island boats", "Wages")]
        return make_comparison(
            QUESTION,
            [hosted, tuned],
            site=site,
            pages=pages,
            locale="en-gb",
            answers=["Ask at the gate, I hear [1].", "Of seal island boats."],
        )

    def pages_of(self, comparison, *numbers):
        passages = comparison.frozen_passages
        return [int(passages[number - 1].source.object_id) for number in numbers]

    def save(self, person, comparison):
        page = person.post("compare:save_question", comparison.pk)
        comparison.refresh_from_db()
        return page

    def test_keeps_text_and_the_pages_that_answers_rest_on(self, admin, comparison):
        Exchange.objects.filter(columns__position=0).update(citations=[1])
        page = self.save(admin, comparison)
        question = Question.objects.get()
        assert (question.text, question.created_by) == (QUESTION, admin.user)
        assert question.page_ids == self.pages_of(comparison, 1, 2)
        assert question.reference_answer == ""
        assert comparison.saved_question == question
        assert "Saved as a question. Edit it" in page.text
        link = page.main.select_one("a#finetune-question")["href"]
        assert admin.client.get(link).status_code == 200
        assert ModelLogEntry.objects.get(action="wagtail.create").object_id == str(question.pk)

    def test_is_saved_once(self, admin, comparison):
        for _time in range(2):
            page = self.save(admin, comparison)
        assert Question.objects.count() == 1
        assert "Save as question" not in page.buttons

    def test_begins_from_a_saved_one(self, admin, comparison):
        comparison.saved_question = Question.objects.create(text=QUESTION)
        comparison.save()
        page = admin.get("compare:comparison", comparison.pk)
        url = address("questions:edit", comparison.saved_question.pk)
        assert page.main.select_one("a#finetune-question")["href"] == url
        assert "Save as question" not in page.buttons

    @pytest.mark.parametrize(
        ("grades", "said"),
        [
            ([("A", {"value": "correct"})], "Ask at the gate, I hear."),
            ([("A", {"value": "wrong"}), ("B", {"value": "partly_correct"})], ""),
            (
                [("A", {"value": "correct"}), ("B", {"correction": "At nine [2], mostly. [1, 2]"})],
                "At nine, mostly.",
            ),
        ],
    )
    def test_reference_answer(self, admin, comparison, grades, said):
        for letter, values in grades:
            grade(comparison, letter, admin.user, **values)
        self.save(admin, comparison)
        assert Question.objects.get().reference_answer == said

    def test_what_colleagues_think_is_not_told(self, admin, log_in, comparison):
        grade(comparison, "A", log_in("comparer").user, "correct", correction="At ten.")
        self.save(admin, comparison)
        assert Question.objects.get().reference_answer == ""

    def test_that_nobody_has_answered(self, admin, comparison):
        Exchange.objects.all().delete()
        self.save(admin, comparison)
        assert Question.objects.get().page_ids == []

    def test_is_not_offered_to_those_who_may_not(self, log_in, comparison):
        person = log_in("comparer")
        assert "Save as question" not in person.get("compare:comparison", comparison.pk).buttons
        self.save(person, comparison)
        assert not Question.objects.exists()

    def test_without_leave_to_edit_it_later(self, log_in, comparison):
        page = self.save(log_in("question_saver"), comparison)
        assert "Saved as a question." in page.text
        assert not page.main.select("#finetune-question")

    def test_not_of_a_comparison_that_one_may_not_read(self, log_in, comparison):
        bar(ArticlePage.objects.first())
        self.save(log_in("question_saver"), comparison)
        assert not Question.objects.exists()


class TestWhereNoPageCoversIt:
    """The link to where the page can be written."""

    @pytest.fixture
    def comparison(self, site, hosted):
        return make_comparison(QUESTION, [hosted], site=site)

    def allow(self, person, page, kind="add"):
        GroupPagePermission.objects.create(
            group=person.user.groups.get(),
            page=page,
            permission=Permission.objects.get(
                codename=f"{kind}_page", content_type__app_label="wagtailcore"
            ),
        )

    def link(self, person, comparison):
        page = person.get("compare:comparison", comparison.pk)
        assert "No page covers this." in page.text
        links = [a for a in page.main.select("a") if a.get_text() == "Create a page"]
        assert all(person.client.get(a["href"]).status_code == 200 for a in links)
        return links[0]["href"] if links else None

    def test_leads_to_a_page_of_the_site(self, admin, log_in, site, comparison):
        url = reverse("wagtailadmin_pages:add_subpage", args=[site.root_page.pk])
        assert self.link(admin, comparison) == url
        editor = log_in("comparer")
        self.allow(editor, site.root_page)
        assert self.link(editor, comparison) == url

    def test_leads_to_where_one_may(self, log_in, site, comparison):
        editor = log_in("comparer")
        elsewhere = add_page(site, "First of all", parent=site.root_page.get_parent())
        elsewhere.move(site.root_page, pos="left")
        mine = add_page(site, "Mine")
        for page in (elsewhere, mine):
            self.allow(editor, page)
        assert self.link(editor, comparison) == reverse("wagtailadmin_explore", args=[mine.pk])
        Comparison.objects.update(site=None)
        url = reverse("wagtailadmin_explore", args=[elsewhere.pk])
        assert self.link(editor, comparison) == url

    def test_not_to_a_page_that_can_have_none(self, log_in, site, comparison, monkeypatch):
        editor = log_in("comparer")
        self.allow(editor, add_page(site, "Mine"))
        # Where Wagtail keeps what "subpage_types" comes to.
        monkeypatch.setattr(ArticlePage, "_clean_subpage_models", [])
        assert self.link(editor, comparison) is None

    def test_is_not_there_for_those_who_may_nowhere(self, log_in, site, comparison):
        editor = log_in("comparer")
        self.allow(editor, site.root_page, "change")
        assert self.link(editor, comparison) is None


class TestOtherInstructions:
    WORDS = "Answer like a pirate.\n\n<b>Never</b> say please."

    @pytest.fixture
    def comparison(self, admin, article, models):
        ask(admin, models, instructions=self.WORDS.replace("\n", "\r\n"))
        return Comparison.objects.get()

    def test_are_told_to_every_model_each_time(self, admin, comparison, models, standin):
        standin.add_model(models[0].model_name, answer="Nine.", fault="unauthorized", once=True)
        position = column_of(comparison, models[0]).position
        for _try in range(2):
            stream(admin, comparison, position)
            admin.post("compare:again", comparison.pk, position)
        stream(admin, comparison, 1 - position)
        told = [request.json["messages"][0]["content"] for request in standin.requests]
        assert len(told) == 3
        assert all(text.startswith(f"{self.WORDS}\nIf the passages do not") for text in told)

    def test_are_kept_with_each_answer(self, admin, comparison):
        stream(admin, comparison, 0)
        state = Exchange.objects.get().backend_state
        assert (state["system_prompt"], state["prompt_version"]) == (self.WORDS, None)

    def test_are_shown_as_text(self, admin, comparison):
        page = admin.get("compare:comparison", comparison.pk)
        [details] = page.main.select(".finetune-given > details")
        assert not details.has_attr("open")
        assert details.select_one("pre").get_text() == self.WORDS
        assert not details.select("b")

    def test_stand_in_the_export(self, admin, comparison):
        response = admin.client.get(address("comparisons:index"), {"export": "csv"})
        rows = csv.DictReader(io.StringIO(b"".join(response.streaming_content).decode()))
        assert {row["Other instructions"] for row in rows} == {self.WORDS}

    def test_each_is_told_its_own_without_any(self, admin, article, models):
        ask(admin, models, instructions=" \r\n ")
        comparison = Comparison.objects.get()
        stream(admin, comparison, 0)
        assert comparison.instructions == ""
        assert Exchange.objects.get().backend_state["prompt_version"] == 1
        page = admin.get("compare:comparison", comparison.pk)
        assert not page.main.select(".finetune-given > details")

    def test_asking_again_takes_them_over_and_the_next_question_does_not(self, admin, comparison):
        for query, kept in (({"again": comparison.pk}, self.WORDS), ({}, "")):
            page = admin.get("compare:index", **query)
            field = page.main.select_one("[name=instructions]")
            assert field.get_text().removeprefix("\n") == kept
            assert page.main.select_one(".finetune-more").has_attr("open") == bool(kept)

    def test_that_leave_no_room(self, admin, article, models):
        ask(admin, models, instructions="word " * 10_000)
        comparison = Comparison.objects.get()
        stream(admin, comparison, 0)
        page = admin.get("compare:comparison", comparison.pk)
        assert "The instructions, the question and its passages are too long" in page.text

    def test_what_is_wrong_is_said(self, admin, article, models):
        page = ask(admin, models, instructions="a\x00b")
        assert "Null characters are not allowed." in page.text
        assert page.main.select_one(".finetune-more").has_attr("open")

    def test_begin_with_wordings_that_exist(self, admin, article, models):
        models[1].system_prompt = "Ahoy & welcome."
        models[1].save()
        page = admin.get("compare:index")
        groups = {
            group["label"]: [option["value"] for option in group.select("option")]
            for group in page.main.select("#finetune-wordings optgroup")
        }
        assert groups == {
            "Our fine-tune": ["Ahoy & welcome.", DEFAULT_SYSTEM_PROMPT],
            "The hosted model": [DEFAULT_SYSTEM_PROMPT],
        }

    def test_wordings_only_for_those_who_may_see_them(self, log_in, article, models):
        page = log_in("comparer").get("compare:index")
        assert DEFAULT_SYSTEM_PROMPT[:40] not in page.html
        assert page.main.select("[name=instructions]")


class TestStreaming:
    def test_tells_the_text_alone(self, admin, article, models, standin):
        ask(admin, models)
        comparison = Comparison.objects.get()
        said = events(stream(admin, comparison, column_of(comparison, models[0]).position))
        assert said[0][0] == "sources"
        assert said[-1] == ("done", {})
        assert "".join(data.get("text", "") for _name, data in said) == "At nine, I hear. [1]"
        assert {key for _name, data in said for key in data} == {"text"}

    def test_asks_once(self, admin, article, models, standin):
        ask(admin, models)
        comparison = Comparison.objects.get()
        first, second = (events(stream(admin, comparison, 0)) for _ in range(2))
        text = "".join(data.get("text", "") for _name, data in first)
        assert "".join(data.get("text", "") for _name, data in second) == text
        assert len(standin.requests) == 1

    def test_leaves_an_exchange_of_its_own(self, blind, models):
        exchange = Exchange.objects.get(pk=column_of(blind, models[1]).exchange_id)
        assert (exchange.origin, exchange.outcome) == ("compare", Outcome.COMPLETE)
        assert exchange.backend == models[1]
        assert [p["source"] for p in exchange.passages] == [p["source"] for p in blind.passages]

    def test_of_a_backend_that_was_deleted(self, admin, article, models):
        ask(admin, models)
        comparison = Comparison.objects.get()
        position = column_of(comparison, models[1]).position
        models[1].delete()
        response = admin.client.post(address("compare:stream", comparison.pk, position))
        assert response.status_code == 410
        page = admin.get("compare:comparison", comparison.pk)
        assert f"{'AB'[position]}'s backend was deleted before it was asked." in page.text

    def test_failure_and_trying_again(self, admin, article, models, standin):
        standin.add_model(models[0].model_name, fault="load-failure", once=True, answer="Nine.")
        models[0].first_token_seconds = 5
        models[0].save()
        ask(admin, models)
        comparison = Comparison.objects.get()
        column = column_of(comparison, models[0])
        Exchange.objects.create(
            id=column.exchange_id,
            question=QUESTION,
            origin="compare",
            backend=models[0],
            deadline_at=comparison.asked_at,
            outcome=Outcome.FAILED,
            error="The model server does not take connections.",
        )
        page = admin.get("compare:comparison", comparison.pk)
        sentence = f"{column.letter} didn't answer: The model server does not take connections."
        assert sentence in page.text
        assert f"Try {column.letter} again" in page.buttons
        admin.post("compare:again", comparison.pk, column.position)
        said = events(stream(admin, comparison, column.position))
        assert said[-1][0] == "done"
        assert Exchange.objects.filter(pk=column.exchange_id, outcome="failed").exists()


class TestWaking:
    """What is said while a model is being loaded."""

    @pytest.fixture
    def comparison(self, admin, article, models):
        ask(admin, models, is_blind="on")
        return Comparison.objects.get()

    def seen(self, backend, *seconds, days=1, **values):
        for number, load in enumerate(seconds):
            Exchange.objects.create(
                question=QUESTION,
                origin="site",
                backend=backend,
                backend_state=backend.snapshot(),
                load_seconds=load,
                deadline_at=timezone.now(),
                opened_at=timezone.now() - timedelta(days=days, seconds=number),
                **values,
            )

    def sentence(self, person, comparison, backend):
        page = person.get("compare:comparison", comparison.pk)
        column = page.main.select(".finetune-column")[column_of(comparison, backend).position]
        return column["data-finetune-column-waking-value"]

    def test_is_the_median_of_times_that_a_model_was_loaded(self, admin, comparison, models):
        self.seen(models[1], 0.05, 31.4, None, 0.01, 300, 0.02, 29.0)
        Comparison.objects.update(is_blind=False)
        letter = column_of(comparison, models[1]).letter
        assert self.sentence(admin, comparison, models[1]) == f"Waking {letter}, usually 31 s."

    def test_is_the_latest_ones(self, admin, comparison, models):
        self.seen(models[1], *[300] * 30, days=30)
        self.seen(models[1], *[12] * 20)
        Comparison.objects.update(is_blind=False)
        assert "usually 12 s." in self.sentence(admin, comparison, models[1])

    @pytest.mark.parametrize(("seconds", "said"), [(1.2, 10), (14.9, 10), (37.0, 40)])
    def test_is_coarse_as_long_as_names_are_hidden(self, admin, comparison, models, seconds, said):
        self.seen(models[1], seconds)
        assert f"usually {said} s." in self.sentence(admin, comparison, models[1])

    def test_is_of_this_very_model(self, admin, comparison, models):
        self.seen(models[1], 40)
        models[1].model_name = "another"
        models[1].save()
        for backend in models:
            assert "usually within a minute." in self.sentence(admin, comparison, backend)

    def test_is_of_no_interest_once_it_answered(self, admin, comparison, models):
        self.seen(models[1], 40)
        stream(admin, comparison, column_of(comparison, models[1]).position)
        assert "40" not in self.sentence(admin, comparison, models[1])


class TestBlind:
    def secrets(self, models):
        return [text for row in models for text in (row.label, row.model_name, row.alias)]

    def test_hides_who_answered(self, admin, blind, models):
        html = [
            admin.get("compare:comparison", blind.pk).main.decode(),
            *(admin.get("compare:column", blind.pk, position).html for position in (0, 1)),
            *(stream(admin, blind, position) for position in (0, 1)),
        ]
        for text in html:
            for secret in self.secrets(models):
                assert secret not in text
            for name in ("First word after", "Cost of", "Whole answer in", "a test of"):
                assert name not in text

    def test_cannot_be_lifted_before_judging(self, admin, blind):
        response = admin.client.post(address("compare:reveal", blind.pk), **PARTIAL)
        assert response.status_code == 409
        assert (
            "Once all have answered, choose, and you may see who it was."
            in response.content.decode()
        )

    def test_nothing_is_better_than_an_answer_to_come(self, admin, article, models):
        ask(admin, models, is_blind="on")
        comparison = Comparison.objects.get()
        stream(admin, comparison, 0)
        for choice in ("A", "both_good"):
            response = admin.client.post(
                address("compare:prefer", comparison.pk), {"choice": choice}, **PARTIAL
            )
            assert response.status_code == 409
            assert response.content.decode().count("disabled") == 4
        assert not Preference.objects.exists()
        stream(admin, comparison, 1)
        page = admin.post("compare:prefer", comparison.pk, choice="A")
        assert not page.main.select("[disabled]")

    def test_tells_everything_after(self, admin, blind, models):
        admin.post("compare:prefer", blind.pk, choice="B")
        page = admin.post("compare:reveal", blind.pk)
        for backend in models:
            assert backend.label in page.text
        assert "Whole answer in" in page.text
        assert "The question went to a test of OpenAI" in page.text

    def test_no_answer_is_given_from_now_on_before(self, admin, blind, models, log_in):
        """The link names the exchange, by which anybody could be found."""
        page = admin.get("compare:comparison", blind.pk)
        assert page.links("Correct the answer") == page.links("Use this from now on") == []
        admin.post("compare:prefer", blind.pk, choice="B")
        page = admin.post("compare:reveal", blind.pk)
        ids = [column.exchange_id for column in blind.columns.order_by("position")]
        add = address("prepared:add")
        assert page.links("Correct the answer") == [f"{add}?exchange={pk}" for pk in ids]
        admin.post("compare:grade", blind.pk, 1, correction="At nine.")
        page = admin.get("compare:comparison", blind.pk)
        assert page.links("Use this from now on") == [f"{add}?exchange={ids[1]}"]
        comparer = log_in("comparer")
        comparer.post("compare:prefer", blind.pk, choice="A")
        page = comparer.post("compare:reveal", blind.pk)
        assert page.links("Correct the answer") == []

    def test_is_each_judges_own(self, admin, log_in, blind, models):
        admin.post("compare:prefer", blind.pk, choice="A")
        admin.post("compare:reveal", blind.pk)
        page = log_in("comparer").get("compare:comparison", blind.pk)
        assert models[0].label not in page.text
        assert "chose" not in page.text


class TestJudging:
    def test_grade_is_saved_at_once(self, admin, blind):
        answer = admin.client.post(
            address("compare:grade", blind.pk, 0), {"value": "wrong"}, **PARTIAL
        )
        pressed = Page(answer).soup.select("[aria-pressed=true]")
        assert [button["value"] for button in pressed] == ["wrong"]
        assert "Saved. Undo" in " ".join(Page(answer).soup.get_text(" ").split())
        grade = Grade.objects.get()
        assert (grade.judge, grade.value, grade.was_blind) == (admin.user, "wrong", True)

    def test_without_the_script_it_leads_back(self, admin, blind):
        page = admin.post("compare:grade", blind.pk, 0, tone="nearly")
        assert page.response.redirect_chain == [(blind.get_absolute_url(), 302)]
        assert Grade.objects.get().tone == "nearly"

    def test_undo(self, admin, blind):
        for value in ("wrong", "correct"):
            admin.post("compare:grade", blind.pk, 0, value=value)
        admin.post("compare:grade", blind.pk, 0, undo="1")
        assert Grade.objects.get(is_current=True).value == "wrong"

    def test_correction_and_note_are_kept(self, admin, blind):
        admin.post("compare:grade", blind.pk, 1, correction="At nine sharp.", note="Add the day.")
        page = admin.get("compare:comparison", blind.pk)
        written = [field.get_text().strip() for field in page.main.select("textarea")]
        assert "At nine sharp." in written
        assert "Add the day." in written

    @pytest.mark.parametrize("data", [{"value": "superb"}, {"tone": "x"}])
    def test_grades_that_are_none(self, admin, blind, data):
        response = admin.client.post(address("compare:grade", blind.pk, 0), data, **PARTIAL)
        assert response.status_code == 400
        assert not Grade.objects.exists()

    def test_answer_that_is_not_there_yet(self, admin, article, models):
        ask(admin, models)
        url = address("compare:grade", Comparison.objects.get().pk, 0)
        assert admin.client.post(url, {"value": "wrong"}, **PARTIAL).status_code == 409
        assert not Grade.objects.exists()

    @pytest.mark.parametrize("choice", ["", "C", "E", "column", "x" * 300])
    def test_choices_that_are_none(self, admin, blind, choice):
        url = address("compare:prefer", blind.pk)
        assert admin.client.post(url, {"choice": choice}, **PARTIAL).status_code == 400
        assert not Preference.objects.exists()

    def test_colleagues_choice_is_shown_after_ones_own(self, admin, log_in, blind):
        sam = log_in("comparer")
        sam.post("compare:prefer", blind.pk, choice="B")
        assert "Comparer" not in admin.get("compare:comparison", blind.pk).text
        page = admin.post("compare:prefer", blind.pk, choice="A")
        assert "Comparer chose B." in page.text
        assert Preference.objects.filter(is_current=True).count() == 2

    def test_what_it_comes_to_so_far(self, admin, article, models):
        for choice in (models[0], models[0], "both_good", models[1]):
            ask(admin, models)
            comparison = Comparison.objects.first()
            for position in (0, 1):
                stream(admin, comparison, position)
            if choice != "both_good":
                choice = column_of(comparison, choice).letter
            page = admin.post("compare:prefer", comparison.pk, choice=choice)
        said = page.main.select_one("#finetune-wins").get_text()
        assert " ".join(said.split()) == (
            "So far: Our fine-tune 1, The hosted model 2, all are good 1, none is good 0"
        )

    def test_use_on_site(self, admin, site, switch, blind, models):
        admin.post("compare:prefer", blind.pk, choice="A")
        page = admin.post("compare:reveal", blind.pk)
        form = next(
            form for form in page.main.select("form") if "Use Our fine-tune" in form.get_text()
        )
        data = {field["name"]: field["value"] for field in form.select("input[name]")}
        admin.client.post(form["action"], data)
        assert Switch.for_question(site).backend == models[1]

    def test_only_for_those_who_may_switch(self, log_in, switch, blind):
        sam = log_in("comparer")
        sam.post("compare:prefer", blind.pk, choice="A")
        assert "on site" not in sam.post("compare:reveal", blind.pk).text


class TestLookingOn:
    """Somebody who may read comparisons, and not judge."""

    def test_reads_the_answers_and_what_was_thought(self, admin, log_in, blind):
        admin.post("compare:grade", blind.pk, 0, value="wrong")
        admin.post("compare:prefer", blind.pk, choice="B")
        page = log_in("comparison_viewer").get("compare:comparison", blind.pk)
        assert "At nine, I hear." in page.text
        assert "superuser: Wrong" in page.text
        assert "superuser chose B." in page.text

    def test_has_nothing_to_press(self, log_in, blind):
        page = log_in("comparison_viewer").get("compare:comparison", blind.pk)
        assert page.buttons == []
        assert "Ask again" not in page.text

    def test_is_not_told_the_names(self, log_in, blind, models):
        page = log_in("comparison_viewer").get("compare:comparison", blind.pk)
        assert models[0].label not in page.html


class TestReadersAccess:
    @pytest.fixture
    def closed(self, article, blind):
        """Opened to a group alone, after the question was asked."""
        restriction = PageViewRestriction.objects.create(
            page=article, restriction_type=PageViewRestriction.GROUPS
        )
        restriction.groups.add(Group.objects.create(name="Board"))
        return blind

    def test_shows_the_question_and_why(self, log_in, closed):
        page = log_in("comparer").get("compare:comparison", closed.pk)
        assert QUESTION in page.text
        assert "The answers rest on pages that you may not open" in page.text
        for secret in ("opens at nine", "hear", "hearty", "Opening hours"):
            assert secret not in page.html

    @pytest.mark.parametrize(
        ("method", "view", "named"),
        [
            ("get", "column", (0,)),
            ("post", "stream", (0,)),
            ("post", "again", (0,)),
            ("post", "grade", (0,)),
            ("post", "prefer", ()),
            ("post", "reveal", ()),
        ],
    )
    def test_refuses_the_parts(self, log_in, closed, method, view, named):
        person = log_in("comparer")
        url = address(f"compare:{view}", closed.pk, *named)
        response = getattr(person.client, method)(url, {"value": "wrong", "choice": "A"}, **PARTIAL)
        assert response.status_code in (302, 403)
        assert not Grade.objects.exists()
        assert not Preference.objects.exists()

    def test_does_not_take_the_question_over(self, log_in, closed):
        page = log_in("comparer").get("compare:index", again=closed.pk)
        assert page.main.select_one("[name=question]").get_text().strip() == ""

    def test_of_a_page_that_is_gone(self, admin, article, blind):
        article.delete()
        assert "hear" not in admin.get("compare:comparison", blind.pk).text
