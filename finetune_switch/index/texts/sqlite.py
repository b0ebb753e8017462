"""Full-text ranking on SQLite: an FTS5 table of stems.

FTS5 has one tokenizer for a table, and its only stemmer is for English. The stems are therefore
computed here, in the language of each document.

SQL is formatted only with constants; every value is a parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import OperationalError, connections
from wagtail.models import Locale

from finetune_switch.index.stores.base import Scope
from finetune_switch.models import Chunk
from finetune_switch.text.words import content_words, language_name, stems, words

from .base import (
    CANDIDATES,
    TEXT_CHARACTERS,
    TITLE_CHARACTERS,
    TITLE_WEIGHT,
    DatabaseTextRanking,
)

BATCH = 500

# FTS5 sorts the matches, and SQLite reads them, best first, until the limit is reached. CROSS JOIN
# keeps the tables in this order.
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
    """Whether this SQLite has FTS5, and had it during ``migrate``."""
    if using not in _with_table:
        with connections[using].cursor() as cursor:
            try:
                cursor.execute("SELECT 1 FROM finetune_switch_text LIMIT 0")
            except OperationalError:
                return False
        _with_table.add(using)
    return True


class SQLiteTextRanking(DatabaseTextRanking):
    """Ranks by BM25, with the title weighted above the text."""

    tokenize = staticmethod(content_words)

    def add(self, chunk_ids: Sequence[int]) -> None:
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
        with connections[self.using].cursor() as cursor:
            cursor.executemany(
                "DELETE FROM finetune_switch_text WHERE rowid = %s",
                [(chunk_id,) for chunk_id in chunk_ids],
            )

    def tidy(self) -> None:
        with connections[self.using].cursor() as cursor:
            cursor.execute(
                "DELETE FROM finetune_switch_text"
                " WHERE rowid NOT IN (SELECT id FROM finetune_switch_chunk)"
            )

    def count_terms(
        self, cursor: Any, tokens: Sequence[str], codes: Sequence[str]
    ) -> dict[str, int]:
        terms = list(
            dict.fromkeys(term for code in codes for term in stems(tokens, language_name(code)))
        )
        cursor.execute(f"SELECT {', '.join([COUNT] * len(terms))}", [f'"{term}"' for term in terms])
        return dict(zip(terms, cursor.fetchone(), strict=True))

    def statement(
        self, terms: Sequence[str], space_id: int, limit: int, scope: Scope
    ) -> tuple[str, list[Any]]:
        conditions = ""
        parameters: list[Any] = [" OR ".join(f'"{term}"' for term in terms), space_id]
        if scope.site_id is not None:
            conditions += "AND (document.site_id IS NULL OR document.site_id = %s)\n"
            parameters.append(scope.site_id)
        if scope.locale_ids is not None:
            # SQLite accepts the empty list of "IN ()".
            listed = ", ".join(["%s"] * len(scope.locale_ids))
            conditions += f"AND (document.locale_id IS NULL OR document.locale_id IN ({listed}))\n"
            parameters.extend(scope.locale_ids)
        if not scope.include_restricted:
            conditions += "AND NOT document.is_restricted\n"
        return f"{SEARCH}{conditions}{ORDER}", [*parameters, limit]
