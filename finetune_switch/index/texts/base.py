"""The interface of full-text rankings, and what the rankings of all databases share.

Terms are computed here, in the language of each document, so that every database finds the same.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from django.db import connections
from wagtail.models import Locale

from finetune_switch.index.stores.base import Found, Scope
from finetune_switch.models import Chunk, EmbeddingSpace
from finetune_switch.text.words import language_name, question_terms, terms, words

TITLE_WEIGHT = 2.5
"""The weight of a word in the title; a word in the text has weight 1."""

# BM25 (Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond"). The
# average length of a chunk is that of the demo; it need not be exact.
K1, B, AVERAGE_TERMS = 1.2, 0.75, 100

# Longer than any chunk or title. PostgreSQL rejects a tsvector above 1 MB.
TITLE_CHARACTERS = 1_000
TEXT_CHARACTERS = 100_000

CANDIDATES = 3_000
"""The number of chunks to rank if there are more matches: ranking takes most of the time."""


class TextRanking:
    """Finds the chunks that share words with a question.

    This base class finds nothing. It serves databases without full-text search: all except
    PostgreSQL and SQLite with FTS5. Methods that write are called in the transaction that writes
    the chunks.
    """

    def __init__(self, using: str = "default") -> None:
        self.using = using

    def add(self, chunk_ids: Sequence[int]) -> None:
        """Store new or changed chunks, and chunks of changed documents."""

    def remove(self, chunk_ids: Sequence[int]) -> None:
        """Remove chunks before they are deleted."""

    def tidy(self) -> None:
        """Remove rows of deleted chunks, to save disk space."""

    def search(
        self,
        question: str,
        *,
        space: EmbeddingSpace,
        limit: int,
        scope: Scope,
        language: str = "",
        also: Collection[int] = (),
    ) -> list[Found]:
        """Return at most ``limit`` chunks with a content word of the question, best first.

        The score is the coverage of the question, from 0 to 1: the chunk's BM25 divided by the
        inverse document frequencies of all words asked for, those of no chunk included. ``also``
        are chunks to score beside the limit. ``language`` is the language code of the question;
        empty for the project's language. Never writes.
        """
        return []


class DatabaseTextRanking(TextRanking):
    """Searches for the rarest words of a question first."""

    def search(
        self,
        question: str,
        *,
        space: EmbeddingSpace,
        limit: int,
        scope: Scope,
        language: str = "",
        also: Collection[int] = (),
    ) -> list[Found]:
        asked = {
            name: question_terms(question, name)
            for name in map(language_name, language_codes(self.using, scope, language))
        }
        every = list(dict.fromkeys(term for found in asked.values() for term in found))
        if not every:
            return []
        found: list[int] = []
        with connections[self.using].cursor() as cursor:
            counts = self.count_terms(cursor, every)
            for wanted in rarest_first(counts):
                cursor.execute(*self.statement(wanted, space.pk, limit, scope))
                found = [chunk_id for chunk_id, _score in cursor.fetchall()]
                if len(found) >= limit:
                    break
        if not found:
            return []
        total = _count_chunks(self.using, space.pk, space.version)
        weights = {term: _inverse_frequency(count, total) for term, count in counts.items()}
        scores = self._coverage([*found, *also], asked, weights)
        ranked = [Found(pk, scores[pk]) for pk in dict.fromkeys([*found, *also]) if scores.get(pk)]
        # A stable sort: the database's order decides between equal scores.
        return sorted(ranked, key=lambda one: -one.score)

    def _coverage(
        self,
        chunk_ids: Iterable[int],
        asked: Mapping[str, Sequence[str]],
        weights: Mapping[str, float],
    ) -> dict[int, float]:
        """The coverage of the question by each chunk, in the language that gives the most."""
        rows = Chunk.objects.using(self.using).filter(pk__in=set(chunk_ids))
        found = {}
        for pk, title, text in rows.values_list("pk", "document__title", "text"):
            title_words, text_words = words(title[:TITLE_CHARACTERS]), words(text)
            found[pk] = max(
                _bm25(terms(title_words, name), terms(text_words, name), wanted, weights)
                for name, wanted in asked.items()
            )
        return found

    def count_terms(self, cursor: Any, wanted: Sequence[str]) -> dict[str, int]:
        """The number of chunks with each term. Counting may stop above ``CANDIDATES``."""
        raise NotImplementedError

    def statement(
        self, wanted: Sequence[str], space_id: int, limit: int, scope: Scope
    ) -> tuple[str, Any]:
        """The SQL of a search for chunks with any of these terms, and its parameters."""
        raise NotImplementedError

    def stored_terms(self, chunk_ids: Sequence[int]) -> Iterator[tuple[int, list[str], list[str]]]:
        """Yield the id of each chunk with the terms of its title and of its text."""
        languages = dict(Locale.objects.using(self.using).values_list("pk", "language_code"))
        rows = Chunk.objects.using(self.using).filter(pk__in=chunk_ids)
        for pk, title, text, locale_id in rows.values_list(
            "pk", "document__title", "text", "document__locale_id"
        ).iterator():
            name = language_name(languages.get(locale_id, ""))
            yield (
                pk,
                terms(words(title[:TITLE_CHARACTERS]), name),
                terms(words(text[:TEXT_CHARACTERS]), name),
            )


def _bm25(
    title: Sequence[str],
    text: Sequence[str],
    wanted: Sequence[str],
    weights: Mapping[str, float],
) -> float:
    """BM25 of a chunk over the most that the terms can weigh, at most 1."""
    whole = sum(weights[term] for term in wanted)
    if not whole:
        return 0.0
    in_title, in_text = Counter(title), Counter(text)
    length = 1 - B + B * (len(title) + len(text)) / AVERAGE_TERMS
    score = 0.0
    for term in wanted:
        if times := in_text[term] + TITLE_WEIGHT * in_title[term]:
            score += weights[term] * times * (K1 + 1) / (times + K1 * length)
    return min(score / whole, 1.0)


def _inverse_frequency(count: int, total: int) -> float:
    return math.log(1 + (max(total - count, 0) + 0.5) / (count + 0.5))


@lru_cache(maxsize=16)
def _count_chunks(using: str, space_id: int, version: int) -> int:
    return Chunk.objects.using(using).filter(space=space_id).count()


def language_codes(using: str, scope: Scope, language: str) -> list[str]:
    """The languages of the question, the project and the searched documents.

    Stems depend on the language: a German document has German stems, even of a name.
    """
    locales = Locale.objects.using(using).order_by("pk")
    if scope.locale_ids is not None:
        locales = locales.filter(pk__in=scope.locale_ids)
    return list(dict.fromkeys([language, "", *locales.values_list("language_code", flat=True)]))


def rarest_first(counts: Mapping[str, int]) -> Iterator[list[str]]:
    """Yield the rarest words, then all words, for searching until enough chunks are found.

    Common words are slow to search for and say little about relevance. ``counts`` maps words to
    numbers of chunks.
    """
    found = sorted((word for word in counts if counts[word]), key=counts.__getitem__)
    if not found:
        return
    total = 0
    for position, word in enumerate(found):
        total += counts[word]
        if position and total > CANDIDATES:
            yield found[:position]
            break
    yield found
