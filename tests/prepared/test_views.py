"""Prepared answers, as an editor lists, writes, corrects, looks back at and deletes them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from wagtail.models import Locale, ModelLogEntry, PageViewRestriction

from finetune_switch.models import Exchange, PreparedAnswer, Question
from finetune_switch.models.prepared import DEFAULT_THRESHOLD, today
from tests.comparison_helpers import bar, column_of, make_comparison, show_names
from tests.pages import Page, address, form_values
from tests.roles import grant

EVIL = '<img src=x onerror="alert(1)">'


@pytest.fixture
def prepared(site):
    return PreparedAnswer.objects.create(
        examples="When do you open?", answer="At nine.", locale=Locale.get_default()
    )


def asked(site, question="When do you open?", **values):
    """A question that a visitor asked."""
    given = {"answer": "At eight [1].", "outcome": "complete", "locale": "en-gb", **values}
    return Exchange.objects.create(
        site=site, question=question, deadline_at=timezone.now(), **{"origin": "site", **given}
    )


def said_of(page, number=1):
    """A passage of this page, as an exchange keeps it."""
    source = {
        "title": page.title,
        "url": "/",
        "model": page._meta.label_lower,
        "object_id": str(page.pk),
    }
    return {"number": number, "text": "…", "score": 0.9, "source": source}


def rows(page):
    return [
        " ".join(cell.select_one(".title-wrapper").get_text(" ").split())
        for cell in page.main.select("table td.title")
    ]


def send(admin, view, *args, query="", **changes):
    """The form as it is shown, with changes, sent as a browser would."""
    page = Page(admin.client.get(address(view, *args) + query))
    url = page.main.select_one("form#w-editor-form")["action"]
    return Page(admin.client.post(url, form_values(page) | changes, follow=True))


class TestList:
    def test_empty(self, site, admin):
        page = admin.get("prepared:index")
        assert "There are no prepared answers to display" in page.text
        assert page.links("add one") == [address("prepared:add")]

    def test_what_it_shows(self, site, prepared, admin):
        prepared.review_on = today() - timedelta(days=1)
        prepared.save()
        asked(site, prepared_answer=prepared)
        asked(site, prepared_answer=prepared)
        text = admin.get("prepared:index").text
        for shown in ("When do you open?", "Corrected answer", "All sites", "Overdue", "In use"):
            assert shown in text
        [cells] = [row.select("td") for row in admin.get("prepared:index").main.select("tbody tr")]
        assert "2" in [cell.get_text().strip() for cell in cells]

    def test_one_without_vectors_says_so(self, prepared, admin):
        assert "No question finds it" not in admin.get("prepared:index").text
        PreparedAnswer.objects.update(embedding_model="another (256)")
        assert "No question gets it. Save it again" in admin.get("prepared:index").text
        PreparedAnswer.objects.update(words="hours")
        assert "Only by its words" in admin.get("prepared:index").text

    def test_search_and_filters(self, site, prepared, admin):
        german = Locale.objects.create(language_code="de")
        PreparedAnswer.objects.create(
            kind="fixed",
            words="kill myself",
            answer="Please call 116 123.",
            locale=german,
            site=site,
            is_on=False,
            review_on=today() - timedelta(days=1),
        )
        both = {"When do you open?", "kill myself"}
        assert set(rows(admin.get("prepared:index"))) == both
        for query, found in (
            ({"q": "116"}, ["kill myself"]),
            ({"kind": "fixed"}, ["kill myself"]),
            ({"locale": german.pk}, ["kill myself"]),
            ({"site": site.pk}, ["kill myself"]),
            ({"state": "off"}, ["kill myself"]),
            ({"state": "on"}, ["When do you open?"]),
            ({"state": "overdue"}, []),
        ):
            assert rows(admin.get("prepared:index", **query)) == found, query

    def test_as_many_queries_for_many_rows(self, prepared, admin, django_assert_max_num_queries):
        def count():
            with django_assert_max_num_queries(60) as captured:
                assert admin.get("prepared:index").status == 200
            return len(captured)

        count()
        few = count()
        for number in range(15):
            PreparedAnswer.objects.create(
                examples=f"Question {number}?", answer="A.", locale=prepared.locale
            )
        assert count() == few


class TestForm:
    def test_adding(self, site, admin):
        page = send(
            admin,
            "prepared:add",
            examples="When do  you open?\r\n\r\nWhen do you open?",
            answer="At nine.",
            page_id=site.root_page.pk,
        )
        assert page.message == "“When do you open?” is given from the next question on."
        made = PreparedAnswer.objects.get()
        assert (made.examples, made.page_id) == ("When do you open?", site.root_page.pk)
        assert (made.created_by, made.locale, made.site) == (admin.user, Locale.get_default(), None)
        assert made.threshold == DEFAULT_THRESHOLD
        assert today() + timedelta(150) < made.review_on < today() + timedelta(200)
        assert made.vectors
        assert [entry.action for entry in ModelLogEntry.objects.all()] == ["wagtail.create"]

    @pytest.mark.parametrize(
        ("changes", "field", "message"),
        [
            ({}, "examples", "Write at least one question, or a word by which it is recognised."),
            ({"words": "hours", "answer": " "}, "answer", "This field is required."),
            ({"words": "hours", "threshold": "2"}, "threshold", "less than or equal to 1"),
            (
                {"words": "\n".join(map(str, range(201)))},
                "words",
                "There are 201 lines; at most 200",
            ),
            ({"words": "a", "page_id": "99999"}, "page_id", "The page is no longer there."),
        ],
    )
    def test_what_is_wrong_is_said(self, site, admin, changes, field, message):
        page = send(admin, "prepared:add", **{"answer": "At nine.", **changes})
        assert message in page.errors(field)
        assert not PreparedAnswer.objects.exists()

    def test_editing_makes_a_version_that_can_be_compared_and_taken_back(self, prepared, admin):
        prepared.save_revision(user=admin.user)
        send(admin, "prepared:edit", prepared.pk, answer="At ten.", examples="When do you begin?")
        first, second = prepared.revisions.order_by("pk")
        history = admin.get("prepared:history", prepared.pk)
        assert (
            history.links("Compare with previous version") or "Review this version" in history.html
        )
        compared = admin.get("prepared:revisions_compare", prepared.pk, first.pk, second.pk)
        assert compared.status == 200
        assert "nine" in compared.text
        assert "ten" in compared.text
        old = admin.get("prepared:revisions_revert", prepared.pk, first.pk)
        assert "You are viewing a previous version" in old.html
        send(admin, "prepared:revisions_revert", prepared.pk, first.pk)
        prepared = PreparedAnswer.objects.get()
        assert (prepared.answer, prepared.examples) == ("At nine.", "When do you open?")
        assert prepared.vectors
        assert prepared.revisions.count() == 3
        # What a version can be made of again is not kept in it.
        assert not {"vectors", "embedding_model"} & set(first.content)

    def test_a_page_that_is_gone_can_be_replaced(self, site, prepared, admin):
        PreparedAnswer.objects.update(page_id=99_999)
        page = admin.get("prepared:edit", prepared.pk)
        assert page.status == 200
        send(admin, "prepared:edit", prepared.pk, page_id=site.root_page.pk)
        assert PreparedAnswer.objects.get().page_id == site.root_page.pk

    def test_out_of_use(self, prepared, admin):
        page = admin.get("prepared:edit", prepared.pk)
        values = form_values(page)
        del values["is_on"]
        page = admin.post("prepared:edit", prepared.pk, **values)
        assert page.message == "“When do you open?” is saved, and not in use."
        assert not PreparedAnswer.objects.get().is_on

    def test_deleting(self, prepared, admin):
        admin.post("prepared:delete", prepared.pk)
        assert not PreparedAnswer.objects.exists()
        assert ModelLogEntry.objects.filter(action="wagtail.delete").exists()

    def test_markup_is_text(self, site, prepared, admin):
        PreparedAnswer.objects.update(examples=EVIL, answer=EVIL, words=EVIL)
        for view, *args in (("prepared:index",), ("prepared:edit", prepared.pk)):
            assert admin.get(view, *args).soup.select("img[onerror]") == []


class TestCorrection:
    def test_it_begins_as_what_was_answered(self, site, admin, make_page):
        page = make_page("Hours", "Nine.")
        exchange = asked(
            site,
            "When do\nyou open?",
            passages=[said_of(site.root_page), said_of(page, 2)],
            citations=[2],
            answer="At eight [2]. Or so [1].",
        )
        query = f"?exchange={exchange.pk}"
        made = send(admin, "prepared:add", query=query)
        assert "from the next question on" in made.message
        prepared = PreparedAnswer.objects.get()
        assert prepared.examples == "When do you open?"
        assert prepared.answer == "At eight. Or so."
        assert (prepared.page_id, prepared.site) == (page.pk, site)
        assert (prepared.made_from, prepared.locale) == (exchange, Locale.get_default())
        assert "Use this from now on" in admin.get("prepared:add", exchange=exchange.pk).buttons

    def test_what_was_corrected_already_is_taken(self, site, admin):
        exchange = asked(site)
        exchange.grades.create(judge=admin.user, correction="At nine.")
        page = admin.get("prepared:add", exchange=exchange.pk)
        assert form_values(page)["answer"] == "At nine."

    def test_what_rests_on_a_page_that_is_closed_to_the_editor_is_not_shown(
        self, site, log_in, make_page
    ):
        page = make_page("Wages", "Secret.")
        restriction = PageViewRestriction.objects.create(page=page, restriction_type="groups")
        exchange = asked(site, passages=[said_of(page)], citations=[1], answer="The secret [1].")
        editor = log_in("preparer")
        grant(editor.user, "view_exchange")
        shown = editor.get("prepared:add", exchange=exchange.pk)
        assert form_values(shown)["examples"] == "When do you open?"
        assert "secret" not in shown.html
        restriction.delete()
        assert "The secret" in editor.get("prepared:add", exchange=exchange.pk).html

    @pytest.mark.parametrize("exchange", ["nothing", "b3c1f1de-7d5c-4a7c-9d4d-2f6cf0a1a111"])
    def test_one_that_is_gone_gives_an_empty_form(self, site, admin, exchange):
        page = admin.get("prepared:add", exchange=exchange)
        assert page.status == 200
        assert form_values(page)["examples"] == ""


class TestQuestionsOfOthers:
    """The address names any exchange; the form takes over what its user may read elsewhere."""

    @pytest.fixture
    def editor(self, log_in):
        return log_in("preparer")

    @pytest.fixture
    def compared(self, site, hosted, tuned):
        """Makes a comparison and gives the exchange of its first column."""

        def make(**values):
            answers = ["The secret.", "Another."]
            comparison = make_comparison(
                "When is it?", [hosted, tuned], site=site, answers=answers, **values
            )
            return Exchange.objects.get(columns=column_of(comparison, "A"))

        return make

    def begins_as(self, person, exchange):
        page = person.get("prepared:add", exchange=exchange.pk)
        values = form_values(page)
        is_taken = str(exchange.pk) in page.main.select_one("form#w-editor-form")["action"]
        assert is_taken == bool(values["examples"])
        return values["examples"], values["answer"]

    def test_a_visitors_question(self, site, editor):
        exchange = asked(site)
        assert self.begins_as(editor, exchange) == ("", "")
        send(editor, "prepared:add", query=f"?exchange={exchange.pk}", words="x", answer="y")
        assert PreparedAnswer.objects.get().made_from is None
        grant(editor.user, "view_exchange")
        assert self.begins_as(editor, exchange) == ("When do you open?", "At eight.")

    def test_a_comparisons_question(self, editor, compared):
        exchange = compared()
        assert self.begins_as(editor, exchange) == ("", "")
        grant(editor.user, "view_exchange")
        assert self.begins_as(editor, exchange) == ("", "")
        grant(editor.user, "view_comparison")
        assert self.begins_as(editor, exchange) == ("When is it?", "The secret.")

    def test_a_blind_comparisons_answer_once_names_are_told(self, editor, admin, compared):
        exchange = compared(is_blind=True)
        exchange.grades.create(judge=admin.user, correction="A colleague's words.")
        grant(editor.user, "add_comparison")
        assert self.begins_as(editor, exchange) == ("When is it?", "")
        show_names(exchange.columns.get().comparison, editor.user)
        assert self.begins_as(editor, exchange) == ("When is it?", "A colleague's words.")

    def test_a_comparisons_answer_from_a_closed_page(self, editor, compared, make_page):
        page = make_page("Wages", "Secret.")
        exchange = compared(pages=[page])
        grant(editor.user, "view_comparison")
        bar(page)
        assert self.begins_as(editor, exchange) == ("When is it?", "")

    @pytest.mark.parametrize("origin", ["shell", "evaluation"])
    def test_what_no_page_shows(self, site, admin, origin):
        assert self.begins_as(admin, asked(site, origin=origin)) == ("", "")


class TestSimilarity:
    def shown(self, admin, prepared, **changes):
        values = {
            "examples": prepared.examples,
            "words": prepared.words,
            "threshold": prepared.threshold,
            "locale": prepared.locale_id,
            "site": prepared.site_id or "",
            **changes,
        }
        soup = admin.post("prepared:similarity", **values).soup
        lists = [
            [li.select_one("[dir=auto]").get_text() for li in ol.select("li")]
            for ol in soup.select("ol")
        ]
        given, others = lists or ([], [])
        return given, others, " ".join(soup.get_text(" ").split())

    def test_what_was_asked_on_either_side_of_the_line(self, site, prepared, admin):
        asked(site, "When do you open?")  # its own example
        asked(site, "When do you close?")
        asked(site, "What time do you open?")
        asked(site, "What time do you open?")
        asked(site, "Wann öffnen Sie?", locale="de")
        Question.objects.create(text="When does the museum open?")
        given, others, text = self.shown(admin, prepared, threshold="0.5", words="museum")
        assert given == [
            "When does the museum open?",
            "When do you open?",
            "What time do you open?",
        ]
        assert others == ["When do you close?"]
        assert "3 of 4 questions that were asked would get this answer." in text
        given, others, _text = self.shown(admin, prepared, threshold="0.9")
        assert given == ["When do you open?"]
        assert others[0] == "What time do you open?"

    def test_only_of_its_site(self, site, other_site, prepared, admin):
        asked(other_site, "What time do you open?")
        assert "would get this answer" in self.shown(admin, prepared)[2]
        assert "No question has been recorded yet" in self.shown(admin, prepared, site=site.pk)[2]

    def test_visitors_questions_are_for_those_who_may_read_them(self, site, prepared, log_in):
        asked(site, "What time do you open?")
        editor = log_in("preparer")
        text = self.shown(editor, prepared)[2]
        assert text == "No question is saved yet, and you may not read visitors' questions."
        Question.objects.create(text="What time do you close?")
        assert "0 of 1 questions" in self.shown(editor, prepared)[2]

    def test_nothing_asked_yet_and_nothing_written_yet(self, site, prepared, admin):
        assert "No question has been recorded yet" in self.shown(admin, prepared)[2]
        asked(site, "What time do you open?")
        text = self.shown(admin, prepared, examples="", words="", threshold="x", locale="x")[2]
        assert "0 of 1 questions" in text

    def test_markup_is_text(self, site, prepared, admin):
        asked(site, f"What time do you open? {EVIL}")
        page = admin.post(
            "prepared:similarity", examples="When do you open?", threshold="0", locale="", site=""
        )
        assert "What time do you open?" in page.soup.get_text()
        assert page.soup.select("img") == []
