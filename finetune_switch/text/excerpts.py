"""Excerpts of texts with the search terms highlighted."""

import re

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from .words import content_words, language_name, stems

EXCERPT_CHARACTERS = 240
_WORD = re.compile(r"\w+")


def excerpt(text: str, question: str, *, language: str = "") -> SafeString:
    """About 240 characters around the question's words, escaped, with these in ``<mark>``.

    Words are compared by their stems, as in text search.
    """
    name = language_name(language)
    wanted = set(stems(content_words(question, name), name))
    found = [match.span() for match in _WORD.finditer(text) if _stem(match[0], name) in wanted]
    start, end = _window(text, found)
    parts: list[SafeString | str] = ["… " if start else ""]
    position = start
    for left, right in found:
        if start <= left and right <= end:
            parts += [text[position:left], format_html("<mark>{}</mark>", text[left:right])]
            position = right
    parts += [text[position:end], " …" if end < len(text) else ""]
    return format_html_join("", "{}", ([part] for part in parts))


def _stem(word: str, name: str) -> str:
    return next(stems([word.lower()], name))


def _window(text: str, found: list[tuple[int, int]]) -> tuple[int, int]:
    """The span of the excerpt with the most matches. It starts and ends between words."""
    if len(text) <= EXCERPT_CHARACTERS:
        return 0, len(text)
    best = max(
        (left for left, _right in found),
        key=lambda left: sum(left <= at < left + EXCERPT_CHARACTERS for at, _end in found),
        default=0,
    )
    start = max(0, min(best - EXCERPT_CHARACTERS // 4, len(text) - EXCERPT_CHARACTERS))
    end = start + EXCERPT_CHARACTERS
    if start:
        start = text.find(" ", start, best) + 1 or start
    if end < len(text):
        end = max(text.rfind(" ", start, end), start + 1)
    return start, end
