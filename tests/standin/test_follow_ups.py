from __future__ import annotations

import httpx
import pytest

from demo_site.standin.behaviours import TEST_ANSWER
from finetune_switch.answers.followups import rewrite_messages
from finetune_switch.messages import Turn

from .asking import ollama, openai, said

TURNS = [Turn("What is there to eat?", "Soup."), Turn("When does the museum open?", "At <ten>.")]


def rewrite_request(question, turns=TURNS):
    return rewrite_messages(question, turns)


@pytest.mark.parametrize(
    ("question", "rewritten"),
    [
        ("And on Sundays?", "When does the museum open on Sundays?"),
        ("What about in winter?", "When does the museum open in winter?"),
        ("How much does it cost?", "How much does the museum cost?"),
        ("And how do I get there by bus?", "How do I get to the museum by bus?"),
        ("Where can I park a car?", "Where can I park a car?"),
    ],
)
def test_all_voices_rewrite(standin, question, rewritten):
    messages = rewrite_request(question)
    assert said(openai(standin, "standin-hosted", messages)) == rewritten
    for model in ("standin-finetuned", "standin-base", "standin-deaf"):
        assert said(ollama(standin, model, messages, stream=False)) == rewritten


def test_other_questions_are_answered(standin):
    text = said(openai(standin, "standin-hosted"))
    assert text == "I don't know."


def test_first_question_is_unchanged(standin):
    assert said(openai(standin, "standin-hosted", rewrite_request("And on Sundays?", []))) == (
        "And on Sundays?"
    )


class TestFaults:
    def test_other_questions_are_answered(self, standin):
        for fault in ("hangs", "fails", "echoes"):
            assert said(openai(standin, f"fault-rewrite-{fault}")) == TEST_ANSWER

    def test_hangs(self, standin):
        with pytest.raises(httpx.ReadTimeout):
            openai(standin, "fault-rewrite-hangs", rewrite_request("And on Sundays?"), timeout=0.2)

    def test_fails(self, standin):
        assert openai(standin, "fault-rewrite-fails", rewrite_request("And on Sundays?")).is_error

    def test_echoes(self, standin):
        response = openai(standin, "fault-rewrite-echoes", rewrite_request("And on Sundays?"))
        assert said(response) == "And on Sundays?"
