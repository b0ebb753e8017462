"""Full-text ranking on SQLite: an FTS5 table of terms, one for each word of a chunk.

SQL is formatted only with constants; every value is a parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import OperationalError, connections

from finetune_switch.index.stores.base import Scope

from .base import CANDIDATES, TITLE_WEIGHT, DatabaseTextRanking

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
    """Takes candidates by FTS5's BM25, with the title weighted above the text."""

    def add(self, chunk_ids: Sequence[int]) -> None:
        for start in range(0, len(chunk_ids), BATCH):
            batch = chunk_ids[start : start + BATCH]
            rows = [(pk, " ".join(a), " ".join(b)) for pk, a, b in self.stored_terms(batch)]
            self.remove(batch)
            with connections[self.using].cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO finetune_switch_text (rowid, title, text) VALUES (%s, %s, %s)",
                    rows,
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

    def count_terms(self, cursor: Any, wanted: Sequence[str]) -> dict[str, int]:
        cursor.execute(
            f"SELECT {', '.join([COUNT] * len(wanted))}", [f'"{term}"' for term in wanted]
        )
        return dict(zip(wanted, cursor.fetchone(), strict=True))

    def statement(
        self, wanted: Sequence[str], space_id: int, limit: int, scope: Scope
    ) -> tuple[str, list[Any]]:
        conditions = ""
        parameters: list[Any] = [" OR ".join(f'"{term}"' for term in wanted), space_id]
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
