"""Number words and names of months and days, in English, German and the text's language."""

import re
from decimal import Decimal
from functools import cache, lru_cache

from django.utils import dates, translation

WordedNumber = tuple[int, int, Decimal]

# Missing from Django's lists.
_MORE_MONTHS = {"sept": 9, "jänner": 1, "feber": 2, "mrz": 3, "okt": 10, "dez": 12, "maerz": 3}
_MORE_DAYS = {"tues": 2, "wednes": 3, "thur": 4, "thurs": 4, "sonnabend": 6, "weds": 3}


@cache
def months(language: str) -> dict[str, int]:
    """Full and short month names in lower case, mapped to 1–12."""
    return _names(language, [dates.MONTHS, dates.MONTHS_3, dates.MONTHS_AP], 0) | _MORE_MONTHS


@cache
def weekdays(language: str) -> dict[str, int]:
    """Weekday names in lower case, mapped to 1 (Monday) to 7."""
    return _names(language, [dates.WEEKDAYS], 1) | {"sonnabend": 6}


@cache
def short_weekdays(language: str) -> dict[str, int]:
    return _names(language, [dates.WEEKDAYS_ABBR], 1) | _MORE_DAYS


def _names(language: str, lists: list[dict[int, str]], offset: int) -> dict[str, int]:
    found = {}
    # The text's own language comes last, so that its names win.
    for code in ("de", "en", language or "en"):
        with translation.override(code):
            for names in lists:
                for index, name in names.items():
                    found[str(name).lower().rstrip(".")] = int(index) + offset
    return found


_ENGLISH_UNITS = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen"
)
_ENGLISH_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_UNITS = {word: value for value, word in enumerate(_ENGLISH_UNITS.split(), 1)}
_TENS = {word: value * 10 for value, word in enumerate(_ENGLISH_TENS.split(), 2)}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 1_000_000}

_UNIT = "|".join(sorted(_UNITS, key=len, reverse=True))
# "Twenty nineteen" is a year.
_DIGIT = "|".join(list(_UNITS)[:9])
_SMALL = rf"(?:(?:{'|'.join(_TENS)})(?:[- ](?:{_DIGIT})\b)?|{_UNIT})\b"
_HUNDREDS = rf"(?:(?:a|{_SMALL})[- ]hundred\b(?: and {_SMALL}| {_SMALL})?)"
_BELOW = rf"(?:{_HUNDREDS}|{_SMALL})"
_ENGLISH = re.compile(
    rf"(?:(?:{_HUNDREDS}|a\b|{_SMALL}) (?:thousand|million)\b"
    rf"(?:,?(?: and)? {_BELOW})?|{_BELOW})",
    re.IGNORECASE,
)
_STARTERS = frozenset([*_UNITS, *_TENS, "a"])
_WORD = re.compile(r"[^\W\d_]++")

_GERMAN_UNITS = ["ein", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"]
_TWENTY_AND_MORE = "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig"
_GERMAN_TENS = ["zehn", *_TWENTY_AND_MORE.split()]
_ELEVEN_AND_MORE = "elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn"
_GERMAN_TEENS = _ELEVEN_AND_MORE.split()


@cache
def _german() -> dict[str, int]:
    """German number words up to 999."""
    below = {word: value for value, word in enumerate(_GERMAN_UNITS, 1)} | {"eins": 1, "zwo": 2}
    below |= {word: value for value, word in enumerate(_GERMAN_TEENS, 11)}
    below |= {word: value * 10 for value, word in enumerate(_GERMAN_TENS, 1)}
    for tens, word in enumerate(_GERMAN_TENS[1:], 2):
        for units, unit in enumerate(_GERMAN_UNITS, 1):
            below[f"{unit}und{word}"] = tens * 10 + units
    found = dict(below)
    hundreds = [(1, ""), *enumerate(_GERMAN_UNITS, 1), *enumerate(_GERMAN_TEENS, 11)]
    for value, word in hundreds:
        found[f"{word}hundert"] = value * 100
        for rest, small in below.items():
            found[f"{word}hundert{rest}"] = found[f"{word}hundertund{rest}"] = value * 100 + small
    return found | {word.replace("ß", "ss"): value for word, value in found.items()}


@lru_cache(maxsize=10_000)
def _read_german(word: str) -> int:
    known = _german()
    head, thousand, rest = word.partition("tausend")
    if not thousand:
        return known.get(word, 0)
    if head not in known and head:
        return 0
    below = known.get(rest.removeprefix("und"), 0)
    return known.get(head, 1) * 1000 + below if below or not rest else 0


def _read_english(text: str) -> int:
    total = current = 0
    for word in re.split(r"[^a-z]+", text.lower()):
        value = _UNITS.get(word) or _TENS.get(word)
        if value:
            current += value
        elif word == "hundred":
            current = max(current, 1) * 100
        elif word in _SCALES:
            total += max(current, 1) * _SCALES[word]
            current = 0
    return total + current


@cache
def ordinals() -> dict[str, int]:
    """English and German ordinal words for the days of a month, mapped to 1–31."""
    first = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
    first += " thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth"
    found = {word: value for value, word in enumerate(first.split(), 1)}
    found |= {"twentieth": 20, "thirtieth": 30, "thirty-first": 31, "thirty first": 31}
    for word, value in list(found.items())[:9]:
        found[f"twenty-{word}"] = found[f"twenty {word}"] = 20 + value
    irregular = {1: "erst", 3: "dritt", 7: "siebt", 8: "acht"}
    for word, value in _german().items():
        if value <= 31:
            stem = irregular.get(value) or word + ("t" if value < 20 else "st")
            found |= {f"{stem}{ending}": value for ending in ("e", "en", "er")}
    return found


def number_words(text: str) -> list[WordedNumber]:
    """Start, end and value of each number word from two up, in order."""
    found, position = [], 0
    for match in _WORD.finditer(text):
        start, word = match.start(), match[0].lower()
        if start < position:
            continue
        value, end = 0, match.end()
        if word in _STARTERS:
            if english := _ENGLISH.match(text, start):
                value, end = _read_english(english[0]), english.end()
        elif len(word) > 2:
            value = _read_german(word)
        if value > 1:
            found.append((start, end, Decimal(value)))
            position = end
    return found
