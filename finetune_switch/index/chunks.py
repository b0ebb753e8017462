"""Splitting content into chunks that fit the embedding model."""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from semantic_text_splitter import TextSplitter

from .content import Content

# Long enough to make sense without context, short enough to have one topic.
MAX_CHARACTERS = 800
# The length of a last line of a chunk that may be the heading of the next paragraph.
MAX_HEADING = 120
# Room for a heading in chunks. For longer headings, the paragraph is split again.
HEADING_ROOM = 60
# The length of the headings and the sentence ("You need:") before a list that its parts repeat.
MAX_LEAD = 250
# The number of paragraphs between a heading and a list that it may be the heading of.
MAX_DISTANCE = 3
# Longer titles would dominate the embeddings.
MAX_TITLE = 250
# Special tokens that a tokenizer may add.
EXTRA_TOKENS = 4
# Token counts of words are cached, since a site repeats its words. A text may have slightly more or
# fewer tokens than its words.
MAX_WORD = 40
WORDS_MARGIN = 0.2
# The splitter takes quadratic time for texts without line ends.
WINDOW = 10_000
_SEPARATOR = "\n\n"
# Lists, tables and other paragraphs of several lines.
_LINES = re.compile(r"(?<![^\n])[^\n]+\n(?!\n)[^\n]+(?:\n[^\n]+)*")

CountTokens = Callable[[str], int]


@dataclass(frozen=True)
class ChunkText:
    """A piece of an object's text, for prompts (``text``) and for the embedding."""

    text: str
    embedded_text: str
    anchor: str

    @property
    def digest(self) -> str:
        """The SHA-256 of the embedded text, in hex."""
        return hashlib.sha256(self.embedded_text.encode("utf-8", "replace")).hexdigest()


def split(
    content: Content, *, max_tokens: int, count_tokens: CountTokens | None = None
) -> list[ChunkText]:
    """Split content into chunks of at most 800 characters, with the anchors of their beginnings.

    The title is embedded with every chunk. A list or a table stays in one chunk if it fits.
    Otherwise each part repeats the heading and the sentence that introduces it. Content without
    sections has one chunk with the title. ``count_tokens`` is called only for texts that may be
    longer than ``max_tokens``; the default is a token for each three bytes. Raises
    :class:`ValueError` if ``max_tokens`` is less than 1.
    """
    if max_tokens < 1:
        raise ValueError("Chunks need room for at least one token.")
    budget = _Budget(max_tokens, count_tokens or _estimate)
    title = budget.cut(content.title)
    if not content.sections:
        return [ChunkText(content.title, title, "")] if title else []
    prefix = f"{budget.cut(title, max_tokens // 2)}\n".lstrip("\n")
    text = _SEPARATOR.join(section.text for section in content.sections)
    starts, position = [], 0
    for section in content.sections:
        starts.append(position)
        position += len(section.text) + len(_SEPARATOR)
    chunks = []
    lists = _Lists(text)
    for start, end in _spans(text, lists, budget, prefix):
        anchor = content.sections[bisect_right(starts, start) - 1].anchor
        found = f"{lists.lead(start, end, budget, prefix)}{text[start:end]}"
        chunks.append(ChunkText(found, f"{prefix}{found}", anchor))
    return chunks


@dataclass(frozen=True)
class _Budget:
    max_tokens: int
    count: CountTokens

    def allows(self, text: str, limit: int | None = None) -> bool:
        limit = self.max_tokens if limit is None else limit
        # A token has at least one byte. Some tokenizers decompose characters first.
        plain = text if text.isascii() else unicodedata.normalize("NFKD", text)
        if len(plain.encode("utf-8", "replace")) + EXTRA_TOKENS <= limit:
            return True
        return self._by_words(text, limit) or self.count(text) <= limit

    def _by_words(self, text: str, limit: int) -> bool:
        """Whether the sum of the words' token counts is well below the limit."""
        tokens = EXTRA_TOKENS + text.count("\n")
        for word in text.split():
            if len(word) > MAX_WORD:
                return False
            tokens += _tokens_of(self.count, word)
        return tokens <= limit * (1 - WORDS_MARGIN)

    def cut(self, text: str, limit: int | None = None) -> str:
        """Shorten a text until it is within the limit."""
        text = text[:MAX_TITLE].strip()
        while text and not self.allows(text, limit):
            text = text[: len(text) * 3 // 4].strip()
        return text


def _estimate(text: str) -> int:
    return math.ceil(len(text.encode("utf-8", "replace")) / 3)


@lru_cache(maxsize=65_536)
def _tokens_of(count: CountTokens, word: str) -> int:
    return count(word)


@lru_cache(maxsize=64)
def _splitter(capacity: int) -> TextSplitter:
    return TextSplitter(capacity)


@dataclass(frozen=True)
class _List:
    """The place of a paragraph of several lines. ``unit`` is where its introduction begins."""

    start: int
    end: int
    unit: int
    lead: str
    """The headings and the sentence before it, and a line end; empty if there are none."""


class _Lists:
    """The lists and tables of a text."""

    def __init__(self, text: str) -> None:
        self.found = [
            _List(match.start(), match.end(), *_introduction(text, match.start()))
            for match in _LINES.finditer(text)
        ]
        self._starts = [found.start for found in self.found]

    def lead(self, start: int, end: int, budget: _Budget, prefix: str) -> str:
        """What a chunk repeats if it begins with a list or in the middle of one."""
        index = bisect_right(self._starts, start) - 1
        if index < 0 or not start < self.found[index].end:
            return ""
        lead = self.found[index].lead
        if not lead or len(lead) + end - start > MAX_CHARACTERS:
            return ""
        return lead if budget.allows(f"{prefix}{lead}", budget.max_tokens * 3 // 4) else ""


def _introduction(text: str, start: int) -> tuple[int, str]:
    """Where the headings and the sentence before a list begin, and their text."""
    unit, parts = start, list[str]()
    end, distance = start - len(_SEPARATOR), 0
    while end > 0 and distance <= MAX_DISTANCE:
        begin = text.rfind(_SEPARATOR, max(0, end - MAX_CHARACTERS), end)
        if begin < 0 and end > MAX_CHARACTERS:
            break
        begin = 0 if begin < 0 else begin + len(_SEPARATOR)
        paragraph = text[begin:end]
        is_lead = _is_heading(paragraph) or (
            not parts and not distance and paragraph.endswith(":") and "\n" not in paragraph
        )
        if is_lead and len(paragraph) + sum(map(len, parts)) <= MAX_LEAD:
            parts.insert(0, paragraph)
            if not distance:
                unit = begin
        elif any(map(_is_heading, parts)):
            break
        else:
            distance += 1
        end = begin - len(_SEPARATOR)
    lead = _SEPARATOR.join(parts)
    return unit, f"{lead}{_SEPARATOR}" if lead else ""


def _spans(text: str, lists: _Lists, budget: _Budget, prefix: str) -> Iterator[tuple[int, int]]:
    capacity = MAX_CHARACTERS - HEADING_ROOM - len(_SEPARATOR)
    # Most texts have four characters for each token; _fit() splits denser ones again.
    capacity = max(min(capacity, budget.max_tokens * 4 - len(prefix)), 1)
    merged = _merge(_pieces(text, lists.found, capacity), capacity)
    for start, end in _with_headings(text, merged):
        yield from _fit(text, start, end, lists, budget, prefix)


def _pieces(text: str, lists: Sequence[_List], capacity: int) -> Iterator[tuple[int, int]]:
    """Lists with their introductions, whole if they fit, and what is between them."""
    position = 0
    for found in lists:
        unit = max(found.unit, position)
        yield from _split(text, position, unit, capacity)
        room = min(MAX_CHARACTERS, capacity + HEADING_ROOM)
        if found.end - unit <= room:
            yield unit, found.end
        else:
            parts = _split(text, found.start, found.end, max(capacity - len(found.lead), 1))
            for number, (start, end) in enumerate(parts):
                yield (start if number else unit), end
        position = found.end
    yield from _split(text, position, len(text), capacity)


def _split(text: str, start: int, end: int, capacity: int) -> Iterator[tuple[int, int]]:
    splitter = _splitter(capacity)
    while start < end:
        stop = _window(text, start, end)
        for offset, chunk in splitter.chunk_indices(text[start:stop]):
            yield start + offset, start + offset + len(chunk)
        start = stop


def _window(text: str, start: int, end: int) -> int:
    """The end of the next window: preferably that of a paragraph, line, sentence or word."""
    if end - start <= WINDOW:
        return end
    for separator in (_SEPARATOR, "\n", ". ", " "):
        found = text.rfind(separator, start + WINDOW // 2, start + WINDOW)
        if found > 0:
            return found + len(separator)
    return start + WINDOW


def _merge(spans: Iterator[tuple[int, int]], capacity: int) -> list[tuple[int, int]]:
    """Join short spans: the splitter starts a new one after each long paragraph."""
    merged: list[tuple[int, int]] = []
    for start, end in spans:
        if merged and end - merged[-1][0] <= capacity:
            merged[-1] = merged[-1][0], end
        else:
            merged.append((start, end))
    return merged


def _with_headings(text: str, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Move headings from the end of a chunk to the next chunk."""
    kept: list[tuple[int, int]] = []
    for start, end in spans:
        cut: list[tuple[int, int]] = []
        while kept:
            before, last = kept[-1]
            if _SEPARATOR not in text[last : start + 1] and text[last:start] != "\n":
                break
            begin = text.rfind(_SEPARATOR, before, last)
            begin = before if begin < 0 else begin + len(_SEPARATOR)
            if not _is_heading(text[begin:last]):
                break
            if end - begin > MAX_CHARACTERS:
                room = MAX_CHARACTERS - (start - begin)
                if room < MAX_CHARACTERS // 2:
                    break
                (_start, end), *further = _split(text, start, end, room)
                cut = [*further, *cut]
            start = begin
            kept.pop()
            if begin > before:
                kept.append((before, begin - len(_SEPARATOR)))
        kept += [(start, end), *cut]
    return kept


def _is_heading(line: str) -> bool:
    return 0 < len(line) <= MAX_HEADING and "\n" not in line and line[-1] not in ".!…。！"


def _fit(
    text: str, start: int, end: int, lists: _Lists, budget: _Budget, prefix: str
) -> Iterator[tuple[int, int]]:
    """Split a chunk until each part is within the token limit."""
    lead = lists.lead(start, end, budget, prefix)
    if end - start <= 1 or budget.allows(f"{prefix}{lead}{text[start:end]}"):
        yield start, end
        return
    capacity = (end - start + 1) // 2
    for part in list(_split(text, start, end, capacity)):
        yield from _fit(text, *part, lists, budget, prefix)
