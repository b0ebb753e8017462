"""The PostgreSQL extension ``vector`` (pgvector)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections, transaction

HNSW_VERSION = (0, 5)
HALFVEC_VERSION = (0, 7)
ITERATIVE_SCAN_VERSION = (0, 8)

# Superusers may create the extension. If it is "trusted", so may users with the CREATE privilege.
_LOOKUP = """
SELECT
    (SELECT extversion FROM pg_extension WHERE extname = 'vector'),
    (SELECT bool_or(NOT superuser OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
                    OR (trusted AND has_database_privilege(current_database(), 'CREATE')))
     FROM pg_available_extension_versions WHERE name = 'vector')
"""


@dataclass(frozen=True)
class _Extension:
    version: tuple[int, ...] | None
    can_be_created: bool


# Cached for each process. prepare() and new processes notice a later installation.
_known: dict[str, _Extension] = {}


def missing_packages() -> list[str]:
    """The packages of the extra ``postgres`` that are not installed."""
    return [name for name in ("psycopg", "pgvector") if find_spec(name) is None]


def is_supported(using: str = "default") -> bool:
    """Whether this database is a PostgreSQL with pgvector, or with the right to install it.

    The packages of the extra ``postgres`` are required as well. One query for each process.
    """
    if connections[using].vendor != "postgresql" or missing_packages():
        return False
    found = _known.get(using) or _look_up(using)
    return found.version is not None or found.can_be_created


def version(using: str) -> tuple[int, ...]:
    """The installed version of the extension; ``(0,)`` without it."""
    found = _known.get(using)
    if found is None or found.version is None:
        found = _look_up(using)
    return found.version or (0,)


def ensure_extension(using: str) -> None:
    """Install the extension if it is missing. Raises ``ImproperlyConfigured`` with a remedy."""
    if connections[using].vendor != "postgresql":
        raise ImproperlyConfigured(
            f'The pgvector store needs PostgreSQL, and the database "{using}" is another one. '
            'Choose the "memory" store, or set DATABASE_URL to a PostgreSQL with pgvector.'
        )
    if version(using) == (0,):
        try:
            with transaction.atomic(using), connections[using].cursor() as cursor:
                cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
        except DatabaseError as error:
            raise ImproperlyConfigured(
                f'The database "{using}" has no extension "vector", and it could not be created. '
                "Install pgvector on the database server, and have an administrator run "
                '"CREATE EXTENSION vector;" in this database; or choose the "memory" store.'
            ) from error
        finally:
            _known.pop(using, None)
    if version(using) < HNSW_VERSION:
        raise ImproperlyConfigured(
            f'The extension "vector" of the database "{using}" is too old: HNSW came with 0.5. '
            'Upgrade pgvector, and run "ALTER EXTENSION vector UPDATE;".'
        )


def _look_up(using: str) -> _Extension:
    with connections[using].cursor() as cursor:
        cursor.execute(_LOOKUP)
        installed, can_be_created = cursor.fetchone()
    numbers = tuple(int(number) for number in re.findall(r"\d+", installed)) if installed else None
    _known[using] = _Extension(numbers, bool(can_be_created))
    return _known[using]
