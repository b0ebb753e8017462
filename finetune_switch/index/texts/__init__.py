"""The full-text ranking of the index: which chunks share words with a question."""

from __future__ import annotations

from django.db import connections

from .base import NoTextRanking, TextRanking
from .postgres import PostgresTextRanking
from .sqlite import SQLiteTextRanking, has_table

__all__ = ["NoTextRanking", "TextRanking", "get_text_ranking", "is_available"]


def is_available(using: str = "default") -> bool:
    """Whether this database can rank by words: PostgreSQL, and SQLite where it has FTS5.

    The table is made by ``migrate``. After a move to an SQLite with FTS5, ``migrate finetune_switch
    0001`` and ``migrate`` make it.
    """
    vendor = connections[using].vendor
    return vendor == "postgresql" or (vendor == "sqlite" and has_table(using))


def get_text_ranking(using: str = "default") -> TextRanking:
    """The ranking of this database, or one that finds nothing where it has none."""
    if not is_available(using):
        return NoTextRanking()
    if connections[using].vendor == "postgresql":
        return PostgresTextRanking(using)
    return SQLiteTextRanking(using)
