"""Mask personal data in recorded questions: e-mail addresses, telephone and card numbers.

Only the record is masked. Retrieval and the model use the question as it was asked. Dates, times
and prices stay.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

# Most questions match none of this, so that phonenumbers is not needed.
_HINT = re.compile(r"@|[\[(] ?at ?[\])]|\d(?:[^\w\n]{0,3}\d){6}", re.IGNORECASE)
_DIGIT_RUN = re.compile(r"(?<![\w.,])\d+(?:[ \u00a0-]\d+)*(?![\w])")
_LONG_NUMBER = re.compile(r"(?<![\w.,+-])(\d{9,20}|\d{5} \d{5})(?![\w-])")
_NAMED_NUMBER = re.compile(
    r"\b(?:number|nummer|no|nr)\b\.?:?(?: is| ist| lautet)?:? ?(\d(?:[ -]?\d){5,18})(?![\w-])",
    re.IGNORECASE,
)
NON_TELEPHONE_KINDS = ("date", "time", "price")
CARD_LENGTHS = range(13, 20)
MAX_GROUPS = 40


class PrivateSpan(NamedTuple):
    """A part of a text to be replaced by its kind."""

    start: int
    end: int
    kind: str
    value: str


def masked(text: str, language: str = "en") -> str:
    """Replace personal data by ``[e-mail]``, ``[telephone]``, ``[card]`` or ``[number]``."""
    return Masking(language).hide(text)


class Masking:
    """Masks a question, and then what other texts repeat of it."""

    def __init__(self, language: str) -> None:
        self._language = language or "en"
        self._kind_by_text: dict[str, str] = {}
        self._values: set[tuple[str, str]] = set()

    def hide(self, text: str) -> str:
        """Mask personal data, and remember it for :meth:`hide_repeated`."""
        found = find_private(text, self._language)
        for private in found:
            self._kind_by_text[text[private.start : private.end]] = private.kind
            self._values.add((private.kind, private.value))
        return _replace(text, found)

    def remember_repeated(self, *texts: str) -> None:
        """Remember how these texts spell what :meth:`hide` has masked, to mask it in all of them.

        Whether a number is one of a telephone is read from the words around it, which may be there
        in one text alone.
        """
        for text in texts:
            for private in self._repeated_in(text):
                self._kind_by_text[text[private.start : private.end]] = private.kind

    def hide_repeated(
        self, text: str, withheld_facts: Iterable[dict[str, Any]] = ()
    ) -> tuple[str, list[dict[str, Any]]]:
        """Mask only the data that :meth:`hide` has masked before.

        ``withheld_facts`` refer to the text by ``text``, ``start`` and ``end``. They are returned
        with these values adapted to the masked text.
        """
        kept = list(withheld_facts)
        if not self._kind_by_text:
            return text, kept
        found = self._repeated_in(text)
        found += [
            PrivateSpan(*match.span(), kind, "")
            for masked_text, kind in self._kind_by_text.items()
            for match in re.finditer(re.escape(masked_text), text)
        ]
        found = list(_without_overlaps(found))
        return _replace(text, found), [_moved(fact, found) for fact in kept]

    def _repeated_in(self, text: str) -> list[PrivateSpan]:
        if not self._kind_by_text:
            return []
        found = find_private(text, self._language)
        return [private for private in found if (private.kind, private.value) in self._values]


def find_private(text: str, language: str = "en") -> list[PrivateSpan]:
    """E-mail addresses, card, telephone and other long numbers, in order, without overlaps."""
    if not _HINT.search(text):
        return []
    import phonenumbers

    from .facts import REGIONS, find_facts, home_region
    from .facts.base import blank_out
    from .facts.contacts import emails

    found = [PrivateSpan(fact.start, fact.end, "e-mail", fact.value) for fact in emails(text)]
    found += _cards(text)
    rest = blank_out(text, (private[:2] for private in found))
    facts = find_facts(rest, language)
    found += [
        PrivateSpan(fact.start, fact.end, "telephone", fact.value)
        for fact in facts
        if fact.kind == "telephone"
    ]
    rest = blank_out(rest, ((f.start, f.end) for f in facts if f.kind in NON_TELEPHONE_KINDS))
    for region in dict.fromkeys((home_region(language, REGIONS), *REGIONS)):
        for match in phonenumbers.PhoneNumberMatcher(rest, region):
            value = phonenumbers.format_number(match.number, phonenumbers.PhoneNumberFormat.E164)
            found.append(PrivateSpan(match.start, match.end, "telephone", value))
    for pattern in (_LONG_NUMBER, _NAMED_NUMBER):
        found += [
            PrivateSpan(*match.span(1), "number", match[1]) for match in pattern.finditer(rest)
        ]
    return list(_without_overlaps(found))


def _cards(text: str) -> Iterator[PrivateSpan]:
    for run in _DIGIT_RUN.finditer(text):
        groups = [group.span() for group in re.finditer(r"\d+", run[0])][:MAX_GROUPS]
        for first in range(len(groups)):
            for last in range(len(groups) - 1, first - 1, -1):
                start, end = groups[first][0], groups[last][1]
                digits = re.sub(r"\D", "", run[0][start:end])
                if len(digits) in CARD_LENGTHS and _passes_luhn(digits):
                    yield PrivateSpan(run.start() + start, run.start() + end, "card", digits)
                    break


def _passes_luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of ISO/IEC 7812."""
    total = 0
    for place, digit in enumerate(map(int, reversed(digits))):
        total += digit if place % 2 == 0 else digit * 2 - 9 * (digit > 4)
    return total % 10 == 0 and len(set(digits)) > 1


def _without_overlaps(found: Iterable[PrivateSpan]) -> Iterator[PrivateSpan]:
    """In order. Of overlapping spans, the one that begins first wins, then the longest."""
    end = 0
    for private in sorted(found, key=lambda private: (private.start, -private.end)):
        if private.start >= end:
            end = private.end
            yield private


def _replace(text: str, found: Sequence[PrivateSpan]) -> str:
    parts, position = [], 0
    for private in found:
        parts += [text[position : private.start], f"[{private.kind}]"]
        position = private.end
    return "".join([*parts, text[position:]])


def _moved(fact: dict[str, Any], found: Sequence[PrivateSpan]) -> dict[str, Any]:
    start, end = fact["start"], fact["end"]
    moved, text = 0, fact["text"]
    for private in found:
        grown = len(private.kind) + 2 - (private.end - private.start)
        if private.end <= start:
            moved += grown
        elif private.start < end:
            # The fact overlaps with the masked span.
            place = private.start + moved
            return {
                **fact,
                "text": f"[{private.kind}]",
                "start": place,
                "end": place + len(private.kind) + 2,
            }
    return {**fact, "text": text, "start": start + moved, "end": end + moved}
