"""Choose what to quote of the passages, by meaning and by words."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from finetune_switch.text.decisive import calendar_words
from finetune_switch.text.expected import expected_in_answer
from finetune_switch.text.quotable import Kind, Quotable, blocks_of
from finetune_switch.text.words import content_words, language_name, terms, words

from .embeddings import chosen_model
from .embeddings.embedded import EmbeddedEmbedder

MAX_QUOTES = 3
MAX_ROWS = 10
MAX_LIST_CHARACTERS = 1500
# Texts that are embedded for a question, at most: each takes a few milliseconds.
MAX_EMBEDDED = 24
MAX_CHARACTERS = 300
# The share of the title and heading in the vector of a text, as in the index.
CONTEXT_SHARE = 0.3
QUESTION_SHARE = 0.6
COVERAGE_WEIGHT = 0.5
LACK_WEIGHT = 0.2
# For a row or an item, if the question has a word that no passage has: it may be about another.
UNKNOWN = 0.2
SHORT_KINDS = {Kind.ROW, Kind.ITEM}
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

_ASKS_FOR_ALL = re.compile(
    r"^\s*(?:how (?:do|can|to|should)|which|what (?:are|do|can|should|kinds?|sorts?)|list|steps|"
    r"welche|wie (?:kann|mache|soll)|was (?:brauche|muss))\b|\b(?:ingredients|zutaten|steps)\b",
    re.I,
)
_ASKS_FOR_NAME = re.compile(r"\b(?:who|whom|whose|called|named?|wer|wem|wen|heißt)\b", re.I)
_CONTACT = re.compile(r"\S@\S|\b0\d[\d ()-]{6,}")
_ASKS_FOR_CONTACT = re.compile(
    r"phone|telefon|call|ring|contact|e-?mail|reach|kontakt|anrufen|erreichen|book|buchen|write|who\b",
    re.I,
)
_KIND = re.compile(r"\b(?:which|what|welche[rsmn]?) (\w{3,})")
# "Tuesday to Sunday", "1 April – 31 October"
_RANGE = re.compile(r"\b(?:to|till|until|through|bis)\b|[-–]", re.I)
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
    of_passages = _terms_of_passages(quotables, asked.name)
    fitting = [
        one
        for one in (*quotables, *_together(quotables))
        if not one.text.endswith("?") and asked.agrees(one, of_passages[one.passage])
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


def _terms_of_passages(quotables: Sequence[Quotable], language: str) -> dict[int, frozenset[str]]:
    texts: dict[int, list[str]] = {}
    for one in quotables:
        texts.setdefault(one.passage, []).append(f"{one.context}\n{one.text}")
    return {
        number: frozenset(terms(words("\n".join(found)), language))
        for number, found in texts.items()
    }


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
        self.calendar = calendar_words(self.name)
        self.days = {self.calendar[word] for word in words(text) if word in self.calendar}
        expected = expected_in_answer(text)
        self.expected = [wanted for _cue, wanted in expected]
        cues = words(" ".join(cue for cue, _wanted in expected))
        self.subjects = self.terms.difference(terms(cues, self.name))
        self.asks_for_name = bool(_ASKS_FOR_NAME.search(text))
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

    def agrees(self, one: Quotable, passage: frozenset[str]) -> bool:
        """Whether names and years of the question stand in the text or above it.

        A sentence without names is about those in its passage, of which these are the terms.
        """
        whole = f"{one.context}\n{one.lead_in}\n{one.text}"
        if self.years and (other := set(_YEAR.findall(whole))) and not other & self.years:
            return False
        found = words(whole)
        days = {self.calendar[word] for word in found if word in self.calendar}
        if self.days and days and not self.days & days and not _RANGE.search(whole):
            return False
        if self.names <= set(terms(found, self.name)):
            return True
        is_prose = one.kind in (Kind.SENTENCE, Kind.PAIR)
        names_another = not self.asks_for_name and _names(one.text, self.name)
        return is_prose and self.names <= passage and not names_another

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
        if self.years and not self.years & set(_YEAR.findall(f"{one.context}\n{one.text}")):
            found += MISSING
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
    is_unknown = bool(asked.subjects - frequency.keys())
    order = sorted(range(len(fitting)), key=lambda at: -shares[at])[:MAX_EMBEDDED]
    similarities = _similarities(asked.text, [fitting[at] for at in order], embedder)
    scored = [
        _Scored(
            fitting[at],
            similarity
            + COVERAGE_WEIGHT * shares[at] ** 2
            - LACK_WEIGHT * lacks[at]
            - (UNKNOWN if fitting[at].kind in SHORT_KINDS and is_unknown else 0.0)
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
            # The answer to a frequent question says nothing without the question.
            share = QUESTION_SHARE if one.heading.endswith("?") else CONTEXT_SHARE
            vector = (1 - share) * vector + share * of_context[one.context]
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
