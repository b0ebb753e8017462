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

# Long enough to make sense without context, short enough to have one topic.
MAX_CHARACTERS = 800
# The length of a last line of a chunk that may be the heading of the next paragraph.
MAX_HEADING = 60
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

    The title is embedded with every chunk. Content without sections has one chunk with the title.
    ``count_tokens`` is called only for texts that may be longer than ``max_tokens``; the default
    is a token for each three bytes. Raises :class:`ValueError` if ``max_tokens`` is less than 1.
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


def _spans(text: str, budget: _Budget, prefix: str) -> Iterator[tuple[int, int]]:
    capacity = MAX_CHARACTERS - MAX_HEADING - len(_SEPARATOR)
    # Most texts have four characters for each token; _fit() splits denser ones again.
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
    """Split a chunk until each part is within the token limit."""
    if end - start <= 1 or budget.allows(f"{prefix}{text[start:end]}"):
        yield start, end
        return
    capacity = (end - start + 1) // 2
    for part in list(_split(text, start, end, capacity)):
        yield from _fit(text, *part, budget, prefix)
