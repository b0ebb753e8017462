"""The full-text ranking on SQLite: FTS5 over words that are stemmed here.

FTS5 itself cuts the words of a whole table in one way, and knows the endings of English only: every
language of a site would be handled as English. So each document is stemmed by its own language, and
what is stored are the stems.

Into SQL go only the names of our own tables, columns and indexes; every value is a parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import OperationalError, connections
from wagtail.models import Locale

from finetune_switch.index.stores.base import Found, Scope
from finetune_switch.models import Chunk
from finetune_switch.text.words import content_words, language_name, stems, words

from .base import (
    CANDIDATES,
    TEXT_CHARACTERS,
    TITLE_CHARACTERS,
    TITLE_WEIGHT,
    language_codes,
    rarest_first,
)

BATCH = 500

# FTS5 sorts what matches, and rows are looked at from the best on until the limit is reached: the
# CROSS JOINs keep the tables in this order. A chunk that is gone has no row to join.
SEARCH = f"""
SELECT chunk.id, -found.rank
FROM finetune_switch_text AS found
CROSS JOIN finetune_switch_chunk AS chunk ON chunk.id = found.rowid
CROSS JOIN finetune_switch_document AS document ON document.id = chunk.document_id
WHERE found.finetune_switch_text MATCH %s
AND found.rank MATCH 'bm25({TITLE_WEIGHT}, 1.0)'
AND chunk.space_id = %s
"""  # noqa: S608
ORDER = "ORDER BY found.rank LIMIT %s"

COUNT = f"""
(SELECT count(*) FROM (SELECT 1 FROM finetune_switch_text
WHERE finetune_switch_text MATCH %s LIMIT {CANDIDATES + 1}))
"""  # noqa: S608

_with_table: set[str] = set()


def has_table(using: str) -> bool:
    """Whether this SQLite has FTS5, and had it when the project was migrated."""
    if using not in _with_table:
        with connections[using].cursor() as cursor:
            try:
                cursor.execute("SELECT 1 FROM finetune_switch_text LIMIT 0")
            except OperationalError:
                return False
        _with_table.add(using)
    return True


class SQLiteTextRanking:
    """Ranks by BM25, with the title weighted above the text."""

    def __init__(self, using: str = "default") -> None:
        self.using = using

    def add(self, chunk_ids: Sequence[int]) -> None:
        """See :class:`~finetune_switch.index.texts.base.TextRanking`."""
        languages = dict(Locale.objects.using(self.using).values_list("pk", "language_code"))
        for start in range(0, len(chunk_ids), BATCH):
            batch = chunk_ids[start : start + BATCH]
            rows = (
                Chunk.objects.using(self.using)
                .filter(pk__in=batch)
                .values_list("pk", "document__title", "text", "document__locale_id")
            )
            stemmed = []
            for chunk_id, title, text, locale_id in rows.iterator():
                language = language_name(languages.get(locale_id, ""))
                stemmed.append(
                    (
                        chunk_id,
                        " ".join(stems(words(title[:TITLE_CHARACTERS]), language)),
                        " ".join(stems(words(text[:TEXT_CHARACTERS]), language)),
                    )
                )
            self.remove(batch)
            with connections[self.using].cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO finetune_switch_text (rowid, title, text) VALUES (%s, %s, %s)",
                    stemmed,
                )

    def remove(self, chunk_ids: Sequence[int]) -> None:
        """See :class:`~finetune_switch.index.texts.base.TextRanking`."""
        with connections[self.using].cursor() as cursor:
            cursor.executemany(
                "DELETE FROM finetune_switch_text WHERE rowid = %s",
                [(chunk_id,) for chunk_id in chunk_ids],
            )

    def tidy(self) -> None:
        """See :class:`~finetune_switch.index.texts.base.TextRanking`."""
        with connections[self.using].cursor() as cursor:
            cursor.execute(
                "DELETE FROM finetune_switch_text"
                " WHERE rowid NOT IN (SELECT id FROM finetune_switch_chunk)"
            )

    def search(
        self, question: str, *, space_id: int, limit: int, scope: Scope, language: str = ""
    ) -> list[Found]:
        """See :class:`~finetune_switch.index.texts.base.TextRanking`."""
        asked = content_words(question, language_name(language))
        if not asked:
            return []
        terms = list(
            dict.fromkeys(
                term
                for code in language_codes(self.using, scope, language)
                for term in stems(asked, language_name(code))
            )
        )
        conditions, parameters = _conditions(scope)
        sql = f"{SEARCH}{conditions}{ORDER}"
        rows: list[tuple[int, float]] = []
        with connections[self.using].cursor() as cursor:
            for chosen in rarest_first(_count(cursor, terms)):
                cursor.execute(sql, [_any(chosen), space_id, *parameters, limit])
                rows = cursor.fetchall()
                if len(rows) >= limit:
                    break
        return [Found(chunk_id, score) for chunk_id, score in rows]


def _count(cursor: Any, terms: Sequence[str]) -> dict[str, int]:
    """How many chunks have each of these words, counted no further than is needed."""
    cursor.execute(f"SELECT {', '.join([COUNT] * len(terms))}", [f'"{term}"' for term in terms])
    return dict(zip(terms, cursor.fetchone(), strict=True))


def _any(terms: Sequence[str]) -> str:
    return " OR ".join(f'"{term}"' for term in terms)


def _conditions(scope: Scope) -> tuple[str, list[Any]]:
    conditions, parameters = "", []
    if scope.site_id is not None:
        conditions += "AND (document.site_id IS NULL OR document.site_id = %s)\n"
        parameters.append(scope.site_id)
    if scope.locale_ids is not None:
        # "IN ()", for none of them, is SQL on SQLite.
        listed = ", ".join(["%s"] * len(scope.locale_ids))
        conditions += f"AND (document.locale_id IS NULL OR document.locale_id IN ({listed}))\n"
        parameters.extend(scope.locale_ids)
    if not scope.include_restricted:
        conditions += "AND NOT document.is_restricted\n"
    return conditions, parameters
