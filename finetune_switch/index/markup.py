"""Conversion of HTML and field values to plain text.

Wagtail's ``get_text_for_indexing`` joins paragraphs and keeps scripts. BeautifulSoup takes 3 ms for
a page, more than all other steps of indexing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from html import unescape
from typing import Any

from django.utils import timezone
from django.utils.formats import localize

from .mentions import mention
from .tables import Cell, table_lines

# Control characters (PostgreSQL rejects NUL), surrogates, soft hyphens, byte order marks, and
# noncharacters, which mentions.py uses as markers.
_UNWANTED = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\ufeff\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)
_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
# Single spaces are not matched: that would take most of the time.
_ODD_SPACES = "\t\xa0\u1680\u2000-\u200a\u202f\u205f\u3000"
_SPACES = re.compile(f"[ {_ODD_SPACES}]{{2,}}|[{_ODD_SPACES}]")
_ANY_SPACES = re.compile(f"[ \n\r\f{_ODD_SPACES}]{{2,}}|[\n\r\f{_ODD_SPACES}]")
_AROUND_LINE_ENDS = re.compile(" ?\n ?")
_EMPTY_LINES = re.compile("\n{3,}")

_TOKEN = re.compile(
    r"<!--.*?(?:-->|\Z)"
    r"|<(?P<hidden>script|style|template|noscript)\b.*?(?:</(?P=hidden)\s*>|\Z)"
    r"|<(?P<end>/?)(?P<tag>[a-z][a-z0-9:-]*)(?P<attributes>(?:\"[^\"]*\"|'[^']*'|[^\"'>]++)*+)>"
    # Declarations and broken tags.
    r"|<[/!?a-z][^>]*>?",
    re.IGNORECASE | re.DOTALL,
)
_ATTRIBUTE = re.compile(r"""([\w-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
_GROUPS = {"address", "article", "aside", "details", "div", "fieldset", "figure", "footer", "form"}
_REGIONS = {"dl", "header", "hr", "main", "nav", "section", "table"}
_TEXTS = {"blockquote", "caption", "figcaption", "p", "pre", "summary"}
_PARAGRAPHS = _HEADINGS | _GROUPS | _REGIONS | _TEXTS
_LINES = {"dd", "dt", "li", "option", "tr"}
_LISTS = {"menu", "ol", "ul"}
_CELLS = {"td", "th"}
_ROW_GROUPS = {"tbody", "tfoot", "thead"}
_OTHERS = {"a", "b", "br", "embed", "img", "strong"}
# Other tags are inline and have no text.
_KNOWN_TAGS = _PARAGRAPHS | _LINES | _LISTS | _CELLS | _ROW_GROUPS | _OTHERS
# Tables in deeper tables are paragraphs.
_MAX_DEPTH = 10
# Separators of two pieces of text, from weak to strong.
_NOTHING, _SPACE, _LINE, _PARAGRAPH = range(4)
_SEPARATORS = ("", " ", "\n", "\n\n")


def clean(text: str) -> str:
    """Remove control characters and noncharacters."""
    return _UNWANTED.sub("", text)


def tidy(text: str) -> str:
    """Normalise whitespace: single spaces, and at most one empty line between paragraphs."""
    text = _LINE_ENDS.sub("\n", clean(text))
    text = _AROUND_LINE_ENDS.sub("\n", _SPACES.sub(" ", text))
    return _EMPTY_LINES.sub("\n\n", text).strip()


def join(parts: Iterable[str]) -> str:
    """Join parts as lines, or as paragraphs if one of them has several lines."""
    kept = [part for part in parts if part and not part.isspace()]
    return ("\n\n" if any("\n" in part for part in kept) else "\n").join(kept)


def write_out(value: Any) -> str:
    """Format a number, date or time in the active language."""
    if isinstance(value, datetime) and timezone.is_aware(value):
        value = timezone.localtime(value)
    return clean(str(localize(value)))


def html_to_text(html: str) -> str:
    """Convert Wagtail's rich text, or any HTML, to plain text. The HTML may be invalid.

    An empty line separates paragraphs. List items are lines, with a number in ordered lists. Table
    rows are lines with their headers, see :func:`~.tables.table_lines`. Images are replaced by
    their alternative text; in rich text, images without one by a mention of the title. Links to
    documents are followed by a mention of the document's title. Scripts and styles are removed.
    """
    html = clean(html)
    if "<" not in html:
        return unescape(html)
    reader = _MarkupReader()
    if "<pre" in html.lower():
        reader.has_line_ends = True
    else:
        html = _ANY_SPACES.sub(" ", html)
    position = 0
    for token in _TOKEN.finditer(html):
        if token.start() > position:
            reader.text(html[position : token.start()])
        position = token.end()
        _hidden, end, tag, attributes = token.groups()
        if tag and (tag := tag.lower()) in _KNOWN_TAGS:
            reader.tag(tag, attributes, is_end=bool(end))
    reader.text(html[position:])
    return reader.result()


@dataclass
class _Table:
    """A table that is being read. ``outside`` is the reader's state outside the current cell."""

    rows: list[list[Cell]] = field(default_factory=list)
    caption: str = ""
    in_head: bool = False
    cell: str = ""
    attributes: str = ""
    bold_cells: int = 0
    outside: tuple[list[str], int, list[int]] | None = None


class _MarkupReader:
    def __init__(self) -> None:
        self.parts: list[str] = []
        self.has_line_ends = False
        self._gap = _NOTHING
        # For each open list, the number of its last item; negative if it has no numbers.
        self._lists: list[int] = []
        # The number of the current list item, until its text begins.
        self._number = ""
        self._tables: list[_Table] = []
        self._preformatted = False
        self._document = ""

    def text(self, text: str) -> None:
        if "&" in text:
            text = unescape(text)
        if self.has_line_ends and not self._preformatted:
            text = _ANY_SPACES.sub(" ", text)
        if self._gap:
            text = text.lstrip()
            if not text:
                return
            self._close_gap()
        if self._number and not text.isspace():
            text, self._number = f"{self._number}{text.lstrip()}", ""
        self.parts.append(text)

    def result(self) -> str:
        while self._tables:
            self._end_table()
        return "".join(self.parts)

    def tag(self, tag: str, attributes: str, *, is_end: bool) -> None:
        if tag in _LISTS:
            self._list(tag, is_end=is_end)
        elif self._tables and (tag in _CELLS or tag in ("caption", "tr") or tag in _ROW_GROUPS):
            self._part_of_table(tag, attributes, is_end=is_end)
        elif tag == "table" and is_end and self._tables:
            self._end_table()
        elif tag in _LINES:
            self._part(_LINE)
            if tag == "li" and not is_end:
                self._begin_item()
        elif tag in _PARAGRAPHS:
            if tag == "pre":
                self._preformatted = not is_end
            self._part(_PARAGRAPH)
            if tag == "table" and not is_end and len(self._tables) < _MAX_DEPTH:
                self._tables.append(_Table())
        elif tag == "br":
            self._part(_PARAGRAPH if self._gap >= _LINE else _LINE)
        elif tag in ("b", "strong"):
            self._bold(is_end=is_end)
        elif tag == "a":
            self._link(attributes, is_end=is_end)
        elif tag == "img":
            self._inline(_attributes(attributes).get("alt", ""))
        elif tag == "embed":
            self._embed(_attributes(attributes))
        else:
            # A part of a table outside of one.
            self._part(_SPACE)

    @property
    def _in_cell(self) -> bool:
        return bool(self._tables) and self._tables[-1].outside is not None

    def _part(self, strength: int) -> None:
        """Separate the next text at least this strongly. Lists and cells limit the strength."""
        if self._in_cell:
            strength = _SPACE
        elif self._lists:
            strength = min(strength, _LINE)
        self._gap = max(self._gap, strength if self.parts else _NOTHING)

    def _close_gap(self) -> None:
        self.parts.append(_SEPARATORS[self._gap])
        self._gap = _NOTHING

    def _list(self, tag: str, *, is_end: bool) -> None:
        if not is_end:
            self._lists.append(0 if tag == "ol" else -1)
        elif self._lists:
            self._lists.pop()
        self._part(_LINE if self._lists and is_end else _PARAGRAPH)

    def _begin_item(self) -> None:
        self._number = ""
        if self._lists and self._lists[-1] >= 0:
            self._lists[-1] += 1
            self._number = f"{self._lists[-1]}. "

    def _part_of_table(self, tag: str, attributes: str, *, is_end: bool) -> None:
        self._end_cell()
        table = self._tables[-1]
        if tag in _ROW_GROUPS:
            table.in_head = tag == "thead" and not is_end
        elif is_end:
            return
        elif tag == "tr":
            table.rows.append([])
        else:
            if tag in _CELLS and not table.rows:
                table.rows.append([])
            table.cell, table.attributes = tag, attributes
            table.outside = self.parts, self._gap, self._lists
            self.parts, self._gap, self._lists = [], _NOTHING, []

    def _end_cell(self) -> None:
        table = self._tables[-1]
        if table.outside is None:
            return
        text = " ".join("".join(self.parts).split())
        self.parts, self._gap, self._lists = table.outside
        table.outside = None
        if table.cell == "caption":
            table.caption = text
            return
        values = _attributes(table.attributes)
        spans = [_span(values.get(name, "")) for name in ("colspan", "rowspan")]
        table.rows[-1].append(Cell(text, table.cell == "th" or table.in_head, *spans))

    def _end_table(self) -> None:
        self._end_cell()
        table = self._tables.pop()
        if table.rows and table.bold_cells == len(table.rows[0]) > 1:
            table.rows[0] = [replace(cell, is_header=True) for cell in table.rows[0]]
        for paragraph in (table.caption, "\n".join(table_lines(table.rows, guess_header=True))):
            if paragraph:
                self._part(_PARAGRAPH)
                if self.parts and self._gap:
                    self._close_gap()
                self._gap = _NOTHING
                self.parts.append(paragraph)
        self._part(_PARAGRAPH)

    def _bold(self, *, is_end: bool) -> None:
        """Count the bold cells of a first row, which are headers if all of them are bold."""
        is_first_row = self._in_cell and len(self._tables[-1].rows) == 1
        if is_first_row and not is_end and not "".join(self.parts).strip():
            self._tables[-1].bold_cells += 1

    def _inline(self, text: str) -> None:
        if text:
            self._gap = max(self._gap, _SPACE)
            self.text(text)
            self._gap = max(self._gap, _SPACE)

    def _embed(self, attributes: dict[str, str]) -> None:
        if attributes.get("embedtype") == "image":
            alt = attributes.get("alt", "").strip()
            self._part(_PARAGRAPH)
            self._inline(alt or mention("image", attributes.get("id", "")))
            self._part(_PARAGRAPH)

    def _link(self, attributes: str, *, is_end: bool) -> None:
        if is_end and self._document:
            self.text(mention("document", self._document))
        found = {} if is_end or "linktype" not in attributes else _attributes(attributes)
        self._document = found.get("id", "") if found.get("linktype") == "document" else ""


def _attributes(source: str) -> dict[str, str]:
    return {
        name.lower(): unescape(double or single or bare)
        for name, double, single, bare in _ATTRIBUTE.findall(source)
    }


def _span(value: str) -> int:
    digits = value.strip()[:4]
    return max(int(digits), 1) if digits.isascii() and digits.isdecimal() else 1
