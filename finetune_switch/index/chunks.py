"""Splitting content into chunks that fit the embedding model."""

from __future__ import annotations

import hashlib
import math
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from semantic_text_splitter import TextSplitter

from .content import Content

# Long enough for a passage to make sense by itself, short enough to be about one thing.
MAX_CHARACTERS = 800
# A line of so many characters at the end of a chunk may be a heading of what follows.
MAX_HEADING = 60
# An object's name can be any text; in an embedding it must not drown what is said.
MAX_TITLE = 250
# What a tokenizer may put around a text.
EXTRA_TOKENS = 4
# Words are counted one by one and remembered: a site says the same ones again and again. Together
# they may come to a little more or less than their sum.
MAX_WORD = 40
WORDS_MARGIN = 0.2
# The splitter takes quadratic time where a text has no line ends.
WINDOW = 10_000
_SEPARATOR = "\n\n"

CountTokens = Callable[[str], int]


@dataclass(frozen=True)
class ChunkText:
    """A piece of an object's text: what models read of it, and what its vector is made of."""

    text: str
    embedded_text: str
    anchor: str

    @property
    def digest(self) -> str:
        """The sha256 of the text that is embedded, in hex."""
        return hashlib.sha256(self.embedded_text.encode("utf-8", "replace")).hexdigest()


def split(
    content: Content, *, max_tokens: int, count_tokens: CountTokens | None = None
) -> list[ChunkText]:
    """Chunks of at most 800 characters, in order, each with the anchor of where it begins.

    The title goes into the embedding of every chunk, and is the text of an object that says nothing
    else. ``count_tokens`` is asked only where a text could be longer than ``max_tokens``; without
    it, three bytes are taken for a token. Raises :class:`ValueError` where ``max_tokens`` is less
    than 1.
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
    for start, end in _spans(text, budget, prefix):
        anchor = content.sections[bisect_right(starts, start) - 1].anchor
        chunks.append(ChunkText(text[start:end], f"{prefix}{text[start:end]}", anchor))
    return chunks


@dataclass(frozen=True)
class _Budget:
    max_tokens: int
    count: CountTokens

    def allows(self, text: str, limit: int | None = None) -> bool:
        limit = self.max_tokens if limit is None else limit
        # A token is at least one byte of a text. Some tokenizers write letters out first.
        plain = text if text.isascii() else unicodedata.normalize("NFKD", text)
        if len(plain.encode("utf-8", "replace")) + EXTRA_TOKENS <= limit:
            return True
        return self._by_words(text, limit) or self.count(text) <= limit

    def _by_words(self, text: str, limit: int) -> bool:
        """Whether its words, each counted once in this process, are few enough by far."""
        tokens = EXTRA_TOKENS + text.count("\n")
        for word in text.split():
            if len(word) > MAX_WORD:
                return False
            tokens += _tokens_of(self.count, word)
        return tokens <= limit * (1 - WORDS_MARGIN)

    def cut(self, text: str, limit: int | None = None) -> str:
        """As much of the beginning of a text as may be."""
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


def _spans(text: str, budget: _Budget, prefix: str) -> Iterator[tuple[int, int]]:
    """Where each chunk begins and ends."""
    capacity = MAX_CHARACTERS - MAX_HEADING - len(_SEPARATOR)
    # Four characters make a token of most texts; what is denser is split again below.
    capacity = max(min(capacity, budget.max_tokens * 4 - len(prefix)), 1)
    merged = _merge(_split(text, 0, len(text), capacity), capacity)
    for start, end in _with_headings(text, merged):
        yield from _fit(text, start, end, budget, prefix)


def _split(text: str, start: int, end: int, capacity: int) -> Iterator[tuple[int, int]]:
    splitter = _splitter(capacity)
    while start < end:
        stop = _window(text, start, end)
        for offset, chunk in splitter.chunk_indices(text[start:stop]):
            yield start + offset, start + offset + len(chunk)
        start = stop


def _window(text: str, start: int, end: int) -> int:
    """Where to stop splitting at once: at the end of a paragraph, a line or a word if there is."""
    if end - start <= WINDOW:
        return end
    for separator in (_SEPARATOR, "\n", ". ", " "):
        found = text.rfind(separator, start + WINDOW // 2, start + WINDOW)
        if found > 0:
            return found + len(separator)
    return start + WINDOW


def _merge(spans: Iterator[tuple[int, int]], capacity: int) -> list[tuple[int, int]]:
    """The splitter begins anew after each long paragraph; what is short is put together here."""
    merged: list[tuple[int, int]] = []
    for start, end in spans:
        if merged and end - merged[-1][0] <= capacity:
            merged[-1] = merged[-1][0], end
        else:
            merged.append((start, end))
    return merged


def _with_headings(text: str, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Headings at the end of a chunk go to the next one, which they are the headings of."""
    kept: list[tuple[int, int]] = []
    for index, (start, end) in enumerate(spans):
        while kept and index:
            before, last = kept[-1]
            if _SEPARATOR not in text[last : start + 1] and text[last:start] != "\n":
                break
            begin = text.rfind(_SEPARATOR, before, last)
            begin = before if begin < 0 else begin + len(_SEPARATOR)
            if not _is_heading(text[begin:last]) or end - begin > MAX_CHARACTERS:
                break
            start = begin
            kept.pop()
            if begin > before:
                kept.append((before, begin - len(_SEPARATOR)))
        kept.append((start, end))
    return kept


def _is_heading(line: str) -> bool:
    return len(line) <= MAX_HEADING and "\n" not in line and line[-1:] not in ".!?…。！？"


def _fit(
    text: str, start: int, end: int, budget: _Budget, prefix: str
) -> Iterator[tuple[int, int]]:
    """Split a chunk again, until each part fits the model."""
    if end - start <= 1 or budget.allows(f"{prefix}{text[start:end]}"):
        yield start, end
        return
    capacity = (end - start + 1) // 2
    for part in list(_split(text, start, end, capacity)):
        yield from _fit(text, *part, budget, prefix)
