"""Full-text ranking of the index."""

from __future__ import annotations

from django.db import connections

from .base import TextRanking
from .postgres import PostgresTextRanking
from .sqlite import SQLiteTextRanking, has_table

__all__ = ["TextRanking", "get_text_ranking", "is_available"]


def is_available(using: str = "default") -> bool:
    """Whether this database supports full-text ranking: PostgreSQL, and SQLite with FTS5.

    ``migrate`` creates the table. After a move to an SQLite with FTS5, run ``migrate
    finetune_switch 0001`` and ``migrate``.
    """
    vendor = connections[using].vendor
    return vendor == "postgresql" or (vendor == "sqlite" and has_table(using))


def get_text_ranking(using: str = "default") -> TextRanking:
    if not is_available(using):
        return TextRanking(using)
    if connections[using].vendor == "postgresql":
        return PostgresTextRanking(using)
    return SQLiteTextRanking(using)
