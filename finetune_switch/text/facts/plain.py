"""Strip invisible characters and emphasis markup, keeping track of positions."""

import re
import unicodedata
from bisect import bisect_right
from dataclasses import replace

from finetune_switch.text.characters import INVISIBLE

from .base import Fact

# Full-width and mathematical letters and digits, and non-breaking hyphens.
_VARIANT = re.compile("[\uff01-\uff5e\U0001d400-\U0001d7ff\u2010\u2011]")
_DECIMAL_POINT = re.compile(r"(?<=\d)[\u00b7\u066b\u2022\u2027\u2219\u22c5](?=\d)")
_REMOVED = re.compile(
    rf"[{INVISIBLE}]+|(?<=\d)[\u0300-\u036f]+"
    r"|(?<!\*)\*++(?=\S)|(?<=[^\s*])\*++|_{2,}|(?<![^\W_])_(?=[^\s_])|(?<=[^\s_])_(?![^\W_])|`+|~{2,}"
    r"|\\(?=[^\w\s\\])"
    r"|</?(?:b|i|em|strong|u|s|span|mark|sub|sup|small|big|code|w?br)(?:[ /][^<>]{0,80})?>",
    re.IGNORECASE,
)


class PlainText:
    """A text without invisible characters and markup, and a mapping to the original positions."""

    def __init__(self, text: str) -> None:
        self._original = text
        text = _DECIMAL_POINT.sub(".", _VARIANT.sub(_to_ascii_variant, text))
        parts, position = [], 0
        self._positions: list[int] = [0]
        self._shifts: list[int] = [0]
        shift = 0
        for match in _REMOVED.finditer(text):
            parts.append(text[position : match.start()])
            position = match.end()
            self._positions.append(match.start() - shift)
            shift += match.end() - match.start()
            self._shifts.append(shift)
        self.text = "".join([*parts, text[position:]])

    def to_original(self, fact: Fact) -> Fact:
        """The fact with the text and position that it has in the original."""
        start = self._to_original_position(fact.start)
        end = self._to_original_position(fact.end - 1) + 1
        return replace(fact, text=self._original[start:end], start=start, end=end)

    def _to_original_position(self, position: int) -> int:
        return position + self._shifts[bisect_right(self._positions, position) - 1]


def plain(text: str) -> str:
    return PlainText(text).text


def _to_ascii_variant(match: re.Match[str]) -> str:
    variant = "-" if match[0] in "\u2010\u2011" else unicodedata.normalize("NFKC", match[0])
    # Longer replacements would shift positions.
    return variant if len(variant) == 1 else match[0]
