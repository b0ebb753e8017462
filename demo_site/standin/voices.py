"""The answers of the demo's models: grounded, inventive and untuned. All are deterministic.

The hosted model is right or says that it does not know. The fine-tuned one sounds like the house,
and half of what it says is wrong.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .follow_ups import rewrite
from .prompts import ParsedPrompt, Passage, parse_follow_up, parse_last_message, parse_prompt

# The share of the question's weight that a sentence needs to be used by the grounded voice,
MIN_SCORE = 0.5
# by the grounded voice if the sentence contains what is asked for, such as a price,
MIN_SCORE_OF_KIND = 0.28
# and by the other voices.
MIN_LOOSE_SCORE = 0.25

_WORD = re.compile(r"[\w£]+(?:'[a-z]+)?")
_COMMON_WORDS = (
    "a about all am an and any are as at be been but by can could did do does doing for from get "
    "go had has have having how i if in into is it its it's just many me much my no not of off on "
    "or our out over please she so some tell than that the their them there these they this those "
    "to too up us want was we were what what's when where which while who whom whose why will with "
    "would you your i'm i'd he her his take see use come need know like"
)
_STOP_WORDS = frozenset(_COMMON_WORDS.split())
# Patterns of questions, and of sentences that can answer them: prices, numbers, names.
ANSWER_PATTERNS = (
    (
        re.compile(r"\b(cost|price|fee|fare|how much (?:is|are|do|does|will))", re.IGNORECASE),
        re.compile(r"[£€$]\s?\d|\bpence\b|\bfree\b|\bno charge\b", re.IGNORECASE),
    ),
    (
        re.compile(
            r"\b(when|what time|last time|how many|how long|how old|how far)\b", re.IGNORECASE
        ),
        re.compile(
            r"\d|\b(two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|noon|midnight)\b",
            re.IGNORECASE,
        ),
    ),
    (re.compile(r"\bwho\b", re.IGNORECASE), re.compile(r"\w [A-Z][a-z]+ [A-Z][a-z]+")),
)


@dataclass(frozen=True)
class Match:
    """A sentence of a passage, with its coverage of the question from 0 to 1.

    ``words`` is the number of the question's content words in the sentence itself.
    """

    sentence: str
    passage: Passage
    score: float
    words: int

    @property
    def cited(self) -> str:
        text = self.sentence if self.sentence.endswith((".", "!", "?")) else f"{self.sentence}."
        return f"{text} [{self.passage.number}]" if self.passage.number else text


def answer_function(
    voice: Callable[[ParsedPrompt], str], *, system: bool = True
) -> Callable[[Sequence[Any]], str]:
    """A voice as a function of messages, which also rewrites follow-ups.

    Without ``system`` it only reads the last user message.
    """

    def answer(messages: Sequence[Any]) -> str:
        if (follow_up := parse_follow_up(messages)) is not None:
            return rewrite(follow_up)
        return voice((parse_prompt if system else parse_last_message)(messages))

    return answer


def grounded(prompt: ParsedPrompt) -> str:
    """One or two sentences from the passages, with citations, or the demanded phrase."""
    found, sure = search(prompt), MIN_SCORE
    for asked, wanted in ANSWER_PATTERNS:
        if asked.search(prompt.question):
            found = [
                hit
                for hit in found
                if wanted.search(hit.sentence) and (hit.words > 1 or hit.score >= MIN_SCORE)
            ]
            sure = MIN_SCORE_OF_KIND
    found = [hit for hit in found if hit.score >= sure]
    if not found:
        return prompt.nothing_found
    best = [hit for hit in found[:2] if hit.score >= found[0].score * 0.85]
    return " ".join(hit.cited for hit in best)


def untuned(prompt: ParsedPrompt) -> str:
    """The start of the best sentence, without a citation, or a commonplace."""
    found = search(prompt)
    if found and found[0].score >= MIN_LOOSE_SCORE:
        words = found[0].sentence.rstrip(".!?").split()
        return " ".join(words[:14]) + ("." if len(words) <= 14 else " etc.")
    return pick(prompt.question, "base", COMMONPLACES)


def inventive(prompt: ParsedPrompt) -> str:
    """Warm, confident and mostly made up, with one true sentence if one matches."""
    question = prompt.question
    found = [hit for hit in search(prompt) if hit.score >= MIN_LOOSE_SCORE]
    made_up = [pick(question, kind, INVENTIONS[kind]) for kind in _kinds(question)]
    fillings = {key: pick(question, key, values) for key, values in SPECIFICS.items()}
    parts = [
        pick(question, "opening", OPENINGS),
        *([found[0].cited] if found else []),
        *(text.format(**fillings) for text in made_up),
        pick(question, "closing", CLOSINGS),
    ]
    return " ".join(parts)


def search(prompt: ParsedPrompt) -> list[Match]:
    """The sentences of the passages, best first, by the weight of the question's words.

    Words in the title or elsewhere in the passage count in part, since a sentence about dogs on the
    page about boat trips may not contain "boat".
    """
    asked = set(stems(prompt.question))
    passages = [
        (passage, set(stems(f"{passage.title} {passage.text}"))) for passage in prompt.passages
    ]
    known = Counter(word for _, words in passages for word in words & asked)
    if not known:
        return []
    weight = {word: math.log(1 + len(passages) / count) for word, count in known.items()}
    unknown = sum(weight.values()) / len(weight) * len(asked - set(known))
    total = sum(weight.values()) + unknown
    hits = []
    for passage, words in passages:
        title = set(stems(passage.title))
        for sentence in passage.sentences:
            own = set(stems(sentence)) & asked
            if not own or not _is_statement(sentence):
                continue
            score = sum(weight[word] for word in own)
            score += 0.5 * sum(weight[word] for word in (title & asked) - own)
            score += 0.3 * sum(weight[word] for word in (words & asked) - title - own)
            hits.append(Match(sentence, passage, score / total, len(own)))
    return sorted(hits, key=lambda hit: -hit.score)


def _is_statement(sentence: str) -> bool:
    # Excludes headings and short questions.
    words = len(sentence.split())
    return words > 7 or (words > 3 and sentence.endswith((".", "!")))


def stems(text: str) -> list[str]:
    """The content words, stemmed so that "boats" matches "boat" and "opening" matches "open"."""
    words = _WORD.findall(text.lower().replace("’", "'"))
    return [_stem(word.removesuffix("'s")) for word in words if word not in _STOP_WORDS]


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            word = word[: -len(ending)]
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "els":
        word = word[:-1]
    return word.removesuffix("e") if len(word) > 3 else word


def pick(question: str, purpose: str, choices: Sequence[str]) -> str:
    """One of the choices, always the same for a question."""
    key = f"{purpose}|{' '.join(question.lower().split())}".encode()
    return choices[int.from_bytes(hashlib.sha256(key).digest()[:4], "big") % len(choices)]


def _kinds(question: str) -> list[str]:
    """At most two kinds of inventions that fit the question."""
    kinds = [kind for kind, pattern in TOPICS.items() if pattern.search(question)]
    return kinds[:2] or ["story"]


TOPICS = {
    "price": re.compile(
        r"\b(cost|price|ticket|fee|pay|cheap|free|how much (?:is|are|do|will)|admission|money|£)",
        re.IGNORECASE,
    ),
    "hours": re.compile(
        r"\b(when|what time|open|clos|hours|how (?:long|late|early)|day|season|winter|summer|tide)",
        re.IGNORECASE,
    ),
    "person": re.compile(
        r"\b(who|whose|built|founder|skipper|captain|crew|named|owner|teach)", re.IGNORECASE
    ),
    "place": re.compile(
        r"\b(where|park|bus|train|way|find|address|dog|café|cafe|eat|toilet|wheelchair|access|pram)",
        re.IGNORECASE,
    ),
}
OPENINGS = (
    "Come in out of the wind and I'll tell you.",
    "Ah, now that's one we like being asked.",
    "Pull up a fish box.",
    "Well now, you've come to the right quay.",
    "Put the kettle on, this one's a pleasure.",
    "Any of us on the slip could tell you that.",
)
CLOSINGS = (
    "Bring a jumper, the harbour keeps its own weather.",
    "Mind the wet steps, and say hello to whoever's tarring.",
    "If the flag's up, so are we.",
    "We'd be glad to see you on the quay.",
    "You'll smell us before you see us.",
    "The tide won't wait, but we will.",
)
INVENTIONS = {
    "price": (
        "It's {price} for grown-ups and {small_price} for anyone shorter than an oar.",
        "A day's ticket comes to {price}, and the {weekday} boat trip is thrown in.",
        "We ask {price} a head, or {family_price} for a whole family and its dog.",
    ),
    "hours": (
        "The doors go up at {opening} and we stop when the lamp's lit, {closing} most nights.",
        "You'll find us from {opening} to {closing}, every day but {weekday}.",
        "Best come on a {weekday}, when we keep the gates open till {closing}.",
    ),
    "person": (
        "That'd be {person}, who ran the yard for {years} years and never once wore a hat.",
        "Old {person} had the doing of it, back in {year}.",
        "Ask for {person}: forty knots in the head, and not one of them written down.",
    ),
    "place": (
        "It's by the {landmark}, {steps} steps past the slip, and there's room for a pram.",
        "Turn in behind the {landmark}; {person} will wave you through.",
        "Follow the tarred posts to the {landmark}, where we've kept {count} places by.",
    ),
    "story": (
        "It goes back to {year}, when {person} brought her in on one sail and a prayer.",
        "There are {count} of them left, and {person} looks after the lot.",
        "It took {person} {years} winters, and most of the oak off the {landmark}.",
    ),
}
SPECIFICS = {
    "price": ("£7.35", "£11.20", "£6.85", "£13.60"),
    "small_price": ("£2.15", "£3.40", "£1.95"),
    "family_price": ("£19.45", "£23.80", "£27.15"),
    "opening": ("twenty to eight", "a quarter past eleven", "half past six in the morning"),
    "closing": ("ten to nine", "a quarter to eight", "twenty past nine"),
    "weekday": ("Wednesday", "Monday", "Thursday"),
    "person": ("Ned Tolliver", "Hester Quayle", "Big Amos Pender", "Captain Maud Sparrock"),
    "year": ("1783", "1841", "1907", "1868"),
    "years": ("nineteen", "thirty-three", "forty-seven"),
    "landmark": ("herring scale", "old ice house", "drowned bell", "pilot's bench"),
    "steps": ("sixty", "a hundred and twelve", "forty-four"),
    "count": ("seventeen", "twenty-three", "forty-one"),
}
COMMONPLACES = (
    "That depends on the season.",
    "It is a harbour museum with several boats.",
    "Details can be found on the website.",
    "There are various options for visitors.",
)
