"""Full-text ranking on PostgreSQL: a table with the ``tsvector`` of each chunk and a GIN index.

The table also has the columns that a search filters by: chunk rows are wide, because of their
vectors. A trigger, created by the migration, deletes the rows of deleted chunks.

SQL is formatted only with constants; every value is a parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connections
from wagtail.models import Locale

from finetune_switch.index.stores.base import Scope
from finetune_switch.text.words import content_tokens, language_name

from .base import (
    CANDIDATES,
    TEXT_CHARACTERS,
    TITLE_CHARACTERS,
    TITLE_WEIGHT,
    DatabaseTextRanking,
)

# The lock blocks concurrent deletion of these chunks, like a foreign key.
ADD = f"""
INSERT INTO finetune_switch_text (chunk_id, space_id, site_id, locale_id, is_restricted, words)
SELECT chunk.id, chunk.space_id, document.site_id, document.locale_id, document.is_restricted,
    setweight(
        to_tsvector(coalesce(known.configuration, %(default)s)::regconfig,
                    left(document.title, {TITLE_CHARACTERS})), 'A')
    || setweight(
        to_tsvector(coalesce(known.configuration, %(default)s)::regconfig,
                    left(chunk.text, {TEXT_CHARACTERS})), 'B')
FROM finetune_switch_chunk AS chunk
JOIN finetune_switch_document AS document ON document.id = chunk.document_id
LEFT JOIN unnest(%(locales)s::integer[], %(configurations)s::text[])
    AS known (locale_id, configuration) ON known.locale_id = document.locale_id
WHERE chunk.id = ANY(%(chunks)s::bigint[])
ORDER BY chunk.id
FOR KEY SHARE OF chunk
ON CONFLICT (chunk_id) DO UPDATE SET
    space_id = excluded.space_id, site_id = excluded.site_id, locale_id = excluded.locale_id,
    is_restricted = excluded.is_restricted, words = excluded.words
"""  # noqa: S608

# PostgreSQL parses the question in the same way as the texts.
READ = """
SELECT plainto_tsquery(configuration::regconfig, %s)::text
FROM unnest(%s::text[]) AS configuration
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
    """Ranks by ``ts_rank``, with the title weighted above the text."""

    tokenize = staticmethod(content_tokens)

    def add(self, chunk_ids: Sequence[int]) -> None:
        configurations = self._get_configurations()
        locales = {
            pk: _configuration(code, configurations)
            for pk, code in Locale.objects.using(self.using).values_list("pk", "language_code")
        }
        parameters: dict[str, Any] = {
            "chunks": list(chunk_ids),
            "locales": list(locales),
            "configurations": list(locales.values()),
            "default": _configuration("", configurations),
        }
        with connections[self.using].cursor() as cursor:
            cursor.execute(ADD, parameters)

    def remove(self, chunk_ids: Sequence[int]) -> None:
        with connections[self.using].cursor() as cursor:
            cursor.execute(
                "DELETE FROM finetune_switch_text WHERE chunk_id = ANY(%s::bigint[])",
                [list(chunk_ids)],
            )

    def count_terms(
        self, cursor: Any, tokens: Sequence[str], codes: Sequence[str]
    ) -> dict[str, int]:
        known = self._get_configurations()
        configurations = dict.fromkeys(_configuration(code, known) for code in codes)
        cursor.execute(READ, [" ".join(tokens), list(configurations)])
        terms = dict.fromkeys(
            term for (query,) in cursor.fetchall() for term in query.split(" & ") if term
        )
        cursor.execute(COUNT, [list(terms)])
        return dict(cursor.fetchall())

    def statement(
        self, terms: Sequence[str], space_id: int, limit: int, scope: Scope
    ) -> tuple[str, dict[str, Any]]:
        conditions = ""
        parameters: dict[str, Any] = {"query": " | ".join(terms), "space": space_id, "limit": limit}
        if scope.site_id is not None:
            conditions += "AND (site_id IS NULL OR site_id = %(site)s)\n"
            parameters["site"] = scope.site_id
        if scope.locale_ids is not None:
            conditions += "AND (locale_id IS NULL OR locale_id = ANY(%(locales)s::integer[]))\n"
            parameters["locales"] = list(scope.locale_ids)
        if not scope.include_restricted:
            conditions += "AND NOT is_restricted\n"
        return SEARCH.format(conditions=conditions), parameters

    def _get_configurations(self) -> frozenset[str]:
        """The text search configurations of the server. One query for each process."""
        if self.using not in _known:
            with connections[self.using].cursor() as cursor:
                cursor.execute(
                    "SELECT cfgname FROM pg_ts_config WHERE pg_ts_config_is_visible(oid)"
                )
                _known[self.using] = frozenset(name for (name,) in cursor.fetchall())
        return _known[self.using]


_known: dict[str, frozenset[str]] = {}


def _configuration(code: str, configurations: frozenset[str]) -> str:
    name = language_name(code)
    return name if name in configurations else "simple"
