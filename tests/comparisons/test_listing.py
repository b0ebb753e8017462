"""The list of comparisons: what each reader may see of it, find in it, and take out of it."""

from __future__ import annotations

import csv
import io
import itertools
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from openpyxl import load_workbook
from wagtail.models import Page, PageViewRestriction

from demo_site.models import ArticlePage
from finetune_switch.access import Asker
from finetune_switch.comparisons.comparing import may_read
from finetune_switch.comparisons.reading import ComparisonReader
from finetune_switch.models import Column, Comparison, Exchange, Grade, Outcome, Preference
from tests.comparison_helpers import bar, column_of, grade, make_comparison, prefer, show_names
from tests.pages import address, inline_in, rows
from tests.roles import make_user

HIDDEN = "You may not open every page that the answers rest on."
EVIL = '<img src=x onerror="alert(1)">'


@pytest.fixture
def sam(site):
    return make_user("comparison_deleter")


@pytest.fixture
def page(site):
    article = ArticlePage(title="Wages", introduction="Wages", body=[])
    return Page.objects.get(pk=site.root_page.pk).add_child(instance=article)


@pytest.fixture
def compare(site, hosted, tuned):
    def compare(question="When do you open?", backends=None, **values):
        return make_comparison(question, backends or [hosted, tuned], site=site, **values)

    return compare


def exported(reader, kind="csv", **query):
    """The rows of an export, each by its headings."""
    response = reader.client.get(address("comparisons:index"), {"export": kind, **query})
    assert response.status_code == 200
    content = b"".join(response.streaming_content)
    if kind == "csv":
        return list(csv.DictReader(io.StringIO(content.decode())))
    lines = [[cell.value for cell in row] for row in load_workbook(io.BytesIO(content)).active]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]


def cells(page, number=0):
    row = page.main.select("table.listing tbody tr")[number]
    return [" ".join(cell.get_text(" ").split()) for cell in row.select("td")]


class TestList:
    def test_empty(self, site, admin, log_in):
        page = admin.get("comparisons:index")
        assert "Nothing has been compared yet." in page.text
        assert page.links("Ask two backends one question") == [address("compare:index")]
        viewer = log_in("comparison_viewer").get("comparisons:index")
        assert "Nothing has been compared yet." in viewer.text
        assert viewer.links("Ask two backends") == []

    def test_a_row(self, compare, sam, admin):
        comparison = compare(user=sam, asked_at=timezone.now() - timedelta(hours=2))
        prefer(comparison, "A", sam)
        grade(comparison, "A", sam, "correct")
        grade(comparison, "B", admin.user, "wrong")
        page = admin.get("comparisons:index")
        title, answers, judged, asked_by, asked = cells(page)
        assert title.startswith("When do you open?")
        assert answers == "A The hosted model B Our fine-tune"
        assert judged == ("Comparison_Deleter: A A: Correct (Comparison_Deleter) B: Wrong (You)")
        assert asked_by == "Comparison_Deleter"
        assert asked == "2 hours ago"
        assert page.links("When do you open?") == [comparison.get_absolute_url()]
        again = f"{address('compare:index')}?again={comparison.pk}"
        assert page.links("Ask again") == [again]

    def test_newest_first_twenty_a_page(self, compare, admin):
        now = timezone.now()
        for number in range(21):
            compare(f"Question {number}?", asked_at=now - timedelta(hours=number))
        assert rows(admin.get("comparisons:index"))[0].startswith("Question 0?")
        assert len(rows(admin.get("comparisons:index"))) == 20
        last = admin.get("comparisons:index", p=2)
        assert [title.split("?")[0] for title in rows(last)] == ["Question 20"]
        oldest = admin.get("comparisons:index", ordering="asked_at")
        assert rows(oldest)[0].startswith("Question 20?")

    def test_what_was_judged_may_be_nothing(self, compare, admin):
        compare()
        assert cells(admin.get("comparisons:index"))[2] == "Not judged yet"

    def test_a_word_that_was_taken_back_is_gone(self, compare, sam, admin):
        comparison = compare()
        prefer(comparison, "A", sam)
        grade(comparison, "A", sam, "correct")
        Preference.undo(comparison, judge=sam)
        Grade.undo(Exchange.objects.get(pk=column_of(comparison, "A").exchange_id), judge=sam)
        assert cells(admin.get("comparisons:index"))[2] == "Not judged yet"

    def test_who_failed(self, compare, admin):
        comparison = compare()
        Exchange.objects.filter(pk=column_of(comparison, "B").exchange_id).update(
            outcome=Outcome.FAILED
        )
        assert cells(admin.get("comparisons:index"))[1].endswith("B Our fine-tune failed")

    def test_people_and_backends_that_are_gone(self, compare, sam, tuned, admin):
        comparison = compare(user=sam)
        prefer(comparison, "B", sam)
        sam.delete()
        tuned.delete()
        _title, answers, judged, asked_by, _asked = cells(admin.get("comparisons:index"))
        assert answers == "A The hosted model B Our fine-tune"
        assert (judged, asked_by) == ("Somebody: B", "")

    def test_before_anything_was_answered(self, site, hosted, tuned, admin):
        comparison = Comparison.objects.create(site=None, question="Soon?", is_blind=False)
        for position, backend in enumerate([hosted, tuned]):
            Column.objects.create(
                comparison=comparison, position=position, backend=backend, label="x"
            )
        assert cells(admin.get("comparisons:index"))[1] == "A The hosted model B Our fine-tune"
        assert [row["Answer"] for row in exported(admin)] == ["", ""]

    def test_a_long_question_is_cut(self, compare, admin):
        compare("w" * 20_000)
        assert len(rows(admin.get("comparisons:index"))[0].split()[0]) == 140

    def test_html_is_text(self, compare, hosted, admin):
        type(hosted).objects.filter(pk=hosted.pk).update(label=EVIL)
        hosted.refresh_from_db()
        comparison = compare(EVIL, answers=[EVIL, EVIL])
        grade(comparison, "A", admin.user, "wrong", note=EVIL)
        for view in (("comparisons:index",), ("comparisons:delete", comparison.pk)):
            page = admin.get(*view)
            assert page.soup.select("img[onerror]") == []
            assert EVIL in page.soup.get_text()

    def test_nothing_is_inline(self, compare, admin):
        compare()
        assert inline_in(admin.get("comparisons:index").main) == []
        assert inline_in(admin.get("comparisons:index").soup.select_one("form[role=search]")) == []

    def test_as_many_queries_for_many_rows(self, compare, page, sam, admin, count_queries):
        def add(number):
            comparison = compare(f"Question {number}?", pages=[page], user=sam, is_blind=True)
            prefer(comparison, "A", sam)
            grade(comparison, "B", sam, "wrong")
            show_names(comparison, admin.user)

        def look():
            assert admin.get("comparisons:index").status == 200

        add(0)
        bar(page)
        look()
        few = count_queries(look)
        for number in range(1, 15):
            add(number)
        assert count_queries(look) == few


@pytest.fixture
def count_queries(django_assert_max_num_queries):
    def count(action):
        with django_assert_max_num_queries(200) as captured:
            action()
        return len(captured)

    return count


class TestBlind:
    """Names, models, times and costs are hidden until the reader has judged."""

    NAMES = ("The hosted model", "Our fine-tune", "standin-finetuned", "test-model")

    def test_the_list_shows_letters(self, compare, sam, admin):
        comparison = compare(is_blind=True)
        prefer(comparison, "A", sam)
        grade(comparison, "A", sam, "correct", note="Clear.")
        page = admin.get("comparisons:index")
        assert cells(page)[1:3] == ["A, B", "1 person judged it"]
        listing = page.soup.select_one("#listing-results")
        assert not any(name in str(listing) for name in self.NAMES)

    def test_who_judged_sees_what_others_thought_and_no_names(self, compare, sam, admin):
        comparison = compare(is_blind=True)
        prefer(comparison, "A", sam)
        prefer(comparison, "both_bad", admin.user)
        assert cells(admin.get("comparisons:index"))[1:3] == [
            "A, B",
            "Comparison_Deleter: A You: Both bad",
        ]

    def test_revealed(self, compare, sam, admin, log_in):
        comparison = compare(is_blind=True)
        show_names(comparison, admin.user)
        assert "The hosted model" in cells(admin.get("comparisons:index"))[1]
        assert cells(log_in("comparer").get("comparisons:index"))[1] == "A, B"

    def test_the_export_hides_them_too(self, compare, admin):
        compare(is_blind=True)
        for kind in ("csv", "xlsx"):
            found = exported(admin, kind)
            assert not any(name in str(found) for name in self.NAMES)
            assert [row["Answer"] for row in found] == ["Answer 0", "Answer 1"]
            for row in found:
                assert row["Remark"] == "Who answered is hidden until you have judged it."
                for heading in ("Backend", "Seconds in all", "Tokens read", "Cost in US dollars"):
                    assert not row[heading]

    def test_no_filter_tells_a_name(self, compare, hosted, admin):
        comparison = compare(is_blind=True)
        assert rows(admin.get("comparisons:index", backend=hosted.pk)) == []
        assert exported(admin, backend=hosted.pk) == []
        show_names(comparison, admin.user)
        assert len(rows(admin.get("comparisons:index", backend=hosted.pk))) == 1

    def test_no_filter_tells_what_others_thought(self, compare, sam, admin):
        comparison = compare(is_blind=True)
        grade(comparison, "A", sam, "wrong")
        assert rows(admin.get("comparisons:index", grade="wrong")) == []
        prefer(comparison, "A", admin.user)
        assert len(rows(admin.get("comparisons:index", grade="wrong"))) == 1


class TestFilters:
    def test_backend(self, compare, hosted, tuned, extractive, admin):
        compare("One?", [hosted, tuned])
        compare("Two?", [hosted, extractive])
        found = rows(admin.get("comparisons:index", backend=tuned.pk))
        assert [title.split("?")[0] for title in found] == ["One"]

    def test_grade(self, compare, sam, admin):
        one, two = compare("One?"), compare("Two?")
        grade(one, "A", sam, "correct")
        grade(two, "B", sam, "wrong")
        grade(two, "B", sam, "dont_know")
        assert rows(admin.get("comparisons:index", grade="wrong")) == []
        [title] = rows(admin.get("comparisons:index", grade="dont_know"))
        assert title.startswith("Two?")

    def test_who(self, compare, sam, admin):
        compare("One?", user=sam)
        compare("Two?", user=admin.user)
        page = admin.get("comparisons:index", user=sam.pk)
        assert rows(page)[0].startswith("One?")
        assert len(rows(page)) == 1
        # Only those who have asked.
        options = page.soup.select("select[name=user] option")
        assert sorted(o.text for o in options)[1:] == ["Comparison_Deleter", "superuser"]

    def test_when(self, compare, admin):
        compare("One?", asked_at=datetime(2026, 3, 1, 12, tzinfo=UTC))
        compare("Two?", asked_at=datetime(2026, 3, 2, 23, tzinfo=UTC))
        compare("Three?", asked_at=datetime(2026, 3, 4, 12, tzinfo=UTC))
        days = {"asked_at_from": "2026-03-02", "asked_at_to": "2026-03-02"}
        page = admin.get("comparisons:index", **days)
        assert [title.split("?")[0] for title in rows(page)] == ["Two"]
        assert page.soup.select_one("input[name=asked_at_from]")["value"] == "2026-03-02"
        assert len(rows(admin.get("comparisons:index", asked_at_from="2026-03-02"))) == 2

    def test_failed(self, compare, admin):
        failed, left, fine = compare("Failed?"), compare("Left?"), compare("Fine?")
        Exchange.objects.filter(pk=column_of(failed, "B").exchange_id).update(
            outcome=Outcome.FAILED
        )
        Exchange.objects.filter(pk=column_of(left, "B").exchange_id).update(
            outcome=Outcome.OPEN, deadline_at=timezone.now() - timedelta(seconds=1)
        )
        found = rows(admin.get("comparisons:index", failed="yes"))
        assert sorted(title.split("?")[0] for title in found) == ["Failed", "Left"]
        [title] = rows(admin.get("comparisons:index", failed="no"))
        assert title.startswith(fine.question)

    @pytest.mark.parametrize(
        "query",
        [
            {"backend": "x"},
            {"grade": "nonsense"},
            {"user": "-1"},
            {"asked_at_from": "yesterday"},
            {"failed": "\x00"},
            {"q": "a\x00b"},
            {"q": "x" * 20_000},
            {"ordering": "passages"},
            {"p": "99999999999999999999999"},
            {"export": "exe"},
        ],
    )
    def test_nonsense_breaks_nothing(self, query, compare, admin):
        compare()
        for view in ("comparisons:index", "comparisons:index_results"):
            assert admin.get(view, **query).status == 200

    def test_search(self, compare, admin):
        compare("When do you open?", answers=["At nine.", "At half past eight."])
        compare("Is there a lift?", answers=["Yes.", "No."])
        for query, found in {
            "OPEN": ["When do you open"],
            "half past": ["When do you open"],
            "no.": ["Is there a lift"],
            "tower": [],
        }.items():
            titles = rows(admin.get("comparisons:index", q=query))
            assert [title.split("?")[0] for title in titles] == found, query


class TestWhoMayNotOpenThePages:
    """Only the question, and one sentence why."""

    @pytest.fixture
    def secret(self, compare, page, sam, hosted):
        comparison = compare("What do they earn?", pages=[page], answers=["Gold", "Silver"])
        grade(comparison, "A", sam, "wrong", note="Bronze", correction="Copper", tone="no")
        prefer(comparison, "B", sam)
        Exchange.objects.filter(pk=column_of(comparison, "B").exchange_id).update(
            outcome=Outcome.FAILED
        )
        bar(page)
        return comparison

    CONTENT = ("Gold", "Silver", "Bronze", "Copper", "Wrong", "The hosted model", "Our fine-tune")

    @pytest.fixture
    def reader(self, secret, log_in):
        return log_in("comparer")

    def test_the_list(self, reader):
        page = reader.get("comparisons:index")
        listing = page.soup.select_one("#listing-results")
        title, answers, judged, *_others = cells(page)
        assert title.startswith("What do they earn?")
        assert (answers, judged) == (HIDDEN, "")
        assert not any(word in str(listing) for word in self.CONTENT)
        assert page.links("Ask again") == []

    @pytest.mark.parametrize("kind", ["csv", "xlsx"])
    def test_the_export(self, kind, reader):
        [row] = exported(reader, kind)
        assert row["Question"] == "What do they earn?"
        assert row["Remark"] == HIDDEN
        assert not any(word in str(row.values()) for word in self.CONTENT)

    @pytest.mark.parametrize("query", ["gold", "silver", "bronze", "copper"])
    def test_search_finds_no_answer(self, query, reader):
        assert rows(reader.get("comparisons:index", q=query)) == []
        assert exported(reader, q=query) == []

    def test_search_finds_the_question(self, reader):
        assert len(rows(reader.get("comparisons:index", q="earn"))) == 1

    def test_no_filter_finds_it_by_its_answers(self, reader, hosted):
        for query in (
            {"backend": hosted.pk},
            {"grade": "wrong"},
            {"failed": "yes"},
            {"failed": "no"},
        ):
            assert rows(reader.get("comparisons:index", **query)) == [], query
            assert exported(reader, **query) == [], query

    def test_others_see_it_all(self, secret, admin):
        assert len(rows(admin.get("comparisons:index", q="gold"))) == 1
        assert "Copper" in str(exported(admin))

    def test_pages_that_go_or_are_unpublished_later_count(self, compare, page, admin, log_in):
        compare("Gone?", pages=[page])
        reader = log_in("comparer")
        assert cells(reader.get("comparisons:index"))[1] != HIDDEN
        Page.objects.get(pk=page.pk).unpublish()
        assert cells(reader.get("comparisons:index"))[1] == HIDDEN
        Page.objects.get(pk=page.pk).delete()
        assert cells(admin.get("comparisons:index"))[1] == HIDDEN

    def test_it_is_as_of_one_comparison(self, compare, site, other_site, page, hosted, log_in):
        """What is found for many at once is what ``comparing`` says of each."""
        open_page = Page.objects.get(pk=site.root_page.pk)
        member = make_user("comparison_viewer")
        group = member.groups.get()
        bar(page, group)
        found = [
            compare(f"{number}?", pages=pages, is_blind=blind)
            for number, (pages, blind) in enumerate(
                itertools.product(
                    [[], [page], [open_page], [page, open_page], [page.specific, page]],
                    [True, False],
                )
            )
        ]
        found.append(compare("Elsewhere?", pages=[open_page]))
        Comparison.objects.filter(question="Elsewhere?").update(site=None)
        odd = compare("Odd?", pages=[open_page])
        odd.passages[0]["source"]["model"] = "no.such"
        odd.save()
        show_names(found[0], member)
        expected_readable = {True: 0, False: 0}
        for user in (member, make_user("comparer"), make_user("superuser")):
            asker = Asker.from_user(user)
            every = list(Comparison.objects.select_related("site"))
            seen = ComparisonReader(user, asker).see(every)
            for one in seen:
                expected_readable[one.may_read] += 1
                assert one.may_read == may_read(asker, one.comparison), one.comparison
                if one.may_read:
                    assert one.knows_names == one.comparison.tells_names_to(user)
        assert all(expected_readable.values())

    def test_a_page_known_by_two_types_is_one_page(self, compare, page, admin):
        generic, specific = Page.objects.get(pk=page.pk), page
        compare("Both?", pages=[generic, specific])
        assert cells(admin.get("comparisons:index"))[1] != HIDDEN

    def test_a_password_that_was_given(self, compare, page, log_in):
        compare("Password?", pages=[page])
        restriction = PageViewRestriction.objects.create(
            page=page, restriction_type=PageViewRestriction.PASSWORD, password="x"
        )
        reader = log_in("comparer")
        assert cells(reader.get("comparisons:index"))[1] == HIDDEN
        session = reader.client.session
        session[PageViewRestriction.passed_view_restrictions_session_key] = [restriction.pk]
        session.save()
        assert cells(reader.get("comparisons:index"))[1] != HIDDEN


class TestExport:
    def test_a_row_for_each_answer(self, compare, sam, admin):
        comparison = compare(user=sam)
        prefer(comparison, "A", sam)
        prefer(comparison, "both_good", admin.user)
        grade(comparison, "A", sam, "correct", tone="nearly", note="Dry.", correction="At nine!")
        first, second = exported(admin)
        assert first["Question"] == "When do you open?"
        assert (first["Column"], first["Backend"]) == ("A", "The hosted model")
        assert (first["Model"], first["Outcome"]) == ("test-model", "Answered")
        assert first["Preferred by"] == "Comparison_Deleter"
        assert first["No preference"] == "superuser: Both good"
        assert first["Grades"] == "Comparison_Deleter: Correct"
        assert first["Sounds like us"] == "Comparison_Deleter: Nearly"
        assert first["Notes"] == "Comparison_Deleter: Dry."
        assert first["Corrections"] == "At nine!"
        assert (first["Seconds in all"], first["Tokens read"]) == ("2.0", "100")
        assert (second["Column"], second["Grades"], second["Preferred by"]) == ("B", "", "")

    def test_numbers_stay_numbers(self, compare, admin):
        compare()
        row = exported(admin, "xlsx")[0]
        assert row["Seconds in all"] == 2
        assert row["Tokens written"] == 20
        assert row["Cost in US dollars"] == pytest.approx(0.00012)
        assert isinstance(row["Asked"], datetime)

    @pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n"])
    def test_no_formula(self, begin, compare, admin):
        evil = f"{begin}1+cmd|' /C calc'!A0"
        compare(evil, answers=[evil, "fine"])
        first = exported(admin)[0]
        assert first["Question"] == f"'{evil}"
        assert first["Answer"] == f"'{evil}"
        content = admin.client.get(address("comparisons:index"), {"export": "xlsx"})
        sheet = load_workbook(io.BytesIO(b"".join(content.streaming_content))).active
        assert {cell.data_type for row in sheet for cell in row if cell.value} <= {"s", "n", "d"}

    def test_what_no_cell_can_hold(self, compare, admin):
        compare("Bell\x07?", answers=["x" * 200_000, "\x0b\ufffe fine"])
        first, second = exported(admin, "xlsx")
        assert first["Question"] == "Bell?"
        assert (len(first["Answer"]), first["Answer"][-1]) == (32_767, "…")
        assert second["Answer"].strip() == "fine"
        csv.field_size_limit(10**6)
        assert len(exported(admin)[0]["Answer"]) == 200_000

    def test_it_is_in_the_readers_language(self, compare, admin):
        from wagtail.users.models import UserProfile

        compare()
        UserProfile.objects.update_or_create(user=admin.user, defaults={"preferred_language": "de"})
        row = exported(admin)[0]
        assert row["Antwort"] == "Answer 0"
        assert row["Ergebnis"] == "Beantwortet"

    def test_filters_apply(self, compare, sam, admin):
        compare("One?", user=sam)
        compare("Two?")
        assert {row["Question"] for row in exported(admin, user=sam.pk)} == {"One?"}

    def test_many_are_read_in_batches(self, compare, admin, count_queries, monkeypatch):
        monkeypatch.setattr("finetune_switch.admin.listings.EXPORT_BATCH", 10)
        for number in range(3):
            compare(f"Question {number}?")
        few = count_queries(lambda: exported(admin))
        for number in range(3, 10):
            compare(f"Question {number}?")
        assert count_queries(lambda: exported(admin)) == few
        compare("One more?")
        assert len(exported(admin)) == 22
        assert few < count_queries(lambda: exported(admin)) < few + 12

    def test_who_may_not_see_comparisons_exports_none(self, compare, log_in):
        compare()
        response = log_in("editor").client.get(address("comparisons:index"), {"export": "csv"})
        assert response.status_code == 302


class TestDelete:
    def test_all_of_it_goes(self, compare, sam, admin):
        comparison, other = compare(), compare("Another?")
        grade(comparison, "A", sam, "correct")
        prefer(comparison, "A", sam)
        page = admin.get("comparisons:index")
        assert address("comparisons:delete", comparison.pk) in page.links("Delete")
        asked = admin.get("comparisons:delete", comparison.pk)
        assert "with its answers and all verdicts on them" in asked.text
        assert asked.buttons == ["Yes, delete"]
        assert "When do you open?" in admin.post("comparisons:delete", comparison.pk).message
        assert list(Comparison.objects.all()) == [other]
        assert Exchange.objects.count() == 2
        assert not Grade.objects.exists()
        assert not Preference.objects.exists()

    def test_it_is_offered_to_those_who_may(self, compare, log_in):
        comparison = compare()
        assert log_in("comparer").get("comparisons:index").links("Delete") == []
        deleter = log_in("comparison_deleter")
        url = address("comparisons:delete", comparison.pk)
        assert deleter.get("comparisons:index").links("Delete") == [url]

    def test_one_that_is_gone(self, site, admin):
        assert admin.get("comparisons:delete", uuid.uuid4()).status == 404


class TestMenu:
    @pytest.mark.parametrize(
        ("role", "shown"),
        [
            ("superuser", {"Comparisons", "Questions", "Question sets"}),
            ("comparer", {"Comparisons"}),
            ("comparison_viewer", {"Comparisons"}),
            ("question_changer", {"Questions"}),
            ("set_keeper", {"Question sets"}),
            ("switcher", set()),
            ("editor", set()),
        ],
    )
    def test_items_are_shown_to_those_who_may(self, role, shown, site, log_in):
        html = log_in(role).get("wagtailadmin_home").html
        names = {"Comparisons", "Questions", "Question sets"}
        assert {name for name in names if f'"label": "{name}"' in html} == shown
