"""The retrieval test set is sound, and retrieval reaches the measured quality on it."""

from __future__ import annotations

import pytest
from django.test import TestCase
from wagtail.models import Page, Site

from benchmarks import quality
from demo_site.loader import KINDS
from finetune_switch.access import Asker
from finetune_switch.access.visibility import pages_open_to
from finetune_switch.index.content import content_of
from finetune_switch.text.words import stems, stop_words, words
from tests.databases import remove_site

ENGLISH = "english"
# Allows for one question of a group, but not for two.
MARGIN = 0.03


def content_stems(text: str) -> set[str]:
    left_out = stop_words(ENGLISH)
    return set(stems((word for word in words(text) if word not in left_out), ENGLISH))


def everything_on(page: Page) -> str:
    content = content_of(page)
    return "\n".join([content.title, *(section.text for section in content.sections)])


class RetrievalTests(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        remove_site()
        quality.load(quality.demo_set().load)
        quality.build("english")
        cls.root = Site.objects.get(is_default_site=True).root_page
        cls.questions = quality.read_questions()
        cls.scores = quality.measure(cls.questions)

    def page(self, path: str) -> Page:
        return Page.objects.get(url_path=self.root.url_path + path.lstrip("/"))

    def score(self, method: str, group: str) -> quality.Score:
        return self.scores[method, group]

    def test_it_has_enough_questions_of_each_wording(self) -> None:
        by_wording = {
            wording: [one for one in self.questions if one.wording == wording]
            for wording in (quality.PLAIN, quality.PARAPHRASED)
        }
        assert sum(map(len, by_wording.values())) == len(self.questions)
        assert min(map(len, by_wording.values())) >= 30
        assert len({one.text for one in self.questions}) == len(self.questions)

    def test_a_visitor_may_open_every_page_that_answers(self) -> None:
        pages = [self.page(path) for one in self.questions for path in one.pages]
        assert {type(page.specific) for page in pages} <= set(KINDS.values())
        ids = {str(page.pk) for page in pages}
        assert pages_open_to(Asker.anonymous(), ids).keys() == ids

    def test_a_paraphrase_shares_no_content_word_with_its_pages(self) -> None:
        for question in self.questions:
            if question.wording != quality.PARAPHRASED:
                continue
            asked = content_stems(question.text)
            assert asked, question.text
            for path in question.pages:
                assert asked.isdisjoint(content_stems(everything_on(self.page(path)))), question

    def test_plain_questions_find_their_page(self) -> None:
        for method in quality.METHODS:
            score = self.score(method, quality.PLAIN)
            assert score.recall_at_5 >= 0.95, method
            assert score.recall_at_1 >= 0.77, method
        assert self.score("both", quality.PLAIN).recall_at_5 >= 0.97

    def test_vectors_find_what_shares_no_word(self) -> None:
        assert self.score("text", quality.PARAPHRASED).recall_at_5 == 0
        for method in ("vector", "both"):
            assert self.score(method, quality.PARAPHRASED).recall_at_5 >= 0.83
            assert self.score(method, quality.PARAPHRASED).recall_at_1 >= 0.60

    def test_both_rankings_together_are_as_good_as_the_better_of_them(self) -> None:
        for group in (quality.PLAIN, quality.PARAPHRASED):
            for measure in ("recall_at_1", "recall_at_5", "mean_reciprocal_rank"):
                better = max(getattr(self.score(name, group), measure) for name in quality.METHODS)
                both = getattr(self.score("both", group), measure)
                assert both >= better - MARGIN, (group, measure, both, better)


@pytest.mark.parametrize(
    ("ranks", "expected"),
    [
        ([1, 1], (1.0, 1.0, 1.0)),
        ([1, 2, 6, None], (0.25, 0.5, (1 + 1 / 2 + 1 / 6) / 4)),
        ([None], (0.0, 0.0, 0.0)),
    ],
)
def test_the_arithmetic(ranks, expected) -> None:
    score = quality.Score.of(ranks)
    found = (score.recall_at_1, score.recall_at_5, score.mean_reciprocal_rank)
    assert found == pytest.approx(expected)
