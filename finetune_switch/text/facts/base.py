"""The Fact class, and helpers for the modules that find facts."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

Kind = Literal[
    "e-mail", "url", "telephone", "price", "date", "time", "address", "postcode", "number"
]

# Horizontal spaces and dashes as written by word processors and models. \s includes line ends.
BLANK = r"[ \t\u00a0\u2002-\u200a\u202f]"
DASH = r"[-\u2010-\u2015\u2212]"
MAX_DIGITS = 15

# 1,200 and 1.200 and 1'200, with or without decimals. Long runs of digits are not amounts.
AMOUNT = (
    r"(?<![\d])(?<!\d[.,])"
    r"(?:\d{1,3}(?:[.,'’\u00a0\u202f]\d{3}){1,5}(?:[.,]\d{1,2})?|\d{1,15}(?:[.,]\d{1,4})?)"
    r"(?![.,]?\d)"
)


@dataclass(frozen=True)
class Fact:
    """A fact with its position in the text, and its normalised value for comparison.

    Values follow standards where there is one: E.164 for telephone numbers, ISO 8601 for dates
    (``2026-03-03``, ``--03-03`` without a year, ``-W-1`` for Mondays) and times (``17:00``, or
    ``5:00`` if it may be morning or afternoon), ISO 4217 for prices (``GBP 5``).
    """

    kind: Kind
    text: str
    start: int
    end: int
    value: str


def make_fact(kind: Kind, text: str, start: int, end: int, value: str) -> Fact:
    return Fact(kind, text[start:end], start, end, value)


def blank_out(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Replace the spans with NUL characters, so that all positions stay the same."""
    parts, position = [], 0
    for start, end in sorted(spans):
        if start < position:
            continue
        parts += [text[position:start], "\0" * (end - start)]
        position = end
    return "".join([*parts, text[position:]])


def amount(text: str) -> str:
    """``1,200``, ``1.200`` and ``1'200`` → ``1200``; ``5.00`` and ``5,00`` → ``5``.

    Three digits after a single separator are read as thousands in both languages, since amounts
    with three decimals are rare.
    """
    plain = re.sub(r"['’\s\u00a0\u202f]", "", text)
    separators = re.findall(r"[.,]", plain)
    last = max(plain.rfind("."), plain.rfind(","))
    is_decimal = bool(separators) and (
        len(set(separators)) == 2
        or (len(separators) == 1 and (len(plain) - last != 4 or plain.startswith("0") or last > 3))
    )
    whole = re.sub(r"[.,]", "", plain[:last] if is_decimal else plain)
    return number(Decimal(f"{whole}.{plain[last + 1 :]}" if is_decimal else whole))


def number(value: Decimal) -> str:
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
