"""The page of the tally, as somebody reads it."""

from __future__ import annotations

import pytest

from finetune_switch.models import ChatBackend, Exchange, Outcome, Question
from tests.comparison_helpers import bar, column_of, grade, make_comparison, prefer, show_names
from tests.pages import address, inline_in
from tests.roles import make_user

EVIL = '<img src=x onerror="alert(1)">'


@pytest.fixture
def sam(site):
    return make_user("comparison_deleter")


@pytest.fixture
def compare(site, hosted, tuned):
    def compare(**values):
        return make_comparison("When do you open?", [hosted, tuned], site=site, **values)

    return compare


def table(page, heading):
    """A table's rows by their first cell."""
    section = page.main.select_one(f"section[aria-labelledby=finetune-tally-{heading}]")
    return {
        row.select_one("th").get_text(" ").strip(): [
            " ".join(cell.get_text(" ").split()) for cell in row.select("td")
        ]
        for row in section.select("tbody tr")
    }


def test_empty(site, admin, log_in):
    page = admin.get("comparisons:tally")
    assert "There is no tally yet" in page.text
    assert page.links("Ask two backends one question") == [address("compare:index")]
    assert page.main.select("table") == []
    assert log_in("comparison_viewer").get("comparisons:tally").links("Ask two") == []


def test_full(compare, sam, admin):
    question = Question.objects.create(text="When do you open?")
    question.tags.add("hours")
    for _number in range(6):
        comparison = compare(saved_question=question)
        prefer(comparison, "B", sam)
        grade(comparison, "A", sam, "wrong", tone="no")
        grade(comparison, "B", sam, "partly_correct", tone="yes")
    page = admin.get("comparisons:tally")
    assert "6 judged comparisons are counted. Each judge counts once" in page.text
    assert table(page, "grades") == {
        "The hosted model": ["0", "0", "0", "6", "0", "0", "6"],
        "Our fine-tune": ["0", "6", "0", "0", "6", "0", "0"],
    }
    assert table(page, "pairs") == {
        "Our fine-tune or The hosted model": [
            "6", "0", "0", "0", "100 % 61 % to 100 %", "Our fine-tune is better",
        ]
    }  # fmt: skip
    assert table(page, "topics")["Our fine-tune"] == ["0", "6", "0", "0"]
    assert "hours" in table(page, "topics")
    assert table(page, "speed")["Our fine-tune"] == ["0.50 s", "2.0 s", "$ 0.12"]
    headings = [cell.get_text() for cell in page.main.select("thead tr")[1].select("th")]
    assert headings == [
        "Backend", "Correct", "Partly correct", "Don't know", "Wrong", "Yes", "Nearly", "No",
    ]  # fmt: skip


def test_a_chart_says_what_the_table_says(compare, sam, admin):
    for value in ("correct", "wrong", "wrong", "wrong"):
        grade(compare(), "A", sam, value)
    page = admin.get("comparisons:tally")
    [figure] = page.main.select("figure")
    assert " ".join(figure.figcaption.get_text(" ").split()) == "The hosted model 4 grades"
    drawing = figure.select_one("[aria-hidden=true] svg")
    # Drawn from the last grade to the first.
    widths = [float(bar["width"]) for bar in drawing.select(".bars rect")]
    assert widths == [pytest.approx(3 * widths[3]), 0, 0, pytest.approx(widths[3])]
    assert widths[3] > 0
    assert drawing.select("style, script, [style]") == []


def test_too_few_to_tell(compare, sam, admin):
    prefer(compare(), "A", sam)
    [row] = table(admin.get("comparisons:tally"), "pairs").values()
    assert row[-1] == "too few to tell"


def test_what_was_left_out(compare, sam, site, log_in):
    for values in ({"is_blind": True}, {"is_blind": True}, {"pages": [site.root_page]}, {}):
        grade(compare(**values), "A", sam, "correct")
    bar(site.root_page)
    page = log_in("comparer").get("comparisons:tally")
    assert "1 judged comparison is counted." in page.text
    assert "2 more are left out: you see who answered once you have judged them." in page.text
    assert "1 more is left out: you may not open every page that its answers rest on." in page.text
    assert table(page, "grades")["The hosted model"][0] == "1"


def test_the_same_filters(compare, hosted, tuned, extractive, sam, site, admin):
    grade(compare(user=sam), "A", sam, "correct")
    failed = make_comparison("When?", [hosted, extractive], site=site)
    grade(failed, "A", sam, "wrong")
    Exchange.objects.filter(pk=column_of(failed, "B").exchange_id).update(outcome=Outcome.FAILED)
    for query, names in (
        ({}, 3),
        ({"backend": tuned.pk}, 2),
        ({"grade": "wrong"}, 2),
        ({"user": sam.pk}, 2),
        ({"failed": "yes"}, 2),
        ({"asked_at_from": "2001-01-01"}, 3),
    ):
        assert len(table(admin.get("comparisons:tally", **query), "grades")) == names, query
    nothing = admin.get("comparisons:tally", asked_at_to="2001-01-01")
    assert "No judged comparison matches the filters." in nothing.text
    assert admin.get("comparisons:tally_results", grade="wrong").status == 200


def test_no_filter_tells_a_name(compare, sam, hosted, admin):
    comparison = compare(is_blind=True)
    grade(comparison, "A", sam, "correct")
    page = admin.get("comparisons:tally", backend=hosted.pk)
    assert "left out" not in page.text
    show_names(comparison, admin.user)
    assert table(admin.get("comparisons:tally", backend=hosted.pk), "grades")


def test_names_are_text_and_nothing_is_inline(compare, hosted, sam, admin):
    ChatBackend.objects.filter(pk=hosted.pk).update(label=EVIL)
    question = Question.objects.create(text="When?")
    question.tags.add(EVIL)
    comparison = compare(saved_question=question)
    grade(comparison, "A", sam, "correct")
    prefer(comparison, "A", sam)
    page = admin.get("comparisons:tally")
    assert page.soup.select("img[onerror]") == []
    assert page.text.count(EVIL) >= 4
    assert inline_in(page.main) == []
    ids = [tag["id"] for tag in page.soup.select("[id]")]
    assert [found for found in set(ids) if ids.count(found) > 1] == []


def test_as_many_queries_for_many_rows(compare, sam, admin, django_assert_max_num_queries):
    def look():
        with django_assert_max_num_queries(100) as captured:
            assert admin.get("comparisons:tally").status == 200
        return len(captured)

    grade(compare(), "A", sam, "correct")
    look()
    few = look()
    for _number in range(10):
        grade(compare(), "A", sam, "correct")
    assert look() == few
