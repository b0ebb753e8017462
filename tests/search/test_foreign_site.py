"""Answers and searches on a site that knows nothing of the plugin but the README's lines."""

from __future__ import annotations

import pytest

from benchmarks import answers

# What visitors look up by name, and the page that they mean.
LOOK_UPS = {
    "Pellwick": "Pellwick",
    "Monkton Bridge": "Monkton Bridge",
    "Viaduct Arches": "Monkton Bridge",
    "Strand Street": "Pellwick",
    "TB2 9MH": "Thornby",
    "FC-2006": "Number Six",
    "fc 3001": "Drinking chocolate",
    "Night Tram 85": "Night Tram 85",
    "brambles milk": "Bramble’s Milk",
    "hazelnut brittle": "Hazelnut brittle",
    "01632 960 402": "Monkton Bridge",
    "Okafor": "Gift cards and company presents",
}


@pytest.fixture(scope="module")
def questions():
    # `python -m benchmarks.quality` asks all of them.
    return answers.read_questions(answers.FOREIGN_PROJECT / "answers.toml")[::3]


@pytest.fixture(scope="module")
def replies(questions):
    asked = [*(one.text for one in questions), *LOOK_UPS]
    return dict(zip(asked, answers.ask_foreign_site(asked), strict=True))


def test_answers_without_a_model(questions, replies):
    score = answers.Score.of((one, replies[one.text]) for one in questions)
    assert score.right >= 0.6
    assert score.answerable["wrong"] <= 1
    assert score.declined >= 0.85


@pytest.mark.parametrize("looked_up", LOOK_UPS)
def test_what_is_looked_up_by_name_comes_first(looked_up, replies):
    assert replies[looked_up].sources[:1] == [LOOK_UPS[looked_up]]
