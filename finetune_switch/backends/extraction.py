"""Choose what to quote of the passages, by meaning and by words."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from finetune_switch.text.quotable import Kind, Quotable, blocks_of
from finetune_switch.text.words import content_words, language_name, terms, words

from .embeddings import chosen_model
from .embeddings.embedded import EmbeddedEmbedder

MAX_QUOTES = 3
MAX_ROWS = 10
MAX_LIST_CHARACTERS = 1500
# Texts that are embedded for a question, at most: each takes a few milliseconds.
MAX_EMBEDDED = 48
MAX_CHARACTERS = 300
# The share of the title and heading in the vector of a text, as in the index.
CONTEXT_SHARE = 0.3
COVERAGE_WEIGHT = 0.5
LACK_WEIGHT = 0.2
# For a text that has what the question asks for, such as an amount, and for one that has not.
EXPECTED, MISSING = 0.05, -0.2
# One sentence is better than two, unless both are needed.
PAIR = -0.04
# A list for a question that asks for several things, or how to do something.
LIST = 0.25
# A telephone number or an e-mail address, for a question that asks for it.
CONTACT = 0.15
# How far below the best a further quote may be.
MARGIN = 0.08
# Not in Snowball's stop words: "Tell me about …", "I need to know …".
REQUEST_WORDS = frozenset(
    {"get", "know", "need", "please", "tell", "want", "much", "many", "like", "can", "time"}
)

_PERSON = r"(?-i:\b[A-ZÀ-Þ][\w’']+ [A-ZÀ-Þ][\w’']+)|\b(?:he|she|er|sie)\b"
_DAY = (
    r"\b(?:mon|tues|wednes|thurs|fri|satur|sun)days?\b|\b(?:mon|diens|donners|frei|sams|sonn)tags?\b"
    r"|\bmittwochs?\b"
)
_MONTH = (
    r"\b\d{1,2}\.? (?:jan|feb|mar|mär|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez)"
    r"|\b(?:january|february|march|april|june|july|august|september|october|november|december"
    r"|januar|februar|märz|juni|juli|oktober|dezember)\b"
)
_NUMBER_WORD = (
    r"\b(?:once|twice|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|hundred"
    r"|ein|zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn|elf|zwölf)\b"
)
# What a question asks for, and what a text has that answers it.
_EXPECTATIONS = tuple(
    (re.compile(cue, re.I), re.compile(wanted, re.I))
    for cue, wanted in (
        (
            r"\bhow much (?:is|are|does|do|will|would)\b|\bprices?\b|\bcosts?\b|\bfees?\b|\bfare\b"
            r"|\brates?\b|\bkoste[nt]?\b|\bpreise?\b|\bgebühr",
            r"[£$€¥]\s?\d|\d\s?(?:[£$€¥]|euro?|pounds?|pence|dollars?|p\b)|\bfree\b|\bpenny\b"
            r"|kostenlos|gratis|kostenfrei",
        ),
        (r"\b(?:what|which|in which|welche[ms]?) (?:year|jahr)\b", r"\b(?:1\d|20)\d\d\b"),
        (
            r"\bwhen (?:do|does|is|are|can|will|must|should|may)\b|\bby when\b|\bwhat times?\b"
            r"|\bopening (?:times|hours)\b|\bwann\b|\böffnungszeiten\b|\buhrzeit\b"
            r"|\b(?:which|what) (?:days?|evenings?|months?|date)\b",
            rf"\d ?(?:am|pm|uhr|h)\b|\d[.:]\d\d\b|\bnoon\b|midnight|\bdaily\b|\bevery\b|\balways\b"
            rf"|{_DAY}|{_MONTH}|{_NUMBER_WORD}|täglich|mittag",
        ),
        (r"\bwhen (?:was|were|did)\b", rf"\b(?:1\d|20)\d\d\b|{_DAY}|{_MONTH}"),
        (
            r"\bhow often\b|\bwie oft\b",
            rf"{_NUMBER_WORD}|\btimes\b|\bevery\b|\bdaily\b|\ba (?:day|week|month|year)\b|mal\b",
        ),
        (
            r"\bhow (?:many|long|old|far|tall|high|deep|big|often)\b|\bages?\b|\bwie ?viele?\b"
            r"|\bwie (?:lange?|alt|weit|hoch|tief|groß|oft)\b",
            rf"\d|{_NUMBER_WORD}",
        ),
        (r"\bwho\b|\bwhose\b|\bwer\b|\bwem\b|\bwen\b", _PERSON),
        (
            r"\bwhy\b|\bwarum\b|\bweshalb\b",
            r"\bbecause\b|\breason|\bso that\b|\bsince\b|\bas\b|:|weil|damit|deshalb",
        ),
        (r"\b(?:tele)?phone\b|\btelefon", r"\d[\d\s()/-]{5,}"),
        (r"\be-?mail\b", "@"),
    )
)
_ASKS_FOR_ALL = re.compile(
    r"^\s*(?:how (?:do|can|to|should)|which|what (?:are|do|can|should|kinds?|sorts?)|list|steps|"
    r"welche|wie (?:kann|mache|soll)|was (?:brauche|muss))\b|\b(?:ingredients|zutaten|steps)\b",
    re.I,
)
_CONTACT = re.compile(r"\S@\S|\b0\d[\d ()-]{6,}")
_ASKS_FOR_CONTACT = re.compile(
    r"phone|telefon|call|ring|contact|e-?mail|reach|kontakt|anrufen|erreichen|book|buchen|write|who\b",
    re.I,
)
_KIND = re.compile(r"\b(?:which|what|welche[rsmn]?) (\w{3,})")
_YEAR = re.compile(r"\b(?:1[5-9]|20)\d\d\b")


@dataclass(frozen=True)
class _Scored:
    quotable: Quotable
    score: float
    covered: frozenset[str]


def extract(question: str, quotables: Sequence[Quotable], language: str) -> list[list[Quotable]]:
    """What to quote, grouped by list, table or sentence, best first; empty if nothing answers.

    At most three sentences, a whole list, or rows of one table. ``language`` is the language code
    of the question. Texts are embedded in this process, whatever model the index has.
    """
    asked = _Question(question, language)
    fitting = [
        one
        for one in (*quotables, *_together(quotables))
        if not one.text.endswith("?") and asked.agrees(one)
    ]
    if not asked.terms or not fitting:
        return []
    embedder = EmbeddedEmbedder(chosen_model())
    ranked = _rank(asked, fitting, embedder)
    best = ranked[0]
    if best.score < embedder.thresholds.answers:
        return []
    if best.quotable.kind is Kind.ROW:
        return [_rows(best, ranked, quotables)]
    if best.quotable.kind in (Kind.ITEM, Kind.LIST) and (
        whole := _list(asked, best, ranked, quotables)
    ):
        return [whole]
    return _sentences(ranked)


def _together(quotables: Sequence[Quotable]) -> Iterator[Quotable]:
    """Texts that answer only together: two neighbouring sentences, and the items of a list."""
    for block in blocks_of(quotables):
        first = block[0]
        if first.kind is Kind.SENTENCE:
            for one, other in pairwise(block):
                yield replace(one, text=f"{one.text} {other.text}", kind=Kind.PAIR)
        elif first.kind is Kind.ITEM and len(block) > 1:
            yield replace(first, text="\n".join(item.text for item in block), kind=Kind.LIST)


class _Question:
    def __init__(self, text: str, language: str) -> None:
        self.text = text
        self.name = language_name(language)
        asked = [word for word in content_words(text, self.name) if word not in REQUEST_WORDS]
        self.terms = frozenset(terms(asked, self.name))
        self.every_term = frozenset(terms(words(text), self.name))
        self.years = frozenset(_YEAR.findall(text))
        self.expected = [wanted for cue, wanted in _EXPECTATIONS if cue.search(text)]
        self.asks_for_contact = bool(_ASKS_FOR_CONTACT.search(text))
        self.asks_for_all = bool(_ASKS_FOR_ALL.search(text))
        # "Which bus …?" is answered by a text about a bus.
        self.kinds = self.terms & frozenset(terms(_KIND.findall(text.lower()), self.name))
        # German writes every noun with a capital letter.
        self.names = frozenset() if self.name == "german" else frozenset(_names(text, self.name))

    def is_new(self, match: re.Match[str]) -> bool:
        """Whether a match says anything that the question does not."""
        found = terms(words(match[0]), self.name)
        return not found or not self.every_term.issuperset(found)

    def terms_of(self, one: Quotable) -> frozenset[str]:
        found = terms(words(f"{one.context}\n{one.lead_in}\n{one.text}"), self.name)
        return self.terms.intersection(found)

    def agrees(self, one: Quotable) -> bool:
        """Whether names and years of the question stand in the text or above it."""
        whole = f"{one.context}\n{one.lead_in}\n{one.text}"
        if self.years and (other := set(_YEAR.findall(whole))) and not other & self.years:
            return False
        return self.names <= set(terms(words(whole), self.name))

    def expectation(self, one: Quotable) -> float:
        """What a text gains or loses by having, or not having, what the question asks for."""
        found = sum(
            EXPECTED if any(map(self.is_new, wanted.finditer(one.text))) else MISSING
            for wanted in self.expected
        )
        if one.kind is Kind.PAIR:
            found += PAIR
        if one.kind is Kind.LIST and self.asks_for_all:
            found += LIST
        is_sentence = one.kind in (Kind.SENTENCE, Kind.PAIR)
        if is_sentence and self.kinds and not self.kinds & set(terms(words(one.text), self.name)):
            found += MISSING
        if is_sentence and one.text[-1].isalnum() and found <= 0:
            # A caption or a fragment.
            found += MISSING / 2
        if _CONTACT.search(one.text):
            found += CONTACT if self.asks_for_contact else MISSING
        return found


def _names(text: str, language: str) -> list[str]:
    """The terms of names: words with a capital letter that begin no sentence."""
    found = re.findall(r"(?<![.!?:\n])(?<!^)\s([A-ZÀ-Þ][\w'’-]*)", text)
    known = content_words(" ".join(word for word in found if len(word) > 1), language)
    return [term for term in terms(known, language) if term not in _CALENDAR]


_CALENDAR = frozenset(
    terms(
        words(
            "Monday Tuesday Wednesday Thursday Friday Saturday Sunday Mondays Tuesdays Wednesdays "
            "Thursdays Fridays Saturdays Sundays January February March April May June July August "
            "September October November December Christmas Easter"
        ),
        "english",
    )
)


def _rank(
    asked: _Question, fitting: Sequence[Quotable], embedder: EmbeddedEmbedder
) -> list[_Scored]:
    """The texts with their scores, best first."""
    covered = [asked.terms_of(one) for one in fitting]
    frequency = Counter(term for found in covered for term in found)
    weights = {term: math.log(1 + len(fitting) / (0.5 + frequency[term])) for term in asked.terms}
    whole = sum(weights.values())
    shares = [sum(weights[term] for term in found) / whole for found in covered]
    # Of the words that stand anywhere in the passages: what else there is about them is better.
    known = sum(weights[term] for term in frequency) or 1.0
    lacks = [1 - sum(weights[term] for term in found) / known for found in covered]
    order = sorted(range(len(fitting)), key=lambda at: -shares[at])[:MAX_EMBEDDED]
    similarities = _similarities(asked.text, [fitting[at] for at in order], embedder)
    scored = [
        _Scored(
            fitting[at],
            similarity
            + COVERAGE_WEIGHT * shares[at] ** 2
            - LACK_WEIGHT * lacks[at]
            + asked.expectation(fitting[at]),
            covered[at],
        )
        for at, similarity in zip(order, similarities, strict=True)
    ]
    return sorted(scored, key=lambda one: -one.score)


def _similarities(
    question: str, chosen: Sequence[Quotable], embedder: EmbeddedEmbedder
) -> list[float]:
    """The cosine similarity of the question to each text with its title and heading."""
    import numpy as np

    contexts = list(dict.fromkeys(one.context for one in chosen if one.context))
    texts = [question, *(one.text[:MAX_CHARACTERS] for one in chosen), *contexts]
    vectors = embedder.embed(texts)
    of_context = dict(zip(contexts, vectors[len(chosen) + 1 :], strict=True))
    found = []
    for one, vector in zip(chosen, vectors[1:], strict=False):
        if one.context:
            vector = (1 - CONTEXT_SHARE) * vector + CONTEXT_SHARE * of_context[one.context]
        found.append(float(vectors[0] @ vector / np.linalg.norm(vector)))
    return found


def _rows(
    best: _Scored, ranked: Sequence[_Scored], quotables: Sequence[Quotable]
) -> list[Quotable]:
    """The rows of the table that have as many of the question's words as the best one."""
    table = _block(best.quotable, quotables)
    covered = {id(one.quotable): one.covered for one in ranked}
    rows = [row for row in table if covered.get(id(row), frozenset()) >= best.covered]
    return rows if len(rows) <= MAX_ROWS else [best.quotable]


def _list(
    asked: _Question,
    best: _Scored,
    ranked: Sequence[_Scored],
    quotables: Sequence[Quotable],
) -> list[Quotable]:
    """The whole list, if the question asks for it or several items answer; otherwise empty."""
    items = _block(best.quotable, quotables)
    if best.quotable.kind is Kind.LIST:
        return items
    near = [one for one in ranked if one.quotable in items and one.score >= best.score - MARGIN]
    is_wanted = asked.asks_for_all or len(near) > 2
    length = sum(len(item.text) for item in items)
    return items if is_wanted and length <= MAX_LIST_CHARACTERS else []


def _block(one: Quotable, quotables: Sequence[Quotable]) -> list[Quotable]:
    place = one.passage, one.block
    return [other for other in quotables if (other.passage, other.block) == place]


def _sentences(ranked: Sequence[_Scored]) -> list[list[Quotable]]:
    """The best sentence, and further ones that answer nearly as well with the same words."""
    best, chosen = ranked[0], [ranked[0].quotable]
    for one in ranked[1:]:
        if len(chosen) == MAX_QUOTES or one.score < best.score - MARGIN:
            break
        is_new = not any(
            one.quotable.text in other.text or other.text in one.quotable.text for other in chosen
        )
        if is_new and one.covered >= best.covered and one.quotable.kind is not Kind.ROW:
            chosen.append(one.quotable)
    return [[one] for one in chosen]
