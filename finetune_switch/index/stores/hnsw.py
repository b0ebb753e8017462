"""Building and dropping an HNSW index in PostgreSQL.

PostgreSQL takes no parameters here. SQL is formatted only with the names of our tables and indexes
and with two numbers, which are constants of the store.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import OperationalError, connections, transaction

logger = logging.getLogger("finetune_switch.index")

# A build that needs more memory than it gets is far slower, and PostgreSQL's default is 64 MB.
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
    """An HNSW index. If it is neither valid nor being built, its build was interrupted."""

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
    """Build the index unless it exists, then drop other HNSW indexes of the table.

    Returns whether it exists now: ``False`` while another process builds it. The numbers are part
    of its name, so an index with other numbers is used until the new one is built.
    """
    name = f"{table}_hnsw_{m}_{ef_construction}"
    known = {index.name: index for index in indexes(using, table)}
    if name in known and known[name].is_being_built:
        return False
    if name in known and not known[name].is_valid:
        _drop(using, name)
    if name not in known or not known[name].is_valid:
        how = _how(using) if concurrently else ""
        statement = (
            f"CREATE INDEX {how} IF NOT EXISTS {name} ON {table} "
            f"USING hnsw (vector {operators}) WITH (m = {m}, ef_construction = {ef_construction})"
        )
        settings = {"maintenance_work_mem": _memory(using, table, bytes_each, m)}
        try:
            _build(using, statement, settings)
        except OperationalError:
            # Parallel workers share memory through /dev/shm, which is 64 MB in a container.
            if not connections[using].is_usable():
                raise
            logger.warning("Building %s again, without parallel workers.", name, exc_info=True)
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
    """Set parameters for the rest of the transaction, or outside of one for the block."""
    connection = connections[using]
    is_local = connection.in_atomic_block or not connection.get_autocommit()

    def make() -> None:
        with connection.cursor() as cursor:
            for name, value in settings.items():
                cursor.execute("SELECT set_config(%s, %s, %s)", [name, value, is_local])

    if is_local:
        # In a savepoint, a build that fails can be tried again.
        with transaction.atomic(using):
            make()
            yield
        return
    try:
        make()
        yield
    finally:
        if connection.is_usable():
            with connection.cursor() as cursor:
                for name in settings:
                    cursor.execute(f"RESET {name}")


def _memory(using: str, table: str, bytes_each: int, m: int) -> str:
    """Memory for the graph, a little above what was measured; at least the server's setting."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"SELECT count(*), (SELECT setting::bigint FROM pg_settings "  # noqa: S608
            f"WHERE name = 'maintenance_work_mem') FROM {table}"
        )
        rows, given = cursor.fetchone()
    needed = int(rows * (bytes_each + 64 * m + 256) * 1.2 / 1024)
    return f"{max(given, min(needed, MOST_MEMORY_KB))}kB"


def _drop(using: str, name: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(f"DROP INDEX {_how(using)} IF EXISTS {name}")


def _how(using: str) -> str:
    """``CONCURRENTLY`` is impossible in a transaction."""
    connection = connections[using]
    return "" if connection.in_atomic_block or not connection.get_autocommit() else "CONCURRENTLY"
