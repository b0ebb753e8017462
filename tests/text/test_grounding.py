from __future__ import annotations

import time
import tomllib
from pathlib import Path

import pytest

from finetune_switch.text.grounding import assess
from tests.helpers import make_passages

SETS = tomllib.loads(Path(__file__).with_name("grounding.toml").read_text(encoding="utf-8"))["sets"]

OPENING = "The harbour opens at nine on every day but Christmas."
PRICES = "Tickets cost £5 for adults. Ring 01632 960140 to book."


def supporting_passages(answer, *texts, language="en"):
    return [
        (sentence.text.strip(), sentence.passage)
        for sentence in assess(answer, make_passages(*(texts or (OPENING, PRICES))), language)
    ]


def label(sentence):
    return -1 if sentence.neutral else sentence.passage or 0


class TestLabelled:
    def test_agrees_with_labels(self):
        mismatches = []
        for labelled in SETS:
            passages = make_passages(*labelled["passages"])
            for text, expected in labelled["sentences"]:
                (sentence,) = assess(text, passages, labelled["language"])
                if label(sentence) != expected:
                    mismatches.append((text, expected, label(sentence)))
        total = sum(len(labelled["sentences"]) for labelled in SETS)
        wrongly_supported = [case for case in mismatches if case[1] == 0]
        assert len(mismatches) <= 0.08 * total, f"{len(mismatches)} of {total}: {mismatches}"
        assert len(wrongly_supported) <= 2, wrongly_supported


class TestSentences:
    @pytest.mark.parametrize(
        "answer",
        [
            "The harbour opens at nine. [1] Adults pay £5 [2]. \n\n- Ring 01632 960140.\n",
            "  Hello!\nDr. Tarn lives at 12 St. Mary Street, e.g. in No. 5. Really?! Yes… no.",
            "\n\n", " ", "x", "1. One\n2. Two", "No stop at the end", "...\n...", "[1] [2]",
        ],
    )  # fmt: skip
    def test_cover_the_whole_answer(self, answer):
        sentences = assess(answer, make_passages(OPENING, PRICES), "en")
        assert "".join(sentence.text for sentence in sentences) == answer
        position = 0
        for sentence in sentences:
            assert sentence.start == position
            assert sentence.text == answer[sentence.start : sentence.end]
            position = sentence.end
            for fact in sentence.unfounded:
                assert sentence.start <= fact.start < fact.end <= sentence.end
                assert answer[fact.start : fact.end] == fact.text
        assert position == len(answer)

    def test_empty_answer(self):
        assert assess("", make_passages(OPENING), "en") == []

    @pytest.mark.parametrize(
        ("language", "answer", "count"),
        [
            ("en", "We open at 9 a.m. on Mondays.", 1),
            ("en", "We open at 9 a.m. The boats do not.", 2),
            ("en", "Dr. Tarn, e.g. the coxswain, met Mr. Lunn.", 1),
            ("en", "It is 9.45 metres long. It costs 5. We like it.", 3),
            ("en", "1. Ring us.\n2. Come.", 2),
            ("en", "Really?! Yes… It is “so.” Fine.", 4),
            ("en", "It opens. [1] It closes [2]. Then?", 3),
            ("en", "Ask. 「そう。」はい。", 3),
            ("de", "Am 3. März ist zu. Der 2. Stock auch.", 2),
            ("de", "Das kostet z. B. 5 Euro, d. h. wenig. Gut.", 2),
            ("de", "Tel. 030 1234567. Nr. 5 hilft.", 2),
        ],
    )
    def test_sentence_ends(self, language, answer, count):
        assert len(assess(answer, make_passages(OPENING), language)) == count


class TestPassages:
    def test_most_similar(self):
        answer = "The harbour opens at nine. Adults pay 5 pounds for tickets. Pigs can fly."
        assert [passage for _text, passage in supporting_passages(answer)] == [1, 2, None]

    def test_cited_passage_takes_precedence(self):
        assert supporting_passages("The harbour opens at nine [2].", OPENING, OPENING) == [
            ("The harbour opens at nine [2].", 2)
        ]
        assert supporting_passages("The harbour opens at nine [2].")[0][1] == 1

    def test_passage_numbers_are_kept(self):
        passages = make_passages("Something else.", OPENING)[1:]
        (sentence,) = assess("The harbour opens at nine.", passages, "en")
        assert sentence.passage == 2

    def test_title_and_url_count_as_text(self):
        (sentence,) = assess("See /page-1/ or [Page 1](/page-1/).", make_passages("-"), "en")
        assert sentence.unfounded == ()

    def test_without_passages_nothing_is_supported(self):
        hello, opening = assess("Hello! It opens at nine.", [], "en")
        assert hello.neutral
        assert hello.supported
        assert not opening.supported
        assert [fact.text for fact in opening.unfounded] == ["nine"]

    @pytest.mark.parametrize("answer", ["I don't know.", "Hello!", "Yes.", "Is it?", " ", "…"])
    def test_neutral(self, answer):
        (sentence,) = assess(answer, make_passages(OPENING), "en")
        assert sentence.neutral
        assert sentence.passage is None

    def test_unfounded_fact_in_supported_sentence(self):
        _first, second = assess(
            "Hello! Tickets for adults cost £5, ring 01632 960149 to book.",
            make_passages(OPENING, PRICES),
            "en",
        )
        assert second.passage == 2
        assert [fact.text for fact in second.unfounded] == ["01632 960149"]


@pytest.mark.parametrize("pattern", ["Go. ", "a. ", ".", "\n", "[1]", ". [1]", "1 ", "1. ", "Ab "])
def test_hostile_answers_take_linear_time(pattern):
    # Each takes 0.5 s, or 1 s for nothing but facts. Quadratic time would be a minute.
    passages = make_passages(*[(f"{OPENING} {PRICES} " * 40)[:4000]] * 20)
    began = time.process_time()
    sentences = assess((pattern * 100_000)[:100_000], passages, "en")
    assert time.process_time() - began < 6
    assert sum(len(sentence.text) for sentence in sentences) == 100_000
