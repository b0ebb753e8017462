"""What an answer made up is found, and what a page says is not held against it."""

from __future__ import annotations

import time
import tomllib
from pathlib import Path

import pytest

from finetune_switch.facts import find_facts, unfounded

PAGES = tomllib.loads(Path(__file__).with_name("facts.toml").read_text(encoding="utf-8"))["pages"]


def cases(which):
    return [(page["language"], page["text"], said) for page in PAGES for said in page[which]]


def values(text, language="en", **options):
    return [fact.value for fact in find_facts(text, language, **options)]


class TestOnPages:
    def test_there_are_enough_cases(self):
        assert len(cases("true")) + len(cases("invented")) >= 150
        assert {page["language"] for page in PAGES} == {"en", "de"}

    def test_nothing_invented_passes(self):
        passed = [
            said for language, page, said in cases("invented")
            if not unfounded(said, [page], language)
        ]  # fmt: skip
        assert not passed, f"{len(passed)} of {len(cases('invented'))} invented facts pass"

    def test_what_is_true_is_seldom_held_back(self):
        held = [
            (said, [(fact.kind, fact.text, fact.value) for fact in found])
            for language, page, said in cases("true")
            if (found := unfounded(said, [page], language))
        ]
        assert len(held) <= 0.02 * len(cases("true")), (
            f"{len(held)} of {len(cases('true'))} true facts are held back: {held}"
        )

    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page["text"].strip()[:12])
    def test_a_page_is_founded_on_itself(self, page):
        assert unfounded(page["text"], [page["text"]], page["language"]) == []
