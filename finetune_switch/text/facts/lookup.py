"""Look facts up in passages, by value or by their exact text."""

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise

from .amounts import CENTS, PAIR
from .base import BLANK, DASH, Fact, number
from .contacts import telephone_values
from .plain import plain

Key = tuple[str, str]

# Longer facts are not looked up by their text.
MAX_WORDS = 6
_PUNCTUATION = ".,;:!?()[]{}\"'“”„‘’«»*_`"
_WORD_SEPARATOR = re.compile(r"[\s|]+")
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


class PassageFacts:
    """The facts of some passages. ``in`` tells whether any of the passages states a fact."""

    def __init__(self, home: str, regions: tuple[str, ...]) -> None:
        self._home, self._regions = home, regions
        self._passages_by_key: dict[Key, set[int]] = {}
        self._texts: list[str] = []
        self._phrases: dict[str, list[int]] | None = None

    def add(self, text: str, facts: Sequence[Fact]) -> None:
        """Add a passage with its facts. Passages are numbered from 0."""
        keys = [key for fact in facts for key in self._stated_keys(fact)]
        keys += _keys_in_ranges(text, facts)
        for pattern, days in _GROUPS:
            if pattern.search(text):
                keys += [("date", f"-W-{day}") for day in days]
        for key in keys:
            self._passages_by_key.setdefault(key, set()).add(len(self._texts))
        self._texts.append(text)
        self._phrases = None

    def passages(self, fact: Fact) -> set[int]:
        """The numbers of the passages that state a fact."""
        found: set[int] = set()
        for key in self._accepted_keys(fact):
            found |= self._passages_by_key.get(key, set())
        return found or self._verbatim(fact)

    def __contains__(self, fact: Fact) -> bool:
        return bool(self.passages(fact))

    def _stated_keys(self, fact: Fact) -> Iterator[Key]:
        """Everything that a passage states with a fact: a date also states its month and year."""
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
            # The currency may be in the column heading of a table.
            yield "price", f"* {value}"
            yield "sum", value
        elif kind == "number" and PAIR.fullmatch(value):
            yield from _pair_keys(value)

    def _accepted_keys(self, fact: Fact) -> Iterator[Key]:
        """The keys that support a fact of an answer. A passage has to state one of them."""
        kind, value = fact.kind, fact.value
        yield kind, value
        if kind == "telephone":
            yield from self._telephones(fact)
        elif kind == "date" and re.match(r"\d{4}-", value):
            yield "undated", f"-{value[4:]}"
        elif kind == "number" and PAIR.fullmatch(value):
            yield from _pair_keys(value)
        elif kind == "price":
            code, _, amount = value.partition(" ")
            yield kind, f"* {amount}"
            for other in ("EUR", "USD") if code == CENTS else (CENTS,) * (code in ("EUR", "USD")):
                yield kind, f"{other} {amount}"

    def _telephones(self, fact: Fact) -> Iterator[Key]:
        text = plain(fact.text)
        if fact.value.startswith("+"):
            for value in telephone_values(text, self._home, self._regions):
                yield "telephone", value
        # Spelled-out numbers contain no digits.
        if "+" not in text and (digits := re.sub(r"\D", "", text)):
            yield "digits", digits

    def _verbatim(self, fact: Fact) -> set[int]:
        """The passages that contain the exact text of a fact.

        A bare "9" or "nine" does not support a time, a date or a price: "nine boats" would match.
        """
        text = plain(fact.text)
        if fact.kind != "number" and (text.isdecimal() or text.isalpha()):
            return set()
        words = _words(text)
        if not words or len(words) > MAX_WORDS:
            return set()
        if self._phrases is None:
            self._phrases = {}
            for index, passage in enumerate(self._texts):
                for phrase in _phrases(_words(plain(passage))):
                    self._phrases.setdefault(phrase, []).append(index)
        return set(self._phrases.get(" ".join(words), ()))


def _pair_keys(value: str) -> Iterator[Key]:
    """A pair such as "nine thirty" as a time, an amount and a year."""
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


def _keys_in_ranges(text: str, facts: Sequence[Fact]) -> Iterator[Key]:
    """The days and months within a range: "Friday to Sunday" includes Saturday."""
    found = [f for f in facts if f.kind == "date" and not f.value.startswith("---")]
    weekdays = [fact for fact in found if fact.value.startswith("-W")]
    for first, last in pairwise(weekdays):
        # "Mon 6 to Fri 10 April" is also a range of weekdays.
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
    stripped = (word.strip(_PUNCTUATION) for word in _WORD_SEPARATOR.split(text.casefold()))
    return [word for word in stripped if word]


def _phrases(words: Sequence[str]) -> Iterator[str]:
    for index in range(len(words)):
        for size in range(1, MAX_WORDS + 1):
            yield " ".join(words[index : index + size])
