"""Spreadsheet exports that are safe for text written by visitors and models."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from django.utils.translation import get_language, override
from wagtail.admin.views.mixins import SpreadsheetExportMixin

# Characters that begin a formula, or that spreadsheets skip before one.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
# Characters that XLSX does not allow.
ILLEGAL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
LONGEST_CELL = 32_767


class SafeSpreadsheetMixin(SpreadsheetExportMixin):
    """Wagtail's export for rows that are dictionaries with the names in ``list_export``.

    Wagtail escapes formulas in XLSX files, and not in CSV files.
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
        # The response is streamed after the request's language was deactivated.
        return in_language(get_language(), super().stream_csv(queryset))


def in_language(language: str | None, lines: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the lines with this language active."""
    while True:
        with override(language):
            line = next(lines, None)
        if line is None:
            return
        yield line
