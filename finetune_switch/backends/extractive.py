"""Answers quoted from the passages, without a model or a network.

A fresh install can answer with it at once, and a comparison can use it as a baseline.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import AsyncGenerator, Generator, Sequence
from dataclasses import dataclass

from django.utils.translation import get_language
from django.utils.translation import gettext as _

from finetune_switch.messages import Message
from finetune_switch.text.words import content_words, language_name, stems, words

from .base import BackendConfig, BaseChatBackend, Chunk, Text, Usage

MAX_SENTENCES = 3
# The least coverage of a sentence that is quoted.
MIN_COVERAGE = 0.34
# Not in Snowball's stop words: "Tell me about …", "I need to know …".
REQUEST_WORDS = frozenset({"get", "know", "need", "please", "tell", "want"})

_PASSAGE = re.compile(r'<passage number="(\d+)"[^>]*>\n(.*?)\n</passage>', re.DOTALL)
_QUESTION = re.compile(r"<question>\n(.*)\n</question>", re.DOTALL)
_PHRASE = re.compile(r'reply exactly: "(.*)"', re.DOTALL)
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[\w“\"'(£$€])|\n+")


@dataclass(frozen=True)
class Extract:
    """A sentence with the number of its passage.

    ``coverage`` is the weighted share of the question's words that it contains, from 0 to 1.
    """

    sentence: str
    passage: int
    coverage: float


class ExtractiveChatBackend(BaseChatBackend):
    """Quotes the sentences that share most words with the question, or says "I don't know"."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        # The language of the question is active here, but may not be where the stream is read.
        self.dont_know = _("I don't know.")
        self.language = language_name(get_language() or "")

    def stream(
        self, messages: Sequence[Message], *, heartbeat: float | None = None
    ) -> Generator[Chunk, None, None]:
        answer = answer_from_messages(messages, self.dont_know, language=self.language)
        for piece in re.findall(r"\S+\s*", answer):
            yield Text(piece)
        yield Usage()

    async def astream(self, messages: Sequence[Message]) -> AsyncGenerator[Chunk, None]:
        for chunk in self.stream(messages):
            yield chunk


def answer_from_messages(
    messages: Sequence[Message],
    dont_know: str = "I don't know.",
    *,
    language: str = "english",
) -> str:
    """The answer to the last message, from the passages in it.

    ``dont_know`` is the reply if no sentence fits and the system prompt demands no other phrase.
    ``language`` is Snowball's name for the question's language.
    """
    text = messages[-1]["content"]
    passages = [(int(number), body) for number, body in _PASSAGE.findall(text)]
    asked = _QUESTION.search(text)
    question = asked[1] if asked else text
    if not passages:
        # In the prompt of another package, quote the last system message.
        passages = [(0, m["content"]) for m in messages[:-1] if m["role"] == "system"][-1:]
    system = "\n".join(m["content"] for m in messages if m["role"] == "system")
    phrase = _PHRASE.search(system)
    extracts = extract_sentences(question, passages, language=language)
    if not extracts:
        return phrase[1] if phrase else dont_know
    return " ".join(
        f"{extract.sentence} [{extract.passage}]" if extract.passage else extract.sentence
        for extract in extracts
    )


def extract_sentences(
    question: str, passages: Sequence[tuple[int, str]], *, language: str = "english"
) -> list[Extract]:
    """The sentences that cover the question best, best first, at most :data:`MAX_SENTENCES`.

    Words are compared by stem, and weighted by how few sentences contain them (inverse document
    frequency). ``passages`` are pairs of number and text.
    """
    sentences = [
        (number, sentence.strip(), set(stems(words(sentence), language)))
        for number, text in passages
        for sentence in _SENTENCE.split(text)
        # A question on a page, such as a heading of an FAQ, is not an answer.
        if len(sentence.strip()) > 20 and not sentence.rstrip().endswith("?")
    ]
    asked = set(content_words(question, language)) - REQUEST_WORDS
    wanted = set(stems(asked, language))
    if not wanted or not sentences:
        return []
    frequency = Counter(stem for _, _, found in sentences for stem in found & wanted)
    weight = {stem: math.log(1 + len(sentences) / (1 + frequency[stem])) for stem in wanted}
    whole = sum(weight.values())
    ranked = sorted(
        (
            Extract(sentence, number, sum(weight[stem] for stem in found & wanted) / whole)
            for number, sentence, found in sentences
        ),
        key=lambda extract: -extract.coverage,
    )
    if not ranked or ranked[0].coverage < MIN_COVERAGE:
        return []
    floor = max(MIN_COVERAGE, ranked[0].coverage * 0.75)
    chosen: list[Extract] = []
    for extract in ranked:
        if extract.coverage < floor or len(chosen) == MAX_SENTENCES:
            break
        if all(extract.sentence != other.sentence for other in chosen):
            chosen.append(extract)
    return chosen
