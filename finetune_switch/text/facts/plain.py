"""A text as it is meant to be read: without invisible characters and the marks of emphasis."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from dataclasses import replace

from finetune_switch.text.characters import INVISIBLE

from .base import Fact

# Full-width and mathematical letters and digits, and hyphens that do not break.
_VARIANT = re.compile("[\uff01-\uff5e\U0001d400-\U0001d7ff\u2010\u2011]")
_POINT = re.compile(r"(?<=\d)[\u00b7\u066b\u2022\u2027\u2219\u22c5](?=\d)")
_LEFT_OUT = re.compile(
    rf"[{INVISIBLE}]+|(?<=\d)[\u0300-\u036f]+"
    r"|(?<!\*)\*++(?=\S)|(?<=[^\s*])\*++|_{2,}|(?<![^\W_])_(?=[^\s_])|(?<=[^\s_])_(?![^\W_])|`+|~{2,}"
    r"|\\(?=[^\w\s\\])"
    r"|</?(?:b|i|em|strong|u|s|span|mark|sub|sup|small|big|code|w?br)(?:[ /][^<>]{0,80})?>",
    re.IGNORECASE,
)


class Plain:
    """A text without what nobody reads, and where its characters stood."""

    def __init__(self, text: str) -> None:
        self._original = text
        text = _POINT.sub(".", _VARIANT.sub(_usual, text))
        parts, position = [], 0
        self._places: list[int] = [0]
        self._shifts: list[int] = [0]
        shift = 0
        for match in _LEFT_OUT.finditer(text):
            parts.append(text[position : match.start()])
            position = match.end()
            self._places.append(match.start() - shift)
            shift += match.end() - match.start()
            self._shifts.append(shift)
        self.text = "".join([*parts, text[position:]])

    def in_original(self, fact: Fact) -> Fact:
        """A fact of the plain text, where it stands in the original."""
        start, end = self._place(fact.start), self._place(fact.end - 1) + 1
        return replace(fact, text=self._original[start:end], start=start, end=end)

    def _place(self, position: int) -> int:
        return position + self._shifts[bisect_right(self._places, position) - 1]


def plain(text: str) -> str:
    """The text as it is read."""
    return Plain(text).text


def _usual(match: re.Match[str]) -> str:
    usual = "-" if match[0] in "\u2010\u2011" else unicodedata.normalize("NFKC", match[0])
    # Every character keeps its place.
    return usual if len(usual) == 1 else match[0]
