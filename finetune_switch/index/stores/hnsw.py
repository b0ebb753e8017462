"""Creating and dropping HNSW indexes in PostgreSQL.

``CREATE INDEX`` takes no query parameters. SQL is formatted only with constants and with names of
tables and indexes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import OperationalError, connections, transaction

logger = logging.getLogger("finetune_switch.index")

# Building is far slower with too little memory. PostgreSQL's default is 64 MB.
MOST_MEMORY_KB = 1024 * 1024

_INDEXES = """
SELECT c.relname, i.indisvalid,
    EXISTS (SELECT 1 FROM pg_stat_progress_create_index AS p WHERE p.index_relid = c.oid)
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_am AS a ON a.oid = c.relam AND a.amname = 'hnsw'
WHERE i.indrelid = to_regclass(%s)
ORDER BY c.relname
"""


@dataclass(frozen=True)
class HnswIndex:
    """An HNSW index. Its build was interrupted if it is neither valid nor being built."""

    name: str
    is_valid: bool
    is_being_built: bool


def indexes(using: str, table: str) -> list[HnswIndex]:
    with connections[using].cursor() as cursor:
        cursor.execute(_INDEXES, [table])
        return [HnswIndex(*row) for row in cursor.fetchall()]


def create(
    using: str,
    table: str,
    *,
    operators: str,
    bytes_each: int,
    m: int,
    ef_construction: int,
    concurrently: bool,
) -> bool:
    """Create the index unless it exists, then drop other HNSW indexes of the table.

    Returns whether it exists now: ``False`` while another process creates it. ``m`` and
    ``ef_construction`` are part of the name, so the old index is used until the new one is ready.
    """
    name = f"{table}_hnsw_{m}_{ef_construction}"
    known = {index.name: index for index in indexes(using, table)}
    if name in known and known[name].is_being_built:
        return False
    if name in known and not known[name].is_valid:
        _drop(using, name)
    if name not in known or not known[name].is_valid:
        option = _concurrently(using) if concurrently else ""
        statement = (
            f"CREATE INDEX {option} IF NOT EXISTS {name} ON {table} "
            f"USING hnsw (vector {operators}) WITH (m = {m}, ef_construction = {ef_construction})"
        )
        settings = {"maintenance_work_mem": _memory(using, table, bytes_each, m)}
        try:
            _build(using, statement, settings)
        except OperationalError:
            # Parallel workers share memory in /dev/shm, which has 64 MB in a Docker container.
            if not connections[using].is_usable():
                raise
            logger.warning("Creating %s again, without parallel workers.", name, exc_info=True)
            _drop(using, name)
            _build(using, statement, {**settings, "max_parallel_maintenance_workers": "0"})
    for index in known.values():
        if index.name != name:
            _drop(using, index.name)
    with connections[using].cursor() as cursor:
        cursor.execute(f"ANALYZE {table}")
    return True


def drop(using: str, table: str) -> None:
    for index in indexes(using, table):
        _drop(using, index.name)


def _build(using: str, statement: str, settings: Mapping[str, str]) -> None:
    settings = {**settings, "statement_timeout": "0"}
    with _settings(using, settings), connections[using].cursor() as cursor:
        cursor.execute(statement)


@contextmanager
def _settings(using: str, settings: Mapping[str, str]) -> Iterator[None]:
    """Set parameters for the transaction, or for the block if there is no transaction."""
    connection = connections[using]
    is_local = connection.in_atomic_block or not connection.get_autocommit()

    def apply() -> None:
        with connection.cursor() as cursor:
            for name, value in settings.items():
                cursor.execute("SELECT set_config(%s, %s, %s)", [name, value, is_local])

    if is_local:
        # The savepoint allows a second attempt.
        with transaction.atomic(using):
            apply()
            yield
        return
    try:
        apply()
        yield
    finally:
        if connection.is_usable():
            with connection.cursor() as cursor:
                for name in settings:
                    cursor.execute(f"RESET {name}")


def _memory(using: str, table: str, bytes_each: int, m: int) -> str:
    """Memory for the graph: 20% above measurements, and at least the server's setting."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"SELECT count(*), (SELECT setting::bigint FROM pg_settings "  # noqa: S608
            f"WHERE name = 'maintenance_work_mem') FROM {table}"
        )
        rows, configured = cursor.fetchone()
    needed = int(rows * (bytes_each + 64 * m + 256) * 1.2 / 1024)
    return f"{max(configured, min(needed, MOST_MEMORY_KB))}kB"


def _drop(using: str, name: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(f"DROP INDEX {_concurrently(using)} IF EXISTS {name}")


def _concurrently(using: str) -> str:
    # PostgreSQL does not allow it in a transaction.
    connection = connections[using]
    return "" if connection.in_atomic_block or not connection.get_autocommit() else "CONCURRENTLY"
