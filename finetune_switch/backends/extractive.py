"""Answers in sentences that stand in the passages. Needs no model and no network.

It makes a fresh install work at once and is an honest baseline in a comparison: what it says is
always in the pages, and it says nothing else.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import AsyncGenerator, Generator, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from finetune_switch.messages import Message

from .base import BackendConfig, BaseChatBackend, Chunk, Text, Usage

MAX_SENTENCES = 3
# A sentence must share this much of the question's weight to be worth saying.
MIN_COVERAGE = 0.34

_PASSAGE = re.compile(r'<passage number="(\d+)"[^>]*>\n(.*?)\n</passage>', re.DOTALL)
_QUESTION = re.compile(r"<question>\n(.*)\n</question>", re.DOTALL)
_PHRASE = re.compile(r'reply exactly: "(.*)"', re.DOTALL)
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[\w“\"'(£$€])|\n+")
_WORD = re.compile(r"\w+(?:['’]\w+)?")

# Function words say what kind of question it is, not what it is about.
_STOP_WORDS = """
    a about after all also am an and any are as at be been before but by can could did do does
    for from had has have he her here him his how i if in into is it its just may me might more
    most much must my no not of off on one only or other our out over please she should so some
    such than that the their them then there these they this those to too up us very was we were
    what when where which while who whom why will with would you your tell need want know get
    auf aus bei bin bis das dass dem den der des die dir doch du durch ein eine einem einen
    einer eines er es für habe haben hat ich ihr im in ist kann können man mein mich mir mit
    muss nach nicht noch oder sich sie sind so über um und uns vom von vor wann warum was wie
    wir wird wo zu zum zur welche welcher welches
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())


@dataclass(frozen=True)
class Extract:
    """A sentence, the number of the passage it stands in, and its share of the question."""

    sentence: str
    passage: int
    coverage: float


class ExtractiveChatBackend(BaseChatBackend):
    """Says the sentences that share most of the question's words, or that it does not know."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        # Now, in the language of the question: who reads the stream may have another one active.
        self.dont_know = _("I don't know.")

    def stream(
        self, messages: Sequence[Message], *, heartbeat: float | None = None
    ) -> Generator[Chunk, None, None]:
        answer = answer_from_messages(messages, self.dont_know)
        for piece in re.findall(r"\S+\s*", answer):
            yield Text(piece)
        yield Usage()

    async def astream(self, messages: Sequence[Message]) -> AsyncGenerator[Chunk, None]:
        for chunk in self.stream(messages):
            yield chunk


def answer_from_messages(messages: Sequence[Message], dont_know: str = "I don't know.") -> str:
    """The answer to what the last message asks, from the passages that it carries.

    ``dont_know`` is said where there is none and the messages do not demand another phrase.
    """
    text = messages[-1]["content"]
    passages = [(int(number), body) for number, body in _PASSAGE.findall(text)]
    asked = _QUESTION.search(text)
    question = asked[1] if asked else text
    if not passages:
        # A prompt of another package: whatever it says besides the question is what we may quote.
        passages = [(0, m["content"]) for m in messages[:-1] if m["role"] == "system"][-1:]
    system = "\n".join(m["content"] for m in messages if m["role"] == "system")
    phrase = _PHRASE.search(system)
    extracts = extract_sentences(question, passages)
    if not extracts:
        return phrase[1] if phrase else dont_know
    return " ".join(
        f"{extract.sentence} [{extract.passage}]" if extract.passage else extract.sentence
        for extract in extracts
    )


def extract_sentences(question: str, passages: Sequence[tuple[int, str]]) -> list[Extract]:
    """The sentences that cover the question best, in the order in which they are worth reading.

    A word weighs by how rare it is among the sentences (inverse document frequency), so that a name
    counts for more than what every page says. ``passages`` are numbers with texts.
    """
    sentences = [
        (number, sentence.strip(), set(_stems(sentence)))
        for number, text in passages
        for sentence in _SENTENCE.split(text)
        # A question on a page (a heading of its FAQ) is no answer to one.
        if len(sentence.strip()) > 20 and not sentence.rstrip().endswith("?")
    ]
    wanted = set(_stems(question))
    if not wanted or not sentences:
        return []
    frequency = Counter(word for _, _, words in sentences for word in words & wanted)
    weight = {word: math.log(1 + len(sentences) / (1 + frequency[word])) for word in wanted}
    whole = sum(weight.values())
    ranked = sorted(
        (
            Extract(sentence, number, sum(weight[word] for word in words & wanted) / whole)
            for number, sentence, words in sentences
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


def _stems(text: str) -> list[str]:
    words = _WORD.findall(unicodedata.normalize("NFKC", text).replace("’", "'").casefold())
    return [_stem(word) for word in words if word not in STOP_WORDS]


def _stem(word: str) -> str:
    """A crude English plural and verb ending stripper: "opening", "opens" and "open" are one."""
    for ending in ("'s", "ings", "ing", "ies", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word
