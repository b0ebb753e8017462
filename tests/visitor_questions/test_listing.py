"""The report of what visitors asked: what each reader may see, find and take out of it."""

from __future__ import annotations

import csv
import io
import uuid
from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone
from openpyxl import load_workbook

from finetune_switch.models import Exchange, Origin, Outcome, PreparedAnswer
from tests.comparison_helpers import bar
from tests.pages import address, inline_in, rows
from tests.screens import add_page
from tests.visitor_helpers import make_exchange, unanswered

HIDDEN = "You may not open every page that the answer rests on."
EVIL = '<img src=x onerror="alert(1)">'
SECRET = "The director earns a million."


@pytest.fixture
def page(site):
    return add_page(site, "Wages")


@pytest.fixture
def reader(log_in):
    return log_in("visitor_reader")


@pytest.fixture
def closed(site, page):
    """An answer from a page that only superusers may open, with a comment that quotes it."""
    bar(page)
    return make_exchange(
        "Who earns what?",
        site,
        pages=[page],
        answer=f"{SECRET} [1]",
        standalone_question=f"Why is it that {SECRET}",
        thumb=False,
        comment=SECRET,
        withheld_facts=[{"kind": "number", "text": "a million", "start": 19, "end": 28}],
    )


@pytest.fixture
def count_queries(django_assert_max_num_queries):
    def count(action):
        with django_assert_max_num_queries(200) as captured:
            action()
        return len(captured)

    return count


def cells(page, number=0):
    row = page.main.select("table.listing tbody tr")[number]
    return [" ".join(cell.get_text(" ").split()) for cell in row.select("td")]


def asked(page):
    return {title.split("?")[0] for title in rows(page)}


def exported(reader, kind="csv", **query):
    response = reader.client.get(address("visitor_questions:index"), {"export": kind, **query})
    assert response.status_code == 200
    content = b"".join(response.streaming_content)
    if kind == "csv":
        return list(csv.DictReader(io.StringIO(content.decode())))
    lines = [[cell.value for cell in row] for row in load_workbook(io.BytesIO(content)).active]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]


class TestList:
    def test_nobody_has_asked(self, reader):
        page = reader.get("visitor_questions:index")
        assert "No visitor has asked anything yet." in page.text
        assert "not recorded" not in page.text

    def test_recording_is_off(self, reader, site, settings):
        settings.FINETUNE_SWITCH = {**settings.FINETUNE_SWITCH, "RECORD_VISITOR_QUESTIONS": False}
        for view in ("visitor_questions:index", "visitor_questions:unanswered"):
            text = reader.get(view).text
            assert "Visitors' questions are not recorded" in text
            assert 'FINETUNE_SWITCH["RECORD_VISITOR_QUESTIONS"] = True' in text

    def test_a_row(self, reader, site, page):
        held = [{"kind": "price", "text": "£7", "start": 0, "end": 2}]
        exchange = make_exchange(
            "What is paid?",
            site,
            pages=[page],
            thumb=False,
            comment="Too short",
            withheld_facts=held,
        )
        listed = reader.get("visitor_questions:index")
        title, _when, language, where, outcome, thumb, backend, *last = cells(listed)
        assert title == "What is paid?"
        assert language == "English"
        assert outcome == "Answered 1 fact withheld"
        assert thumb == "Down “Too short”"
        assert (where, backend, last) == ("Harbour", "The model of then", ["0.50 s", "Wages"])
        url = address("visitor_questions:exchange", exchange.pk)
        assert listed.links("What is paid?") == [url]

    def test_only_what_visitors_asked_newest_first(self, reader, site):
        for number in range(21):
            make_exchange(f"Question {number}?", site, days_ago=number)
        make_exchange("A colleague's?", site, origin=Origin.COMPARE)
        assert len(rows(reader.get("visitor_questions:index"))) == 20
        assert rows(reader.get("visitor_questions:index"))[0].startswith("Question 0?")
        assert asked(reader.get("visitor_questions:index", p=2)) == {"Question 20"}

    def test_several_sites(self, reader, site, other_site):
        make_exchange("Here?", site)
        make_exchange("There?", other_site)
        assert cells(reader.get("visitor_questions:index"))[3] == "Sail Loft"
        assert asked(reader.get("visitor_questions:index", site=site.pk)) == {"Here"}

    def test_who_may_not_open_a_page_sees_no_answer_from_it(self, reader, admin, closed):
        for view in (("index",), ("exchange", closed.pk)):
            page = reader.get(f"visitor_questions:{view[0]}", *view[1:])
            assert "Who earns what?" in page.text
            assert "million" not in page.html
            assert "Wages" not in page.html
        assert HIDDEN in reader.get("visitor_questions:index").text
        assert SECRET in admin.get("visitor_questions:index").text
        assert SECRET in admin.get("visitor_questions:exchange", closed.pk).text

    def test_nor_one_that_followed_such_an_answer(self, reader, closed, site):
        """A model that is told what was said before may say it again."""
        closed.conversation = uuid.uuid4()
        closed.save()
        later = make_exchange("So?", site, answer=SECRET, conversation=closed.conversation)
        assert "million" not in reader.get("visitor_questions:exchange", later.pk).html
        assert [row["Answer"] for row in exported(reader)] == ["", ""]

    def test_html_is_text(self, reader, site, page):
        page.title = EVIL
        exchange = unanswered(
            EVIL,
            site,
            pages=[page],
            answer=EVIL,
            standalone_question=EVIL,
            error=EVIL,
            backend_state={"label": EVIL, "model": EVIL},
            thumb=False,
            comment=EVIL,
        )
        for view in (("index",), ("exchange", exchange.pk), ("unanswered",)):
            shown = reader.get(f"visitor_questions:{view[0]}", *view[1:])
            assert shown.soup.select("img[onerror]") == []
            assert EVIL in shown.soup.get_text()

    def test_nothing_is_inline(self, reader, site, page):
        exchange = unanswered("When?", site, pages=[page], thumb=False)
        for view in (("index",), ("exchange", exchange.pk), ("unanswered",)):
            shown = reader.get(f"visitor_questions:{view[0]}", *view[1:])
            assert inline_in(shown.main) == []

    def test_as_many_queries_for_many_rows(self, reader, site, page, count_queries):
        conversation = uuid.uuid4()

        def add(number):
            values = {"conversation": conversation} if number % 2 else {}
            make_exchange(f"{number}?", site, pages=[page], thumb=True, **values)

        def look():
            assert reader.get("visitor_questions:index").status == 200

        add(1)
        look()
        few = count_queries(look)
        for number in range(2, 16):
            add(number)
        assert count_queries(look) == few

    def test_in_both_menus(self, reader, log_in):
        url = address("visitor_questions:index")

        def links(person):
            props = person.get("wagtailadmin_home").soup.select_one("#wagtail-sidebar-props")
            return props.get_text().count(f'"{url}"')

        assert links(reader) == 2
        assert links(log_in("comparer")) == 0


class TestFilters:
    def find(self, reader, **query):
        return asked(reader.get("visitor_questions:index", **query))

    def test_outcome(self, reader, site):
        make_exchange("Fine?", site)
        make_exchange("Failed?", site, outcome=Outcome.FAILED)
        unanswered("Unknown?", site)
        left = make_exchange("Left?", site, outcome=Outcome.OPEN)
        make_exchange("Running?", site, outcome=Outcome.OPEN)
        past = timezone.now() - timedelta(minutes=1)
        Exchange.objects.filter(pk=left.pk).update(deadline_at=past)
        for outcome, found in {
            "complete": {"Fine"},
            "failed": {"Failed"},
            "no_answer": {"Unknown"},
            "interrupted": {"Left"},
            "open": {"Running"},
        }.items():
            assert self.find(reader, outcome=outcome) == found

    def test_thumb(self, reader, site):
        make_exchange("Up?", site, thumb=True)
        make_exchange("Down?", site, thumb=False)
        make_exchange("None?", site)
        assert self.find(reader, thumb="up") == {"Up"}
        assert self.find(reader, thumb="down") == {"Down"}
        assert self.find(reader, thumb="none") == {"None"}

    def test_slow(self, reader, site):
        for seconds in (1, 3, 6, 11):
            make_exchange(f"{seconds}?", site, first_token_seconds=seconds)
        make_exchange("never?", site, first_token_seconds=None)
        assert self.find(reader, slow=2) == {"3", "6", "11"}
        assert self.find(reader, slow=10) == {"11"}

    def test_fact_lock_and_prepared_answer(self, reader, site):
        held = [{"kind": "price", "text": "£7", "start": 0, "end": 2}]
        make_exchange("Held?", site, withheld_facts=held)
        prepared = PreparedAnswer.objects.create(locale=site.root_page.locale, answer="At nine.")
        state = {"label": "Fixed reply"}
        make_exchange("Prepared?", site, prepared_answer=prepared, backend_state=state)
        assert self.find(reader, withheld_facts="yes") == {"Held"}
        assert self.find(reader, withheld_facts="no") == {"Prepared"}
        assert self.find(reader, prepared="yes") == {"Prepared"}
        assert self.find(reader, prepared="no") == {"Held"}
        assert cells(reader.get("visitor_questions:index", prepared="yes"))[6] == "Fixed reply"

    def test_backend_language_and_days(self, reader, site, hosted):
        make_exchange("Hosted?", site, backend=hosted, locale="de", days_ago=3)
        make_exchange("Other?", site)
        assert self.find(reader, backend=hosted.pk) == {"Hosted"}
        assert self.find(reader, locale="de") == {"Hosted"}
        yesterday = (timezone.now() - timedelta(days=1)).date().isoformat()
        assert self.find(reader, opened_at_from=yesterday) == {"Other"}
        assert self.find(reader, opened_at_to=yesterday) == {"Hosted"}

    def test_page_cited(self, reader, site, page):
        other, third = add_page(site, "Boats"), add_page(site, "Never cited")
        make_exchange("Both?", site, pages=[page, other])
        make_exchange("One?", site, pages=[page, other], citations=[1])
        make_exchange("None?", site, pages=[page], citations=[])
        assert self.find(reader, cited=page.pk) == {"Both", "One"}
        assert self.find(reader, cited=other.pk) == {"Both"}
        assert self.find(reader, cited=third.pk) == set()
        listed = reader.get("visitor_questions:index")
        titles = [option.text for option in listed.soup.select("select[name=cited] option")]
        assert titles[1:] == ["Boats", "Wages"]

    def test_a_page_that_is_closed_is_neither_offered_nor_found_by(
        self, reader, admin, closed, page
    ):
        listed = reader.get("visitor_questions:index", cited=page.pk)
        assert "Wages" not in listed.html
        assert self.find(admin, cited=page.pk) == {"Who earns what"}

    def test_search(self, reader, site, closed):
        make_exchange("When do you OPEN?", site, answer="At nine.")
        assert self.find(reader, q="open") == {"When do you OPEN"}
        assert self.find(reader, q="nine") == set()
        assert self.find(reader, q="million") == set()

    @pytest.mark.parametrize(
        "query",
        [
            {"outcome": "nonsense"},
            {"slow": "1e9"},
            {"backend": "x"},
            {"cited": "9" * 30},
            {"cited": "²"},
            {"locale": "\x00"},
            {"site": "-1"},
            {"q": "a\x00b"},
            {"opened_at_from": "yesterday"},
            {"ordering": "answer"},
            {"p": "99999999999999999999999"},
            {"days": "-3"},
            {"export": "exe"},
        ],
    )
    def test_nonsense_breaks_nothing(self, query, reader, site, page):
        make_exchange("When?", site, pages=[page], thumb=False)
        for view in ("index", "index_results", "unanswered", "unanswered_results"):
            assert reader.get(f"visitor_questions:{view}", **query).status == 200


class TestExport:
    def test_everything(self, reader, site, page, hosted):
        make_exchange(
            "=1+1",
            site,
            pages=[page],
            answer="£7 a day. [1]",
            shown_text="Please look there. [1]",
            withheld_facts=[{"kind": "price", "text": "£7", "start": 0, "end": 2}],
            thumb=True,
            comment="@SUM(1)",
            cost=Decimal("0.0002"),
            prompt_tokens=100,
        )
        for kind in ("csv", "xlsx"):
            [row] = exported(reader, kind)
            assert row["Question"] == ("'=1+1" if kind == "csv" else "=1+1")
            assert row["Comment"].endswith("@SUM(1)")
            assert (row["Comment"][0] == "'") == (kind == "csv")
            assert row["Thumb"] == "Up"
            assert row["Facts withheld"] == "£7"
            assert row["What the visitor read"] == "Please look there. [1]"
            assert row["Pages cited"] == "Wages"
            assert str(row["Tokens read"]) == "100"

    def test_as_filtered_and_in_batches(self, reader, site, monkeypatch):
        monkeypatch.setattr("finetune_switch.admin.listings.EXPORT_BATCH", 2)
        for number in range(5):
            make_exchange(f"{number}?", site, thumb=bool(number), days_ago=number)
        assert [r["Question"] for r in exported(reader, thumb="up")] == ["1?", "2?", "3?", "4?"]

    def test_no_answer_that_may_not_be_read(self, reader, admin, closed):
        [row] = exported(reader)
        assert row["Remark"] == HIDDEN
        assert "million" not in str(row)
        assert "Wages" not in str(row)
        assert SECRET in exported(admin)[0]["Answer"]


class TestOne:
    def test_everything_that_became_of_it(self, reader, site, page):
        conversation = uuid.uuid4()
        first = make_exchange("Do you pay?", site, conversation=conversation, days_ago=0.1)
        exchange = make_exchange(
            "And how much?",
            site,
            pages=[page],
            texts=["We pay by the hour."],
            conversation=conversation,
            standalone_question="How much do you pay?",
            answer="By the hour. [1] It is £7. [1]",
            shown_text="By the hour. [1] Please look there. [1]",
            withheld_facts=[{"kind": "price", "text": "£7", "start": 23, "end": 25}],
            thumb=False,
            comment="No figure!",
            cost=Decimal("0.0002"),
            prompt_tokens=100,
            completion_tokens=20,
        )
        shown = reader.get("visitor_questions:exchange", exchange.pk)
        assert [mark.text for mark in shown.main.select("mark")] == ["£7"]
        for sentence in (
            "Rewritten as: “How much do you pay?”",
            "1 fact is in no passage",
            "By the hour. [1] Please look there. [1]",
            "Thumb down : “No figure!”",
            "We pay by the hour.",
            "50 % match · cited",
            "The model of then",
            "model-1",
            "100 tokens",
            "$ 0.000200",
        ):
            assert sentence in shown.text
        assert shown.links("Do you pay?") == [address("visitor_questions:exchange", first.pk)]

    @pytest.mark.parametrize(
        ("values", "sentence"),
        [
            ({}, "The whole answer."),
            ({"answer": "At", "outcome": Outcome.CANCELLED}, "The answer breaks off here."),
            ({"answer": "At £9.", "shown_text": "Ask us."}, "What the visitor read Ask us."),
            ({"answer": "At", "shown_text": ""}, "What the visitor read Nothing."),
            ({"answer": "", "outcome": Outcome.FAILED, "error": "It slept."}, "It slept."),
        ],
    )
    def test_how_it_ended(self, values, sentence, reader, site):
        exchange = make_exchange("When?", site, **values)
        assert sentence in reader.get("visitor_questions:exchange", exchange.pk).text

    def test_instructions_are_for_those_who_see_backends(self, reader, admin, site):
        state = {"label": "x", "system_prompt": "Never mention the fire."}
        exchange = make_exchange("When?", site, backend_state=state)
        assert "the fire" not in reader.get("visitor_questions:exchange", exchange.pk).text
        assert "the fire" in admin.get("visitor_questions:exchange", exchange.pk).text

    def test_no_others(self, reader, site):
        compared = make_exchange("When?", site, origin=Origin.COMPARE)
        for pk in (compared.pk, uuid.uuid4()):
            assert reader.get("visitor_questions:exchange", pk).status == 404

    def test_opened_in_compare(self, reader, admin, site, other_site):
        exchange = make_exchange(
            "And when?", other_site, standalone_question="When do you open?", locale="en-gb"
        )
        page = admin.get("visitor_questions:exchange", exchange.pk)
        [url] = page.links("Open in compare")
        assert reader.get("visitor_questions:exchange", exchange.pk).links("Open in compare") == []
        form = admin.client.get(url).content.decode()
        assert ">When do you open?</textarea>" in form.replace("\n", "").replace("\r", "")
        assert f'<option value="{other_site.pk}" selected>' in form

    def test_corrected(self, reader, admin, site, page):
        values = {"answer": "At nine. [1]", "standalone_question": "When does the cafe open?"}
        exchange = make_exchange("And that?", site, pages=[page], **values)
        shown = admin.get("visitor_questions:exchange", exchange.pk)
        [url] = shown.links("Correct the answer")
        form = admin.client.get(url).content.decode()
        assert "At nine." in form
        assert "When does the cafe open?" in form
        assert reader.get("visitor_questions:exchange", exchange.pk).links("Correct") == []

    def test_what_was_prepared_is_edited(self, admin, site):
        prepared = PreparedAnswer.objects.create(locale=site.root_page.locale, answer="At nine.")
        exchange = make_exchange("When?", site, prepared_answer=prepared)
        page = admin.get("visitor_questions:exchange", exchange.pk)
        assert page.links("Edit the prepared") == [address("prepared:edit", prepared.pk)]
        assert page.links("Correct the answer") == []
        assert "The prepared answer At nine." in page.text

    def test_what_follows_a_closed_answer_is_not_offered_to_be_corrected(
        self, log_in, closed, site
    ):
        closed.conversation = uuid.uuid4()
        closed.save()
        later = make_exchange("So?", site, answer=SECRET, conversation=closed.conversation)
        writer = log_in("preparer")
        for exchange in (closed, later):
            page = writer.get("prepared:add", exchange=exchange.pk)
            assert page.status == 200
            assert "million" not in page.html

    def test_compare_tells_nobody_what_they_may_not_read(self, log_in, closed):
        comparer = log_in("comparer")
        assert "earns" not in comparer.get("compare:index", exchange=closed.pk).html
        assert comparer.get("compare:index", exchange="nonsense").status == 200
