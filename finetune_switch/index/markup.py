"""Conversion of HTML and field values to plain text.

Wagtail's ``get_text_for_indexing`` joins paragraphs and keeps scripts. BeautifulSoup takes 3 ms for
a page, more than all other steps of indexing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from html import unescape
from typing import Any

from django.utils import timezone
from django.utils.formats import localize

from .mentions import mention

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
_ATTRIBUTE = re.compile(r"""([\w-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
_GROUPS = {"address", "article", "aside", "details", "div", "fieldset", "figure", "footer", "form"}
_REGIONS = {"dl", "header", "hr", "main", "nav", "section", "table"}
_TEXTS = {"blockquote", "caption", "figcaption", "p", "pre", "summary"}
_PARAGRAPHS = _HEADINGS | _GROUPS | _REGIONS | _TEXTS
_LINES = {"dd", "dt", "li", "option", "tbody", "tfoot", "thead", "tr"}
_LISTS = {"menu", "ol", "ul"}
_CELLS = {"td", "th"}
_OTHERS = {"a", "br", "embed", "img"}
# Other tags are inline and have no text.
_KNOWN_TAGS = _PARAGRAPHS | _LINES | _LISTS | _CELLS | _OTHERS
CELL_SEPARATOR = " | "
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

    An empty line separates paragraphs. List items and table rows are lines, and a bar separates
    cells. Images are replaced by their alternative text; in rich text, images without one by a
    mention of the title. Links to documents are followed by a mention of the document's title.
    Scripts and styles are removed.
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
    return "".join(reader.parts)


class _MarkupReader:
    def __init__(self) -> None:
        self.parts: list[str] = []
        self.has_line_ends = False
        self._gap = _NOTHING
        self._lists = 0
        self._cells = 0
        self._in_cell = False
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
        self.parts.append(text)

    def tag(self, tag: str, attributes: str, *, is_end: bool) -> None:
        if tag in _LISTS:
            self._lists = max(self._lists - 1, 0) if is_end else self._lists + 1
            self._part(_LINE if self._lists and is_end else _PARAGRAPH)
        elif tag in _LINES:
            self._part(_LINE)
            if tag == "tr":
                self._cells, self._in_cell = 0, False
        elif tag in _CELLS:
            self._in_cell = False
            if not is_end:
                self._begin_cell()
        elif tag in _PARAGRAPHS:
            if tag == "table":
                self._in_cell = False
            elif tag == "pre":
                self._preformatted = not is_end
            self._part(_PARAGRAPH)
        elif tag == "br":
            self._part(_PARAGRAPH if self._gap >= _LINE else _LINE)
        elif tag == "a":
            self._link(attributes, is_end=is_end)
        elif tag == "img":
            self._inline(_attributes(attributes).get("alt", ""))
        elif tag == "embed":
            self._embed(_attributes(attributes))

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

    def _begin_cell(self) -> None:
        if self._cells:
            if self._gap >= _LINE:
                self._close_gap()
            self._gap = _NOTHING
            self.parts.append(CELL_SEPARATOR)
        self._cells += 1
        self._in_cell = True

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
        name.lower(): unescape(double or single)
        for name, double, single in _ATTRIBUTE.findall(source)
    }
