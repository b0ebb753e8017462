"""Retrieval measured on a data set from a folder."""

from __future__ import annotations

import json

import pytest

from benchmarks import quality
from tests.databases import remove_site

ENTRIES = (
    {
        "id": "opening",
        "title": "Opening hours",
        "text": "The museum opens at ten and closes at four in winter.",
    },
    {
        "id": "dogs",
        "title": "Dogs on board",
        "text": "Dogs travel free on every boat, and must be on a lead.",
    },
)
QUESTIONS = (
    {"question": "When does the museum open?", "answers": ["opening"]},
    {"question": "Can I bring my dog on the boat?", "answers": ["dogs"]},
)


@pytest.fixture
def folder(tmp_path):
    for name, lines in (("town.en", ENTRIES), ("town.en.questions", QUESTIONS)):
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        (tmp_path / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def town(db, folder):
    """The set, with its pages in the database."""
    (found,) = quality.read_data(folder)
    remove_site()
    quality.load(found.load)
    return found


def test_a_set_of_a_folder(folder):
    (found,) = quality.read_data(folder)
    assert (found.name, found.language) == ("town.en", "en")
    assert [(one.text, one.pages) for one in found.questions] == [
        ("When does the museum open?", ("/entry-opening/",)),
        ("Can I bring my dog on the boat?", ("/entry-dogs/",)),
    ]


def test_each_question_finds_its_page(town):
    rows = quality.measure_set(town, "multilingual")
    assert [row[:5] for row in rows] == [
        ("town.en (2)", "multilingual", method, "1.00", "1.00")
        for method in sorted(quality.METHODS)
    ]
    assert "town.en (2)" in quality.table(rows)


def test_a_question_that_another_page_answers_is_missed(town):
    wrong = [
        quality.Question(one.text, other.pages, one.wording)
        for one, other in zip(town.questions, reversed(town.questions), strict=True)
    ]
    town = quality.QuestionSet(town.name, town.language, town.load, wrong)
    (both,) = [row for row in quality.measure_set(town, "multilingual") if row[2] == "both"]
    assert both[3] == "0.00"
