"""What the preview in a prepared answer's form costs while somebody writes."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from wagtail.models import Locale

from finetune_switch.models import PreparedAnswer, Question
from finetune_switch.prepared.preview import LATEST, preview
from tests.embedding_helpers import chooser
from tests.index_helpers import embedded
from tests.visitor_helpers import make_exchange


@pytest.fixture
def sent(site, connections, settings, standin):
    """What a change in the form sends to the model server: the texts, in order."""
    cache.clear()
    chooser(settings)("openai")

    def change(examples, **values):
        standin.clear()
        draft = PreparedAnswer(
            examples=examples, **{"threshold": 0.5, "locale": Locale.get_default(), **values}
        )
        shown = preview(draft, with_visitors=True)
        assert not shown.problem
        return embedded(standin)

    return change


class TestVectors:
    @pytest.fixture(autouse=True)
    def asked(self, site):
        make_exchange("What time do you open?", site)
        Question.objects.create(text="When does the museum open?")

    def test_questions_are_embedded_once(self, sent):
        first = sent("When do you open?")
        assert {"What time do you open?", "When does the museum open?"} <= set(first)
        assert len(first) == len(set(first))
        assert sent("When do you open?", threshold=0.9, words="museum") == []
        assert sent("When do you open?\nOpening times?") == ["Opening times?"]
        assert sent("When do you close?\nOpening times?") == ["When do you close?"]

    def test_a_new_question_alone(self, sent, site):
        sent("When do you open?")
        make_exchange("Where do I park?", site)
        assert sent("When do you open?") == ["Where do I park?"]

    def test_as_many_questions_as_are_looked_at(self, sent, site):
        Question.objects.bulk_create(
            Question(text=f"How do I reach berth {number}?") for number in range(LATEST)
        )
        for number in range(LATEST):
            make_exchange(f"Is berth {number} free?", site)
        assert len(sent("When do you open?")) > 2 * LATEST
        assert sent("When do you open?\nOpening times?") == ["Opening times?"]

    def test_kept_vectors_give_the_same_similarities(self, sent, site):
        draft = PreparedAnswer(
            examples="What time do you open?!", threshold=0.99, locale=Locale.get_default()
        )
        make_exchange("What time do you close?", site)
        before, after = (preview(draft, with_visitors=True) for _time in range(2))
        assert before == after
        assert before.not_given


@pytest.mark.parametrize(
    "example", ["When do you open?", "when do you OPEN", " When do you open ?"]
)
def test_the_question_itself_is_counted(site, connections, example):
    make_exchange("When do you open?", site)
    draft = PreparedAnswer(examples=example, threshold=0.9, locale=Locale.get_default())
    shown = preview(draft, with_visitors=True)
    assert (shown.given_count, shown.asked_count) == (1, 1)
    assert shown.given[0].text == "When do you open?"
