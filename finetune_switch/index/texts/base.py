"""The interface of full-text rankings, and what the rankings of all databases share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from django.db import connections
from wagtail.models import Locale

from finetune_switch.index.stores.base import Found, Scope
from finetune_switch.text.words import language_name

TITLE_WEIGHT = 2.5
"""The weight of a word in the title; a word in the text has weight 1."""

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
        self, question: str, *, space_id: int, limit: int, scope: Scope, language: str = ""
    ) -> list[Found]:
        """Return at most ``limit`` chunks with a content word of the question, best first.

        ``language`` is the language code of the question; empty for the project's language. Never
        writes.
        """
        return []


class DatabaseTextRanking(TextRanking):
    """Searches for the rarest words of a question first."""

    tokenize: Callable[[str, str], list[str]]

    def search(
        self, question: str, *, space_id: int, limit: int, scope: Scope, language: str = ""
    ) -> list[Found]:
        tokens = self.tokenize(question, language_name(language))
        if not tokens:
            return []
        codes = language_codes(self.using, scope, language)
        rows: list[tuple[int, float]] = []
        with connections[self.using].cursor() as cursor:
            for terms in rarest_first(self.count_terms(cursor, tokens, codes)):
                cursor.execute(*self.statement(terms, space_id, limit, scope))
                rows = cursor.fetchall()
                if len(rows) >= limit:
                    break
        return [Found(chunk_id, score) for chunk_id, score in rows]

    def count_terms(
        self, cursor: Any, tokens: Sequence[str], codes: Sequence[str]
    ) -> dict[str, int]:
        """The number of chunks with each term, in the languages with these codes.

        Counting may stop above ``CANDIDATES``.
        """
        raise NotImplementedError

    def statement(
        self, terms: Sequence[str], space_id: int, limit: int, scope: Scope
    ) -> tuple[str, Any]:
        """The SQL of a search for chunks with any of these terms, and its parameters."""
        raise NotImplementedError


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
