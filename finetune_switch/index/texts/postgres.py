"""Full-text ranking on PostgreSQL: a table with the ``tsvector`` of each chunk and a GIN index.

The table also has the columns that a search filters by: chunk rows are wide, because of their
vectors. A trigger, created by the migration, deletes the rows of deleted chunks.

SQL is formatted only with constants; every value is a parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connections

from finetune_switch.index.stores.base import Scope

from .base import CANDIDATES, TITLE_WEIGHT, DatabaseTextRanking

BATCH = 500
# PostgreSQL's limits for the positions of a word in a tsvector.
MOST_POSITIONS, LAST_POSITION = 256, 16_383

# The lock blocks concurrent deletion of these chunks, like a foreign key.
ADD = """
INSERT INTO finetune_switch_text (chunk_id, space_id, site_id, locale_id, is_restricted, words)
SELECT chunk.id, chunk.space_id, document.site_id, document.locale_id, document.is_restricted,
    new.words::tsvector
FROM unnest(%(chunks)s::bigint[], %(words)s::text[]) AS new (id, words)
JOIN finetune_switch_chunk AS chunk ON chunk.id = new.id
JOIN finetune_switch_document AS document ON document.id = chunk.document_id
ORDER BY chunk.id
FOR KEY SHARE OF chunk
ON CONFLICT (chunk_id) DO UPDATE SET
    space_id = excluded.space_id, site_id = excluded.site_id, locale_id = excluded.locale_id,
    is_restricted = excluded.is_restricted, words = excluded.words
"""

COUNT = f"""
SELECT word, (SELECT count(*) FROM (
    SELECT FROM finetune_switch_text WHERE words @@ word::tsquery LIMIT {CANDIDATES + 1}
) AS counted)
FROM unnest(%s::text[]) AS word
"""  # noqa: S608

SEARCH = f"""
SELECT chunk_id,
    ts_rank('{{{{0, 0, {1 / TITLE_WEIGHT}, 1}}}}', words, %(query)s::tsquery, 1) AS score
FROM finetune_switch_text
WHERE words @@ %(query)s::tsquery
AND space_id = %(space)s
{{conditions}}
ORDER BY score DESC, chunk_id LIMIT %(limit)s
"""  # noqa: S608


class PostgresTextRanking(DatabaseTextRanking):
    """Takes candidates by ``ts_rank``, with the title weighted above the text."""

    def add(self, chunk_ids: Sequence[int]) -> None:
        for start in range(0, len(chunk_ids), BATCH):
            rows = list(self.stored_terms(chunk_ids[start : start + BATCH]))
            parameters: dict[str, Any] = {
                "chunks": [pk for pk, _title, _text in rows],
                "words": [_tsvector(title, text) for _pk, title, text in rows],
            }
            with connections[self.using].cursor() as cursor:
                cursor.execute(ADD, parameters)

    def remove(self, chunk_ids: Sequence[int]) -> None:
        with connections[self.using].cursor() as cursor:
            cursor.execute(
                "DELETE FROM finetune_switch_text WHERE chunk_id = ANY(%s::bigint[])",
                [list(chunk_ids)],
            )

    def count_terms(self, cursor: Any, wanted: Sequence[str]) -> dict[str, int]:
        quoted = [f"'{term}'" for term in wanted]
        cursor.execute(COUNT, [quoted])
        counts = dict(cursor.fetchall())
        return {term: counts[word] for term, word in zip(wanted, quoted, strict=True)}

    def statement(
        self, wanted: Sequence[str], space_id: int, limit: int, scope: Scope
    ) -> tuple[str, dict[str, Any]]:
        conditions = ""
        query = " | ".join(f"'{term}'" for term in wanted)
        parameters: dict[str, Any] = {"query": query, "space": space_id, "limit": limit}
        if scope.site_id is not None:
            conditions += "AND (site_id IS NULL OR site_id = %(site)s)\n"
            parameters["site"] = scope.site_id
        if scope.locale_ids is not None:
            conditions += "AND (locale_id IS NULL OR locale_id = ANY(%(locales)s::integer[]))\n"
            parameters["locales"] = list(scope.locale_ids)
        if not scope.include_restricted:
            conditions += "AND NOT is_restricted\n"
        return SEARCH.format(conditions=conditions), parameters


def _tsvector(title: Sequence[str], text: Sequence[str]) -> str:
    """The terms with their positions, as PostgreSQL reads a ``tsvector``. They have no quotes."""
    positions: dict[str, list[str]] = {}
    for weight, found, start in (("A", title, 1), ("B", text, len(title) + 1)):
        for position, term in enumerate(found, start):
            places = positions.setdefault(term, [])
            if len(places) < MOST_POSITIONS:
                places.append(f"{min(position, LAST_POSITION)}{weight}")
    return " ".join(f"'{term}':{','.join(places)}" for term, places in positions.items())
