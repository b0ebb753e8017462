"""Table rows as lines that contain their headers, so that each can stand in another chunk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from django.utils.dates import MONTHS, WEEKDAYS

CELL_SEPARATOR = " | "
# Longer rows are written as several lines. Each repeats the first cell.
MAX_LINE = 400
MAX_HEADER = 60
MAX_COLUMNS = 100
# Short cells of a first row that is none of headers.
_VALUES = {"closed", "free", "none", "no", "yes", "n/a"}
_VALUES |= {"geschlossen", "kostenlos", "frei", "keine", "nein", "ja"}


@dataclass(frozen=True, eq=False)
class Cell:
    """A cell with plain text. Spans count rows and columns."""

    text: str
    is_header: bool = False
    columns: int = 1
    rows: int = 1


def table_lines(rows: Iterable[Sequence[Cell]], *, guess_header: bool = False) -> list[str]:
    """One line for each row: ``Boat: Wren, Price per day: £40``.

    Rows of a table without column headers are ``Monday: 9, 17`` if the first cell is a header, and
    ``Monday | 9 | 17`` otherwise. With ``guess_header``, the first row of a table without header
    cells may count as one. A cell that spans all columns is repeated with the rows below it.
    """
    grid = [row for row in _grid(rows) if any(cell.text for cell in row)]
    width = max(map(len, grid), default=0)
    if guess_header and _has_unmarked_header(grid):
        grid[0] = [Cell(cell.text, is_header=True) for cell in grid[0]]
    lines: list[str] = []
    headers: list[str] = []
    group = ""
    # Lines of headers and groups that no row has repeated yet.
    unused: list[str] = []
    was_header = False
    for row in grid:
        filled = {cell for cell in row if cell.text}
        if width > 1 and len(filled) == 1 and len(row) == width and len(set(row)) == 1:
            (cell,) = filled
            if len(cell.text) <= MAX_HEADER and cell.text[-1] not in ".!?":
                group, was_header = cell.text, False
                unused.append(group)
            else:
                lines.append(cell.text)
        elif all(cell.is_header for cell in filled) and (len(filled) > 1 or not lines):
            texts = [cell.text.rstrip(" :") for cell in row]
            headers = _combined(headers, texts) if was_header else texts
            was_header = True
            unused.append(_bare(row))
        else:
            was_header = False
            unused.clear()
            lines += _lines(row, headers, group)
    return lines + unused


def _lines(row: Sequence[Cell], headers: Sequence[str], group: str) -> Iterator[str]:
    prefix = [group] if group else []
    if not any(headers):
        text = _bare(row)
        yield f"{group}, {text}" if group else text
        return
    parts = []
    for index, cell in enumerate(row):
        header = headers[index] if index < len(headers) else ""
        if cell.text:
            parts.append(f"{header}: {cell.text}" if header else cell.text)
    first, line = parts[:1], [*prefix, *parts[:1]]
    for part in parts[1:]:
        if len(line) > len(prefix) + 1 and sum(map(len, line)) + len(part) > MAX_LINE:
            yield ", ".join(line)
            line = [*prefix, *first]
        line.append(part)
    yield ", ".join(line)


def _bare(row: Sequence[Cell]) -> str:
    cells = list(dict.fromkeys(row))
    texts = [cell.text for cell in cells]
    if cells[0].is_header and cells[0].text and len(cells) > 1 and not cells[1].is_header:
        return f"{texts[0].rstrip(' :')}: {', '.join(filter(None, texts[1:]))}"
    return CELL_SEPARATOR.join(texts)


def _combined(above: Sequence[str], below: Sequence[str]) -> list[str]:
    """The headers of two header rows, without repetitions of cells that span both."""
    width = max(len(above), len(below))
    above, below = ([*row, *[""] * (width - len(row))] for row in (above, below))
    pairs = zip(above, below, strict=True)
    return [" ".join(dict.fromkeys(filter(None, pair))) for pair in pairs]


def _grid(rows: Iterable[Sequence[Cell]]) -> Iterator[list[Cell]]:
    """Rows with a cell for each column. Spans repeat the same cell."""
    below: dict[int, tuple[Cell, int]] = {}
    for cells in rows:
        row: list[Cell] = []
        waiting = list(cells)
        while (waiting or len(row) in below) and len(row) < MAX_COLUMNS:
            if (spanning := below.pop(len(row), None)) is not None:
                cell, left = spanning
                if left > 1:
                    below[len(row)] = cell, left - 1
                row.append(cell)
                continue
            cell = waiting.pop(0)
            room = MAX_COLUMNS - len(row) - len(waiting)
            for _column in range(max(min(cell.columns, room), 1)):
                if cell.rows > 1:
                    below[len(row)] = cell, cell.rows - 1
                row.append(cell)
        yield row


def _has_unmarked_header(grid: Sequence[Sequence[Cell]]) -> bool:
    """Whether the first row looks like headers: names above figures, or an empty corner."""
    if len(grid) < 2 or any(cell.is_header for row in grid for cell in row[1:]):
        return False
    first, others = [cell.text for cell in grid[0]], grid[1:]
    named = first[1:]
    if grid[0][0].is_header or not all(named) or not named or len(set(first)) < len(first):
        return False
    values = _VALUES | {str(name).lower() for name in (*WEEKDAYS.values(), *MONTHS.values())}
    if any(_has_digit(text) or len(text) > MAX_HEADER or text.lower() in values for text in first):
        return False
    if not first[0]:
        return True
    columns = (
        [row[index].text for row in others if index < len(row)] for index in range(len(first))
    )
    return len(others) > 1 and any(
        len(column) > 1 and all(map(_has_digit, column)) for column in columns
    )


def _has_digit(text: str) -> bool:
    return any(map(str.isdigit, text))
