"""Approximate search in PostgreSQL with pgvector's HNSW index.

Each embedding space has its own table, since an index needs vectors of one dimension. The tables
have no foreign key to the chunks: Django's ``flush`` truncates all tables of models in one
statement, and PostgreSQL rejects that if another table refers to them. Searches skip rows without a
chunk instead.

SQL is formatted only with constants and names of tables and types; every value is a parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from django.db import ProgrammingError, connections, transaction
from django.utils.translation import gettext as _
from pgvector import HalfVector, Vector
from psycopg.errors import UndefinedObject, UndefinedTable

from finetune_switch.exceptions import BackendError
from finetune_switch.models import Chunk, Document, EmbeddingSpace

from . import hnsw
from .base import Found, Scope, VectorStore
from .base import Vector as Numbers
from .extension import HALFVEC_VERSION, ITERATIVE_SCAN_VERSION, ensure_extension, version

# pgvector's limits for HNSW on "vector" and "halfvec", and for ef_search.
MOST_VECTOR_DIMENSIONS = 2_000
MOST_INDEXED_DIMENSIONS = 4_000
MOST_EF_SEARCH = 1_000
M, EF_CONSTRUCTION = 16, 64
EF_SEARCH, ITERATIVE_SCAN = 100, "relaxed_order"

BATCH = 1_000
EVERYWHERE = -1

CHUNK = Chunk._meta.db_table
DOCUMENT = Document._meta.db_table

CREATE = f"""
DROP TABLE IF EXISTS {{table}};
CREATE TABLE {{table}} (
    chunk_id bigint PRIMARY KEY,
    site_id integer NOT NULL,
    locale_id integer NOT NULL,
    is_restricted boolean NOT NULL,
    vector {{type}} NOT NULL
);
CREATE INDEX {{table}}_scope ON {{table}} (site_id, locale_id);
COMMENT ON COLUMN {{table}}.site_id IS '{EVERYWHERE}: every site';
COMMENT ON COLUMN {{table}}.locale_id IS '{EVERYWHERE}: every locale';
"""

# set_config() within the statement saves a round trip. Outside of a transaction, the settings end
# with the statement. The inner query refers to them, so they are set before the index is opened.
SEARCH = """
SELECT found.chunk_id, found.distance
FROM (SELECT {settings} AS made OFFSET 0) AS settings
CROSS JOIN LATERAL (
    SELECT v.chunk_id, v.vector <=> %(vector)s::{type} AS distance
    FROM {table} AS v
    WHERE settings.made IS NOT NULL AND {condition}
    ORDER BY distance LIMIT %(limit)s
) AS found
"""

# OFFSET 0 prevents the use of the index for ORDER BY.
SEARCH_EXACTLY = """
SELECT every.chunk_id, every.distance
FROM (
    SELECT v.chunk_id, v.vector <=> %(vector)s::{type} AS distance
    FROM {table} AS v WHERE {condition} OFFSET 0
) AS every
ORDER BY every.distance LIMIT %(limit)s
"""

# A scalar subquery stays a filter on the index scan. EXISTS may become a join and a sort.
HAS_CHUNK = f"(SELECT true FROM {CHUNK} AS c WHERE c.id = v.chunk_id AND c.space_id = %(space)s)"  # noqa: S608
HAS_CHUNK_JOINED = f"EXISTS {HAS_CHUNK}"

SCOPE = f"coalesce(d.site_id, {EVERYWHERE}), coalesce(d.locale_id, {EVERYWHERE}), d.is_restricted"

READ = f"""
SELECT c.id, c.vector, {SCOPE}, v.chunk_id IS NOT NULL
FROM {CHUNK} AS c JOIN {DOCUMENT} AS d ON d.id = c.document_id
LEFT JOIN {{table}} AS v ON v.chunk_id = c.id
WHERE c.id = ANY(%(ids)s::bigint[]) AND c.space_id = %(space)s AND c.vector <> ''
ORDER BY c.id
"""  # noqa: S608

UPDATE = f"""
UPDATE {{table}} AS v
SET (site_id, locale_id, is_restricted, vector) = ROW({SCOPE}, n.vector::{{type}})
FROM unnest(%(ids)s::bigint[], %(vectors)s::text[]) AS n (id, vector)
JOIN {CHUNK} AS c ON c.id = n.id JOIN {DOCUMENT} AS d ON d.id = c.document_id
WHERE v.chunk_id = c.id AND (v.site_id, v.locale_id, v.is_restricted, v.vector)
    IS DISTINCT FROM ({SCOPE}, n.vector::{{type}})
"""  # noqa: S608

UPDATE_SCOPES = f"""
UPDATE {{table}} AS v SET (site_id, locale_id, is_restricted) = ROW({SCOPE})
FROM {CHUNK} AS c JOIN {DOCUMENT} AS d ON d.id = c.document_id
WHERE v.chunk_id = c.id AND (v.site_id, v.locale_id, v.is_restricted) IS DISTINCT FROM ({SCOPE})
"""  # noqa: S608

DELETE_GONE = f"DELETE FROM {{table}} AS v WHERE NOT {HAS_CHUNK_JOINED}"  # noqa: S608

MISSING = f"""
SELECT c.id FROM {CHUNK} AS c LEFT JOIN {{table}} AS v ON v.chunk_id = c.id
WHERE c.space_id = %(space)s AND c.vector <> '' AND v.chunk_id IS NULL ORDER BY c.id
"""  # noqa: S608

COLUMN_TYPE = """
SELECT format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = to_regclass(%s) AND attname = 'vector' AND NOT attisdropped
"""

# chunk id, vector, site id, locale id, is restricted, is in the table
Row = tuple[int, bytes, int, int, bool, bool]


class PgvectorStore(VectorStore):
    """Searches a table of vectors for each embedding space.

    Without an HNSW index, and above 4,000 dimensions, a search is exact and reads every vector.
    Async callers run it in a thread (``database.in_database_thread``).
    """

    def __init__(self, using: str = "default") -> None:
        self.using = using

    def search(
        self, space: EmbeddingSpace, vector: Numbers, *, limit: int, scope: Scope
    ) -> list[Found]:
        """Raises :class:`~finetune_switch.exceptions.BackendError` for an unprepared space."""
        if limit < 1:
            return []
        rows = self._fetch(self.query(space, vector, limit=limit, scope=scope))
        if len(rows) < limit and has_indexed_type(space):
            # The index may have missed some: only an exact search can tell.
            rows = self._fetch(self.query(space, vector, limit=limit, scope=scope, exact=True))
        found = [Found(chunk_id, 1.0 - distance) for chunk_id, distance in rows]
        return sorted(found, key=lambda one: (-one.score, one.chunk_id))

    def query(
        self,
        space: EmbeddingSpace,
        vector: Numbers,
        *,
        limit: int,
        scope: Scope,
        exact: bool = False,
    ) -> tuple[str, dict[str, Any]]:
        """The SQL of a search and its parameters: for ``EXPLAIN``, tests and benchmarks."""
        if np.shape(vector) != (space.dimensions,):
            raise ValueError(
                f"The vector has shape {np.shape(vector)}; the space has {space.dimensions} "
                "dimensions."
            )
        exact = exact or not has_indexed_type(space)
        parameters = {"vector": Vector(vector).to_text(), "limit": limit, "space": space.pk}
        conditions = [HAS_CHUNK_JOINED if exact else HAS_CHUNK]
        if scope.site_id is not None:
            conditions.append("v.site_id = ANY(%(sites)s::integer[])")
            parameters["sites"] = [scope.site_id, EVERYWHERE]
        if scope.locale_ids is not None:
            conditions.append("v.locale_id = ANY(%(locales)s::integer[])")
            parameters["locales"] = [*scope.locale_ids, EVERYWHERE]
        if not scope.include_restricted:
            conditions.append("NOT v.is_restricted")
        settings = []
        if not exact:
            settings = self._settings(limit, is_filtered=len(conditions) > 1)
            parameters.update(settings)
        sql = (SEARCH_EXACTLY if exact else SEARCH).format(
            table=table_name(space),
            type=column_type(space),
            condition=" AND ".join(conditions),
            settings=" || ".join(
                f"set_config('hnsw.{n}', %({n})s, true)" for n, _value in settings
            ),
        )
        return sql, parameters

    def prepare(self, space: EmbeddingSpace) -> None:
        """Create the table of the space with all chunks. Safe to repeat.

        An existing table is synchronised with the chunks: another store may have been in use.
        Raises ``ImproperlyConfigured`` without pgvector.
        """
        ensure_extension(self.using)
        if is_half(space) and version(self.using) < HALFVEC_VERSION:
            raise BackendError(
                _("The site's pages could not be indexed."),
                code="index_not_ready",
                remedy=_(
                    "Vectors of %(dimensions)s numbers need pgvector 0.7 or newer. Upgrade it, and "
                    "run “ALTER EXTENSION vector UPDATE;”."
                )
                % {"dimensions": space.dimensions},
            )
        table = table_name(space)
        names = {"table": table, "type": column_type(space)}
        parameters = {"space": space.pk}
        with transaction.atomic(self.using), self._cursor() as cursor:
            # Concurrent CREATE TABLE statements would violate a unique index of the catalogue.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [table])
            cursor.execute(COLUMN_TYPE, [table])
            if cursor.fetchone() != (column_type(space),):
                cursor.execute(CREATE.format(**names))
            else:
                cursor.execute(DELETE_GONE.format(**names), parameters)
                cursor.execute(UPDATE_SCOPES.format(**names))
            cursor.execute(MISSING.format(**names), parameters)
            self._write(cursor, space, [chunk_id for (chunk_id,) in cursor.fetchall()])

    def add(self, space: EmbeddingSpace, chunk_ids: Sequence[int]) -> None:
        if not chunk_ids:
            return
        if not self._has_table(space):
            self.prepare(space)
            return
        with transaction.atomic(self.using), self._cursor() as cursor:
            self._write(cursor, space, chunk_ids)

    def remove(self, space: EmbeddingSpace, chunk_ids: Sequence[int]) -> None:
        if chunk_ids and self._has_table(space):
            with self._cursor() as cursor:
                cursor.execute(
                    f"DELETE FROM {table_name(space)} WHERE chunk_id = ANY(%s::bigint[])",  # noqa: S608
                    [list(chunk_ids)],
                )

    def drop(self, space: EmbeddingSpace) -> None:
        if connections[self.using].vendor == "postgresql":
            with self._cursor() as cursor:
                cursor.execute(f"DROP TABLE IF EXISTS {table_name(space)}")

    def finish(self, space: EmbeddingSpace) -> None:
        """Create the HNSW index unless there is one. Searches continue meanwhile."""
        if not self.has_index(space):
            self.create_index(space, concurrently=True)

    def create_index(self, space: EmbeddingSpace, *, concurrently: bool) -> bool:
        """Create the HNSW index unless it exists. Returns whether it exists now.

        There is none above 4,000 dimensions, or while another process creates it. ``concurrently``
        allows writes meanwhile; it is ignored in a transaction.
        """
        if not has_indexed_type(space):
            return False
        if not self._has_table(space):
            self.prepare(space)
        return hnsw.create(
            self.using,
            table_name(space),
            operators="halfvec_cosine_ops" if is_half(space) else "vector_cosine_ops",
            bytes_each=space.dimensions * (2 if is_half(space) else 4),
            m=M,
            ef_construction=EF_CONSTRUCTION,
            concurrently=concurrently,
        )

    def drop_index(self, space: EmbeddingSpace) -> None:
        """Drop the HNSW index. Searches are exact then."""
        hnsw.drop(self.using, table_name(space))

    def has_index(self, space: EmbeddingSpace) -> bool:
        """Whether the space has a valid HNSW index."""
        return any(index.is_valid for index in hnsw.indexes(self.using, table_name(space)))

    def _settings(self, limit: int, *, is_filtered: bool) -> list[tuple[str, str]]:
        ef_search = min(max(EF_SEARCH, limit), MOST_EF_SEARCH)
        if version(self.using) >= ITERATIVE_SCAN_VERSION:
            return [("ef_search", str(ef_search)), ("iterative_scan", ITERATIVE_SCAN)]
        # Without iterative scans, a filter may leave fewer results than the limit.
        return [("ef_search", str(MOST_EF_SEARCH if is_filtered else ef_search))]

    def _fetch(self, query: tuple[str, dict[str, Any]]) -> list[tuple[int, float]]:
        try:
            with self._cursor() as cursor:
                cursor.execute(*query)
                return cursor.fetchall()
        except ProgrammingError as error:
            if not isinstance(error.__cause__, UndefinedTable | UndefinedObject):
                raise
            raise BackendError(
                _("The site's pages could not be searched."),
                code="index_not_ready",
                remedy=_(
                    "The vectors are not in PostgreSQL yet. Run “manage.py finetune_switch index”."
                ),
            ) from error

    def _write(self, cursor: Any, space: EmbeddingSpace, chunk_ids: Sequence[int]) -> None:
        names = {"table": table_name(space), "type": column_type(space)}
        for start in range(0, len(chunk_ids), BATCH):
            ids = list(chunk_ids[start : start + BATCH])
            cursor.execute(READ.format(**names), {"ids": ids, "space": space.pk})
            rows = cursor.fetchall()
            if fresh := [row for row in rows if not row[-1]]:
                self._copy(cursor, space, fresh)
            if known := [row for row in rows if row[-1]]:
                vectors = [Vector(vector).to_text() for vector in _vectors(known, space.dimensions)]
                values = {"ids": [row[0] for row in known], "vectors": vectors}
                cursor.execute(UPDATE.format(**names), values)

    def _copy(self, cursor: Any, space: EmbeddingSpace, rows: Sequence[Row]) -> None:
        statement = (
            f"COPY {table_name(space)} (chunk_id, site_id, locale_id, is_restricted, vector) "
            "FROM STDIN (FORMAT BINARY)"
        )
        vectors = _vectors(rows, space.dimensions)
        make = HalfVector if is_half(space) else Vector
        with connections[self.using].wrap_database_errors, cursor.copy(statement) as copy:
            # Vectors are sent in pgvector's binary format.
            copy.set_types(["int8", "int4", "int4", "bool", "bytea"])
            for (chunk_id, _stored, *scope, _known), vector in zip(rows, vectors, strict=True):
                copy.write_row([chunk_id, *scope, make(vector).to_binary()])

    def _has_table(self, space: EmbeddingSpace) -> bool:
        with self._cursor() as cursor:
            cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [table_name(space)])
            return cursor.fetchone()[0]

    def _cursor(self) -> Any:
        return connections[self.using].cursor()


def table_name(space: EmbeddingSpace) -> str:
    return f"finetune_switch_vectors_{int(space.pk)}"


def column_type(space: EmbeddingSpace) -> str:
    return f"{'halfvec' if is_half(space) else 'vector'}({int(space.dimensions)})"


def is_half(space: EmbeddingSpace) -> bool:
    """Whether vectors are stored in half precision, because pgvector could not index others."""
    return MOST_VECTOR_DIMENSIONS < space.dimensions <= MOST_INDEXED_DIMENSIONS


def has_indexed_type(space: EmbeddingSpace) -> bool:
    return space.dimensions <= MOST_INDEXED_DIMENSIONS


def _vectors(rows: Sequence[Row], dimensions: int) -> Numbers:
    for chunk_id, stored, *_scope in rows:
        if len(stored) != 4 * dimensions:
            raise ValueError(f"Chunk {chunk_id} has {len(stored) / 4} numbers, not {dimensions}.")
    return np.frombuffer(b"".join(row[1] for row in rows), "<f4").reshape(-1, dimensions)
