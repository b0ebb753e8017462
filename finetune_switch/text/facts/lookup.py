"""Whether a fact stands in the passages: equal to one of theirs, or said in the same characters."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise

from .amounts import CENTS, PAIR
from .base import BLANK, DASH, Fact, number
from .contacts import telephone_values
from .plain import plain

Key = tuple[str, str]

# Words that a fact has at most to be looked for as it stands.
MAX_WORDS = 6
_EDGES = ".,;:!?()[]{}\"'“”„‘’«»*_`"
_BREAKS = re.compile(r"[\s|]+")
_DECIMALS = re.compile(r"\d[.,]\d\d(?!\d)")
_RANGE = re.compile(
    rf"\.?{BLANK}?(?:{DASH}|\b(?:to|until|till|through|bis(?: zum)?)\b){BLANK}?(?:the )?",
    re.IGNORECASE,
)
_WEEKDAY_RANGE = re.compile(
    rf"(?:,?{BLANK}?\d{{1,2}}(?:\.|st|nd|rd|th)?)?{_RANGE.pattern}", re.IGNORECASE
)
_EVERY_DAY = re.compile(
    r"\b(?:daily|every day|seven days a week|täglich|jeden tag)\b", re.IGNORECASE
)
_WEEKEND = re.compile(r"\bweekends?\b|\bwochenenden?\b", re.IGNORECASE)
_WEEKDAYS = re.compile(r"\bweekdays?\b|\bwochentags?\b|\bwerktags?\b", re.IGNORECASE)
_GROUPS = ((_EVERY_DAY, range(1, 8)), (_WEEKEND, (6, 7)), (_WEEKDAYS, range(1, 6)))


class Founded:
    """What the passages say. ``fact in founded`` asks it, ``passages(fact)`` which of them do."""

    def __init__(self, home: str, regions: tuple[str, ...]) -> None:
        self._home, self._regions = home, regions
        self._given: dict[Key, set[int]] = {}
        self._texts: list[str] = []
        self._runs: dict[str, list[int]] | None = None

    def add(self, text: str, facts: Sequence[Fact]) -> None:
        """Another passage; they count from 0."""
        keys = [key for fact in facts for key in self._meanings(fact)]
        keys += _between(text, facts)
        for pattern, days in _GROUPS:
            if pattern.search(text):
                keys += [("date", f"-W-{day}") for day in days]
        for key in keys:
            self._given.setdefault(key, set()).add(len(self._texts))
        self._texts.append(text)
        self._runs = None

    def passages(self, fact: Fact) -> set[int]:
        """The passages that a fact stands in."""
        found: set[int] = set()
        for key in self._readings(fact):
            found |= self._given.get(key, set())
        return found or self._verbatim(fact)

    def __contains__(self, fact: Fact) -> bool:
        return bool(self.passages(fact))

    def _meanings(self, fact: Fact) -> Iterator[Key]:
        """All that a passage says by a fact: by a date also its month and its year."""
        kind, value = fact.kind, fact.value
        yield kind, value
        if kind == "telephone":
            for _, found in (given := list(self._telephones(fact))):
                yield kind, found.partition(";")[0]
            yield from given
        elif kind == "date" and not value.startswith("-W"):
            yield from _parts_of_date(value)
        elif kind == "time":
            hour, _, minute = value.partition(":")
            if len(hour) == 2:
                yield kind, f"{(int(hour) - 1) % 12 + 1}:{minute}"
            else:
                yield kind, f"{int(hour) % 12:02}:{minute}"
                yield kind, f"{int(hour) % 12 + 12:02}:{minute}"
        elif kind == "price":
            if value.startswith(CENTS):
                yield from [(kind, value.replace(CENTS, code)) for code in ("EUR", "USD")]
            yield "sum", value.partition(" ")[2]
        elif kind == "address":
            yield kind, re.sub(r" \d+[a-z]?$", "", value)
        elif kind == "postcode" and value[0].isdecimal():
            yield "number", value.split(" ")[0]
        elif kind == "number" and _DECIMALS.search(plain(fact.text)):
            # A table has its currency in the head of a column.
            yield "price", f"* {value}"
            yield "sum", value
        elif kind == "number" and PAIR.fullmatch(value):
            yield from _pair(value)

    def _readings(self, fact: Fact) -> Iterator[Key]:
        """What a passage must say for a fact of an answer to stand in it: one of these."""
        kind, value = fact.kind, fact.value
        yield kind, value
        if kind == "telephone":
            yield from self._telephones(fact)
        elif kind == "date" and re.match(r"\d{4}-", value):
            yield "undated", f"-{value[4:]}"
        elif kind == "number" and PAIR.fullmatch(value):
            yield from _pair(value)
        elif kind == "price":
            code, _, sum_ = value.partition(" ")
            yield kind, f"* {sum_}"
            for other in ("EUR", "USD") if code == CENTS else (CENTS,) * (code in ("EUR", "USD")):
                yield kind, f"{other} {sum_}"

    def _telephones(self, fact: Fact) -> Iterator[Key]:
        text = plain(fact.text)
        if fact.value.startswith("+"):
            for value in telephone_values(text, self._home, self._regions):
                yield "telephone", value
        # Digits that are spelled have none.
        if "+" not in text and (digits := re.sub(r"\D", "", text)):
            yield "digits", digits

    def _verbatim(self, fact: Fact) -> set[int]:
        """The passages that have a fact in the same characters.

        A bare "9" or "nine" proves no hour, day or price: nine boats would.
        """
        said = plain(fact.text)
        if fact.kind != "number" and (said.isdecimal() or said.isalpha()):
            return set()
        words = _words(said)
        if not words or len(words) > MAX_WORDS:
            return set()
        if self._runs is None:
            self._runs = {}
            for index, text in enumerate(self._texts):
                for run in _runs(_words(plain(text))):
                    self._runs.setdefault(run, []).append(index)
        return set(self._runs.get(" ".join(words), ()))


def _pair(value: str) -> Iterator[Key]:
    """What "nine thirty" can be: an hour, a sum, a year."""
    first, second = value.split(" ")
    yield "time", f"{first}:{second}"
    yield "sum", number(Decimal(f"{first}.{second}"))
    yield "number", first + second


def _parts_of_date(value: str) -> Iterator[Key]:
    if value.startswith("---"):
        return
    if re.search(r"-\d\d-\d\d$", value):
        yield "date", f"---{value[-2:]}"
    year, rest = ("", value[1:]) if value.startswith("--") else (value[:4], value[4:])
    month = rest[1:3]
    if year:
        yield from (("number", year), ("date", f"{year}-{month}"), ("date", f"-{rest}"))
    else:
        yield "undated", f"-{rest}"
    yield "date", f"--{month}"


def _between(text: str, facts: Sequence[Fact]) -> Iterator[Key]:
    """The days and months inside a range: "Friday to Sunday" has a Saturday."""
    found = [f for f in facts if f.kind == "date" and not f.value.startswith("---")]
    weekdays = [fact for fact in found if fact.value.startswith("-W")]
    for first, last in pairwise(weekdays):
        # "Mon 6 to Fri 10 April" is a range of weekdays as well.
        if last.start - first.end <= 16 and _WEEKDAY_RANGE.fullmatch(text, first.end, last.start):
            yield from (("date", f"-W-{day}") for day in _cycle(first.value, last.value, 7))
    for first, last in pairwise(found):
        if (
            first.value.startswith("-W")
            or last.value.startswith("-W")
            or last.start - first.end > 12
        ):
            continue
        if _RANGE.fullmatch(text, first.end, last.start):
            start, end = _month(first.value), _month(last.value)
            yield from (("date", f"--{month:02}") for month in _cycle(start, end, 12))


def _month(value: str) -> str:
    return value[2:4] if value.startswith("--") else value[5:7]


def _cycle(first: str, last: str, length: int) -> list[int]:
    start, end = int(first[-2:].strip("-")), int(last[-2:].strip("-"))
    return [(start - 1 + step) % length + 1 for step in range((end - start) % length + 1)]


def _words(text: str) -> list[str]:
    stripped = (word.strip(_EDGES) for word in _BREAKS.split(text.casefold()))
    return [word for word in stripped if word]


def _runs(words: Sequence[str]) -> Iterator[str]:
    for index in range(len(words)):
        for size in range(1, MAX_WORDS + 1):
            yield " ".join(words[index : index + size])
