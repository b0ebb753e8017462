"""PostgreSQL's extension ``vector`` (pgvector): whether it is there, and what we ask of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections, transaction

SETTING = 'FINETUNE_SWITCH["INDEX"]["STORE_OPTIONS"]'
ITERATIVE_SCANS = ("strict_order", "relaxed_order", "off")

STORE_OPTIONS: Mapping[str, str] = {
    "M": "links of each vector in the HNSW index, 2 to 100",
    "EF_CONSTRUCTION": "candidates looked at for each vector when it is built, 4 to 1000",
    "EF_SEARCH": "candidates looked at in a search, 1 to 1000",
    "ITERATIVE_SCAN": "how a filtered search goes on: " + ", ".join(ITERATIVE_SCANS),
}
_RANGES = {"M": (2, 100), "EF_CONSTRUCTION": (4, 1000), "EF_SEARCH": (1, 1000)}

HNSW_VERSION = (0, 5)
HALFVEC_VERSION = (0, 7)
ITERATIVE_SCAN_VERSION = (0, 8)

# Superusers may create it, and where it is "trusted" whoever may create schemas in the database.
_LOOKUP = """
SELECT
    (SELECT extversion FROM pg_extension WHERE extname = 'vector'),
    (SELECT bool_or(NOT superuser OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
                    OR (trusted AND has_database_privilege(current_database(), 'CREATE')))
     FROM pg_available_extension_versions WHERE name = 'vector')
"""


@dataclass(frozen=True)
class Options:
    """The store's options, with their defaults."""

    m: int = 16
    ef_construction: int = 64
    ef_search: int = 100
    iterative_scan: str = "relaxed_order"

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> Options:
        """Raises ``ImproperlyConfigured``, with a sentence for each that is wrong."""
        if wrong := validate_options(options):
            raise ImproperlyConfigured(" ".join(wrong))
        return cls(**{name.lower(): value for name, value in options.items()})


def validate_options(options: Mapping[str, Any]) -> list[str]:
    """A sentence for each option that is unknown or out of range."""
    wrong = [
        f'{SETTING} has no option "{name}"; the pgvector store knows {", ".join(STORE_OPTIONS)}.'
        for name in options
        if name not in STORE_OPTIONS
    ]
    for name, (least, most) in _RANGES.items():
        value = options.get(name, least)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            wrong.append(
                f'{SETTING}["{name}"] must be a whole number from {least} to {most}, not {value!r}.'
            )
    if options.get("ITERATIVE_SCAN", "off") not in ITERATIVE_SCANS:
        wrong.append(
            f'{SETTING}["ITERATIVE_SCAN"] must be one of {", ".join(ITERATIVE_SCANS)}, '
            f"not {options['ITERATIVE_SCAN']!r}."
        )
    m, ef = options.get("M", Options.m), options.get("EF_CONSTRUCTION", Options.ef_construction)
    if not wrong and ef < 2 * m:
        wrong.append(f'{SETTING}["EF_CONSTRUCTION"] must be at least twice M: {2 * m}, not {ef}.')
    return wrong


@dataclass(frozen=True)
class _Extension:
    version: tuple[int, ...] | None
    can_be_created: bool


# A process asks each database once; an extension that is installed later is found by `prepare()`,
# and by processes that start after it.
_known: dict[str, _Extension] = {}


def is_supported(using: str = "default") -> bool:
    """Whether this database can keep vectors: PostgreSQL, with pgvector or the right to create it.

    One query for each process.
    """
    if connections[using].vendor != "postgresql":
        return False
    found = _known.get(using) or _look_up(using)
    return found.version is not None or found.can_be_created


def version(using: str) -> tuple[int, ...]:
    """The version of the extension that is installed; ``(0,)`` where none is (yet)."""
    found = _known.get(using)
    if found is None or found.version is None:
        found = _look_up(using)
    return found.version or (0,)


def ensure_extension(using: str) -> None:
    """Install the extension where it is missing. Raises ``ImproperlyConfigured`` with a remedy."""
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
