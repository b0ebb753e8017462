"""Facts that an answer must not make up, found in a text and compared with passages.

A fact is a contact detail, an address, a price, a date, an hour or a number. Both sides are read by
the same rules, so that "+44 20 7946 0000" is "020 7946 0000", "£5" is "5 pounds" and "3 March" is
"03/03"; then they are equal or not. There is no similarity here.

Of the facts of tests/text/facts.toml and facts_hard.toml, English and German, none of 564 invented
ones passes, and none of 364 true ones is held back (``python -m benchmarks.facts``). That is of
what these rules were made by. Of those that were written last, before anything was mended by them,
8 of 129 invented ones passed and 4 of 53 true ones were held back: what nobody has written down
there yet goes worse than what stands in it.

What it does not know: whether a fact is said of the right thing (a price in a passage is founded
whatever it is the price of), what the calendar says of a date, seasons and feasts, plain "one",
ordinals in words but as days ("the third floor"), and a number that is hidden in a code of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from finetune_switch.text.citations import CITATION

from .amounts import accounts, fractions, numbers, pairs, prices
from .base import Fact, Kind, blank_out
from .contacts import addresses, emails, postcodes, telephones, urls
from .dates import dates
from .lookup import Founded
from .plain import Plain
from .spelled import spelled_addresses, spelled_numbers
from .times import times
from .wording import number_words

__all__ = ["REGIONS", "Fact", "Kind", "find_facts", "read_passages", "unfounded"]

REGIONS = ("GB", "DE", "US")
"""Where telephone numbers without a country code may be at home."""

# "1. " at the beginning of a line counts the lines of a list.
_LIST_NUMBER = re.compile(
    r"^[ \t>]{0,20}(?:[-*#]{1,6} )?(?:\*\*)?(?:[1-9]|1\d|20)[.)](?=[ \t*])", re.MULTILINE
)


def find_facts(text: str, language: str = "en", regions: Sequence[str] = REGIONS) -> list[Fact]:
    """The facts of a text, in order, none inside another.

    ``language`` says how dates and hours are written. ``03/04`` is the third of April everywhere
    but in ``en-us``.
    """
    read = Plain(text)
    found = _find(read.text, language, regions)
    return found if read.text == text else [read.in_original(fact) for fact in found]


def _find(text: str, language: str, regions: Sequence[str]) -> list[Fact]:
    home = home_region(language, regions)
    rest = blank_out(text, (match.span() for match in CITATION.finditer(text)))
    facts: list[Fact] = []
    for find in (spelled_addresses, emails, urls, accounts):
        rest = _take(rest, find(rest), facts)
    rest = _take(rest, spelled_numbers(rest, home, regions), facts)
    worded = number_words(rest)
    rest = _take(rest, prices(rest, worded), facts)
    worded = [found for found in worded if "\0" not in rest[found[0] : found[1]]]
    rest = _take(rest, dates(rest, language), facts)
    rest = blank_out(rest, (match.span() for match in _LIST_NUMBER.finditer(rest)))
    for found in (pairs(rest, worded), fractions(rest)):
        rest = _take(rest, found, facts)
    worded = [found for found in worded if "\0" not in rest[found[0] : found[1]]]
    rest = _take(rest, times(rest, language, worded), facts)
    rest = _take(rest, telephones(rest, home, regions), facts)
    for find in (addresses, postcodes):
        rest = _take(rest, find(rest), facts)
    _take(rest, numbers(rest, worded), facts)
    return sorted(facts, key=lambda fact: fact.start)


def _take(text: str, found: Iterable[Fact], facts: list[Fact]) -> str:
    """Keep what is found and does not overlap, and take it out of the text."""
    free = bytearray(len(text))
    spans = []
    for fact in found:
        if free.find(1, fact.start, fact.end) < 0:
            free[fact.start : fact.end] = b"\1" * (fact.end - fact.start)
            spans.append((fact.start, fact.end))
            facts.append(fact)
    return blank_out(text, spans) if spans else text


def home_region(language: str, regions: Sequence[str]) -> str:
    """The region of a language (``de``, ``en-gb``), where it is one of these; else the first."""
    code = re.split("[-_]", language)[-1].upper()
    return code if code in regions else next(iter(regions), "GB")


def unfounded(
    text: str, passages: Iterable[str], language: str = "en", regions: Sequence[str] = REGIONS
) -> list[Fact]:
    """The facts of a text that stand in none of the passages."""
    founded = read_passages(passages, language, regions)
    return [fact for fact in find_facts(text, language, regions) if fact not in founded]


def read_passages(
    passages: Iterable[str], language: str = "en", regions: Sequence[str] = REGIONS
) -> Founded:
    """What passages say, to ask it of many facts."""
    founded = Founded(home_region(language, regions), tuple(regions))
    for passage in passages:
        founded.add(passage, find_facts(passage, language, regions))
    return founded
