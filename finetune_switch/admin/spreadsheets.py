"""Spreadsheets that no cell of theirs can harm, whatever a visitor or a model has written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from django.utils.translation import get_language, override
from wagtail.admin.views.mixins import SpreadsheetExportMixin

# What spreadsheets take for the beginning of a formula, or skip before one.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
# What a cell of an XLSX file cannot hold.
ILLEGAL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
LONGEST_CELL = 32_767


class SafeSpreadsheetMixin(SpreadsheetExportMixin):
    """Wagtail's export, of rows that are dictionaries by the names in ``list_export``.

    Wagtail itself makes formulas harmless in XLSX files, and not in CSV files.
    """

    def preprocess_field_value(self, field: str, value: Any, export_format: str) -> Any:
        value = super().preprocess_field_value(field, value, export_format)
        if not isinstance(value, str):
            return value
        if export_format == self.FORMAT_CSV:
            return f"'{value}" if value.startswith(FORMULA) else value
        value = ILLEGAL.sub("", value)
        return value if len(value) <= LONGEST_CELL else f"{value[: LONGEST_CELL - 1]}…"

    def to_row_dict(self, item: dict[str, Any]) -> dict[str, Any]:
        return {name: item.get(name) for name in self.list_export}

    def stream_csv(self, queryset: Iterable[dict[str, Any]]) -> Iterator[bytes]:
        # Lines are made while they are sent, when the request's language is no longer in force.
        return in_language(get_language(), super().stream_csv(queryset))


def in_language(language: str | None, lines: Iterator[bytes]) -> Iterator[bytes]:
    """The lines, each made in this language."""
    while True:
        with override(language):
            line = next(lines, None)
        if line is None:
            return
        yield line
