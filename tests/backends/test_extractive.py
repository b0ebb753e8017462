"""The backend without a model quotes sentences of the pages."""

from __future__ import annotations

import pytest
from django.utils.translation import override

from finetune_switch.answers.prompts import build_prompt
from finetune_switch.backends.base import BackendConfig
from finetune_switch.backends.extractive import (
    ExtractiveChatBackend,
    answer_from_messages,
    extract_sentences,
)
from tests.helpers import make_passages

HOURS = "The museum opens at ten in summer. In winter the museum opens at eleven on Sundays only."
PRICES = "A ticket costs £7.50 for adults. Children under twelve come in free with an adult."
BOAT = "The coble Provider was built by Hester Quayle in 1868. She was lost in 1911."


def answer(question, *texts, nothing_found="Sorry, our pages do not say."):
    messages = build_prompt(
        question, make_passages(*texts), system_prompt="Be kind.", nothing_found=nothing_found,
        context_window=None, count_tokens=len,
    ).messages  # fmt: skip
    return answer_from_messages(messages)


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("Who built the Provider?", "The coble Provider was built by Hester Quayle in 1868. [3]"),
        ("What does a ticket cost?", "A ticket costs £7.50 for adults. [2]"),
        ("Do children pay?", "Children under twelve come in free with an adult. [2]"),
        ("Please tell me what a ticket costs.", "A ticket costs £7.50 for adults. [2]"),
        (
            "I want to know who built the Provider.",
            "The coble Provider was built by Hester Quayle in 1868. [3]",
        ),
    ],
)
def test_it_quotes_the_sentence_and_its_passage(question, said):
    assert answer(question, HOURS, PRICES, BOAT) == said


@pytest.mark.parametrize(
    "question", ["What is the capital of France?", "???", "Is it?", "Wie spät ist es?"]
)
def test_it_says_the_sites_phrase_if_no_sentence_fits(question):
    assert answer(question, HOURS, PRICES, BOAT) == "Sorry, our pages do not say."


def test_every_sentence_is_in_the_passages():
    for question in ("When does the museum open in winter?", "Tell me about the boat Provider"):
        said = answer(question, HOURS, PRICES, BOAT)
        for sentence in said.replace("[1]", "|").replace("[3]", "|").split("|"):
            assert sentence.strip() in f"{HOURS} {BOAT}"


def test_three_sentences_at_most_and_none_twice():
    text = " ".join(f"The harbour gate number {n} opens at nine sharp." for n in range(9))
    assert answer("When does the harbour gate open?", text).count("[1]") <= 3
    assert answer("When does the gate open?", text[:48], text[:48]).count("gate") == 1


def test_a_rare_word_weighs_more_than_a_common_one():
    best = extract_sentences(
        "When was the museum's Provider lost?", [(1, HOURS), (2, HOURS), (3, BOAT)]
    )[0]
    assert best.passage == 3


def test_the_prompt_of_another_package():
    messages = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "system", "content": f"{HOURS}\n{BOAT}"},
        {"role": "user", "content": "Who built the Provider?"},
    ]
    said = answer_from_messages(messages)
    assert said == "The coble Provider was built by Hester Quayle in 1868."
    assert answer_from_messages([{"role": "user", "content": "Hello?"}]) == "I don't know."


def test_words_are_compared_by_stem_in_the_language_of_the_question():
    text = "Die Ausstellungen öffnen im Sommer um zehn Uhr. Im Café gibt es Kuchen und Suppe."
    with override("de"):
        backend = ExtractiveChatBackend(BackendConfig("without-model", "Without a model"))
    messages = build_prompt(
        "Wann öffnet die Ausstellung?", make_passages(text), system_prompt="", nothing_found="",
        context_window=None, count_tokens=len,
    ).messages  # fmt: skip
    quoted = "Die Ausstellungen öffnen im Sommer um zehn Uhr. [1]"
    assert backend.complete(messages).text == quoted
