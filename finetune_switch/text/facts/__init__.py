"""Find facts in a text and compare them with the facts in passages.

A fact is a contact detail, an address, a price, a date, a time or a number. Answers and passages
are parsed by the same rules, so that "+44 20 7946 0000" equals "020 7946 0000", "£5" equals
"5 pounds" and "3 March" equals "03/03". The comparison is exact.

On tests/text/facts.toml and facts_hard.toml, in English and German, none of 564 invented facts
passes and none of 364 true facts is withheld (``python -m benchmarks.facts``). The rules were
written for these sets. On the last 182 facts added, before the rules were adapted to them, 8 of 129
invented facts passed and 4 of 53 true facts were withheld. Expect such rates on new texts.

Limits: a fact is not tied to its subject (a price in a passage is accepted as the price of
anything). Weekdays are not checked against dates. Seasons, holidays, the word "one", ordinal words
other than days ("the third floor") and numbers in codes of their own are not found.
"""

import re
from collections.abc import Iterable, Sequence

from finetune_switch.text.citations import CITATION

from .amounts import accounts, fractions, numbers, pairs, prices
from .base import Fact, Kind, blank_out
from .contacts import addresses, emails, postcodes, telephones, urls
from .dates import dates
from .lookup import PassageFacts
from .plain import PlainText
from .spelled import spelled_addresses, spelled_numbers
from .times import times
from .wording import number_words

__all__ = ["Fact", "Kind", "find_facts", "read_passages"]

# Candidate regions for telephone numbers without a country code.
REGIONS = ("GB", "DE", "US")

_LIST_NUMBER = re.compile(
    r"^[ \t>]{0,20}(?:[-*#]{1,6} )?(?:\*\*)?(?:[1-9]|1\d|20)[.)](?=[ \t*])", re.MULTILINE
)


def find_facts(text: str, language: str = "en", regions: Sequence[str] = REGIONS) -> list[Fact]:
    """The facts of a text, in order and without overlaps.

    ``language`` decides how dates and times are parsed. ``03/04`` is 3 April, except in ``en-us``.
    """
    plain = PlainText(text)
    found = _find(plain.text, language, regions)
    return found if plain.text == text else [plain.to_original(fact) for fact in found]


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
    """Add the facts that do not overlap, and return the text with them blanked out."""
    free = bytearray(len(text))
    spans = []
    for fact in found:
        if free.find(1, fact.start, fact.end) < 0:
            free[fact.start : fact.end] = b"\1" * (fact.end - fact.start)
            spans.append((fact.start, fact.end))
            facts.append(fact)
    return blank_out(text, spans) if spans else text


def home_region(language: str, regions: Sequence[str]) -> str:
    """The region of a language code (``de``, ``en-gb``) if listed, otherwise the first one."""
    code = re.split("[-_]", language)[-1].upper()
    return code if code in regions else next(iter(regions), "GB")


def read_passages(
    passages: Iterable[str], language: str = "en", regions: Sequence[str] = REGIONS
) -> PassageFacts:
    """The facts of some passages, for repeated lookups."""
    known = PassageFacts(home_region(language, regions), tuple(regions))
    for passage in passages:
        known.add(passage, find_facts(passage, language, regions))
    return known
