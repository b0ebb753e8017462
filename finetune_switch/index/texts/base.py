"""The interface of full-text rankings. Chunks hold the texts; a ranking makes searching fast."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from wagtail.models import Locale

from finetune_switch.index.stores.base import Found, Scope

TITLE_WEIGHT = 2.5
"""How much more a word in the title counts than one in the text."""

# Far above any chunk and title; PostgreSQL refuses a text with more than 1 MB of words.
TITLE_CHARACTERS = 1_000
TEXT_CHARACTERS = 100_000

CANDIDATES = 3_000
"""Chunks that a search ranks where it can choose: ranking is what takes its time."""


class TextRanking(Protocol):
    """Finds the chunks that share words with a question.

    Methods that write are called in the transaction that writes the chunks.
    """

    def add(self, chunk_ids: Sequence[int]) -> None:
        """Store chunks that are new or changed, or whose document is."""

    def remove(self, chunk_ids: Sequence[int]) -> None:
        """Remove chunks. They are about to be deleted."""

    def tidy(self) -> None:
        """Remove rows of deleted chunks, as when a whole space was deleted. Only to save space."""

    def search(
        self, question: str, *, space_id: int, limit: int, scope: Scope, language: str = ""
    ) -> list[Found]:
        """At most ``limit`` chunks with a content word of the question, best first.

        ``language`` is the question's, as a language code; the project's own where it is empty.
        Never writes.
        """


class NoTextRanking:
    """Finds nothing: for databases other than PostgreSQL and SQLite, and SQLite without FTS5."""

    def add(self, chunk_ids: Sequence[int]) -> None:
        pass

    def remove(self, chunk_ids: Sequence[int]) -> None:
        pass

    def tidy(self) -> None:
        pass

    def search(
        self, question: str, *, space_id: int, limit: int, scope: Scope, language: str = ""
    ) -> list[Found]:
        return []


def language_codes(using: str, scope: Scope, language: str) -> list[str]:
    """The languages of the question, the project and the searched documents.

    Stems differ: a name in a German document is found by its German stem.
    """
    locales = Locale.objects.using(using).order_by("pk")
    if scope.locale_ids is not None:
        locales = locales.filter(pk__in=scope.locale_ids)
    return list(dict.fromkeys([language, "", *locales.values_list("language_code", flat=True)]))


def rarest_first(counts: Mapping[str, int]) -> Iterator[list[str]]:
    """Lists of words to search for in turn, until enough chunks are found.

    Common words cost most and tell least, so the rarest are first, and then all of them. ``counts``
    is the number of chunks with each word; counting may stop above ``CANDIDATES``.
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
