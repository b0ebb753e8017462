"""Dates, months and weekdays. Ambiguous numeric dates are read day first, except in en-us."""

import re
from collections.abc import Iterator

from .base import BLANK, DASH, Fact, make_fact
from .wording import months, ordinals, short_weekdays, weekdays

_DAY = r"(?<![\w.,:/])(?P<day>\d{1,2})"
_ORDINAL = r"(?:st\b|nd\b|rd\b|th\b|\.)?"
_NAME = r"(?P<month>[^\W\d_]{3,10})\b"
_YEAR = r"(?P<year>(?:1\d|20|21)\d\d)(?!\d)"
_UNTIL = rf"(?:{DASH}|/|\b(?:to|until|till|bis(?: zum)?|and|und)\b|&)"

_ISO = re.compile(r"(?<![\w-])(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)(?![\d-])")
_NUMERIC = re.compile(
    rf"{_DAY}(?P<mark>[./-]){BLANK}?(?P<month>\d{{1,2}})(?P=mark){BLANK}?"
    r"(?P<year>\d{4}|\d\d)(?![\d]|[./-]\d)"
)
_NUMERIC_DAY = re.compile(rf"{_DAY}\.{BLANK}?(?P<month>\d{{1,2}})\.(?![\d])")
_SLASHED_DAY = re.compile(r"(?<![\w./,-])(?P<day>\d\d)/(?P<month>\d\d)(?![\w/])")
_DAY_MONTH = re.compile(
    rf"{_DAY}{_ORDINAL}(?:{BLANK}?{_UNTIL}{BLANK}?(?:the )?(?:[a-zäöü]{{2,10}}\.?,?{BLANK})?"
    rf"(?P<last>\d{{1,2}}){_ORDINAL})?{BLANK}?(?:of )?{_NAME}\.?(?:,?{BLANK}{_YEAR})?",
    re.IGNORECASE,
)
_MONTH_DAY = re.compile(
    rf"(?<![\w]){_NAME}\.?{BLANK}(?:the )?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?![\w:]|[.,]\d)"
    rf"(?!{BLANK}?[ap]\.?m\b|{BLANK}?uhr\b)(?:{BLANK}?{DASH}{BLANK}?(?P<last>\d{{1,2}})(?![\w:]))?"
    rf"(?:,?{BLANK}{_YEAR})?",
    re.IGNORECASE,
)
_MONTH_YEAR = re.compile(rf"(?<![\w]){_NAME}\.?,?{BLANK}(?:of )?{_YEAR}", re.IGNORECASE)
_WORD = re.compile(r"(?<!\w)[^\W\d_]{2,12}(?!\w)")
_ORDINAL_WORD = re.compile(
    r"\b(?:twenty|thirty)[- ][a-z]{5,7}\b"
    r"|\b(?:[^\W\d_]{3,16}(?:th|st|rd|nd|te[rn]?)|zweite[rn]?)\b",
    re.IGNORECASE,
)
_MONTH_AFTER = re.compile(rf"{BLANK}(?:of{BLANK})?(?:the{BLANK})?{_NAME}(?:,?{BLANK}{_YEAR})?")
_MONTH_BEFORE = re.compile(rf"{_NAME},?{BLANK}(?:the{BLANK})?$")
_DAY_ALONE = re.compile(r"(?<![\w.,/])(?P<day>\d{1,2})(?:st|nd|rd|th)\b", re.IGNORECASE)
# As in "on the eighteenth".
_BEFORE_DAY = re.compile(
    r"\b(?:on|until|till|by|from|before|after|since) the $|\b(?:am|zum|vom|bis|ab dem|den) $",
    re.IGNORECASE,
)
_BEFORE_LOW_DAY = re.compile(r"\b(?:on the|am) $", re.IGNORECASE)
_AFTER_DAY = re.compile(
    rf"{BLANK}?(?:$|[.,;:!?)\n\0])|{BLANK}(?:and|or|to|until|at|from|is|we|und|oder|bis|um|ist)\b",
    re.MULTILINE,
)
# "May" and "march" are also other words, and so are some short weekday names.
_AFTER_PREPOSITION = re.compile(
    r"\b(?:in|since|from|until|till|to|of|by|and|or|during|through|early|late|mid|each|every|this"
    rf"|next|last|im|ab|seit|bis|und|oder|anfang|mitte|ende|bis zum){BLANK}$"
    rf"|{DASH}$|[(|,/]{BLANK}?$",
    re.IGNORECASE,
)
_BEFORE_RANGE = re.compile(rf"{BLANK}?(?:{DASH}|\b(?:to|until|till|through|bis|and|und)\b)")
_BEFORE_TIME = re.compile(rf"[.:,]{{0,2}}{BLANK}?(?:\d|{DASH}|/|&|\b(?:to|bis|und|and)\b)")
_AFTER_RANGE = re.compile(rf"(?:{DASH}|/|&|\b(?:to|bis|und|and)\b){BLANK}?$")
_ON_DAYS = (" on ", " every ", " each ", "On ", "Every ")
_AMBIGUOUS_MONTHS = {"may", "march", "mar", "dec", "jan", "jun", "sep", "oct", "nov"}


def dates(text: str, language: str) -> Iterator[Fact]:
    """Dates and months, with or without a year, and weekdays."""
    day_first = language.lower().replace("_", "-") != "en-us"
    named = months(language)
    for pattern in (_ISO, _NUMERIC, _SLASHED_DAY):
        yield from _numeric(pattern, text, day_first or pattern is _ISO)
    if not language.lower().startswith("en"):
        yield from _numeric(_NUMERIC_DAY, text, day_first=True)
    for pattern in (_DAY_MONTH, _MONTH_DAY):
        for match in pattern.finditer(text):
            month = named.get(match["month"].lower())
            if month is None or not 1 <= int(match["day"]) <= 31:
                continue
            end = match.end() - (match[0].endswith(".") and _ends_sentence(text, match.end()))
            year = match["year"] or ""
            if match["last"]:
                yield make_fact("date", text, match.start("day"), match.end("day"),
                           _date(year, month, int(match["day"])))  # fmt: skip
                first, day = match.start("last"), int(match["last"])
                if pattern is _MONTH_DAY:
                    first, end = match.start("last"), match.end("last")
                yield make_fact("date", text, first, end, _date(year, month, day))
            else:
                yield make_fact(
                    "date", text, match.start(), end, _date(year, month, int(match["day"]))
                )
    yield from _ordinal_days(text, named)
    for match in _MONTH_YEAR.finditer(text):
        if month := named.get(match["month"].lower()):
            yield make_fact("date", text, *match.span(), f"{match['year']}-{month:02}")
    yield from _months_and_weekdays(text, language)


def _ordinal_days(text: str, named: dict[str, int]) -> Iterator[Fact]:
    """ "The first of April", and days without a month: "on the eighteenth", "on the 18th"."""
    for match in _ORDINAL_WORD.finditer(text):
        day = ordinals().get(match[0].lower())
        if day is None:
            continue
        start, end = match.span()
        month_after = _MONTH_AFTER.match(text, end)
        month_before = _MONTH_BEFORE.search(text, max(0, start - 18), start)
        if month_after and (month := named.get(month_after["month"].lower())):
            yield make_fact(
                "date", text, start, month_after.end(), _date(month_after["year"] or "", month, day)
            )
        elif month_before and (month := named.get(month_before["month"].lower())):
            yield make_fact("date", text, month_before.start(), end, _date("", month, day))
        else:
            # "From the first" is no date.
            yield from _day_alone(
                text, start, end, day, _BEFORE_LOW_DAY if day <= 3 else _BEFORE_DAY
            )
    for match in _DAY_ALONE.finditer(text):
        yield from _day_alone(text, *match.span(), int(match["day"]), _BEFORE_DAY)


def _day_alone(
    text: str, start: int, end: int, day: int, before: re.Pattern[str]
) -> Iterator[Fact]:
    if before.search(text, max(0, start - 11), start) and _AFTER_DAY.match(text, end):
        yield make_fact("date", text, start, end, f"---{day:02}")


def _ends_sentence(text: str, end: int) -> bool:
    return text[end : end + 1].strip() == ""


def _date(year: str, month: int, day: int) -> str:
    return f"{year or '-'}-{month:02}-{day:02}"


def _numeric(pattern: re.Pattern[str], text: str, day_first: bool) -> Iterator[Fact]:
    for match in pattern.finditer(text):
        found = match.groupdict()
        day, month, year = int(found["day"]), int(found["month"]), found.get("year") or ""
        if (month > 12 or (not day_first and found.get("mark") != ".")) and day <= 12:
            day, month = month, day
        if not (1 <= day <= 31 and 1 <= month <= 12):
            continue
        if len(year) == 2:
            year = f"{'19' if int(year) >= 70 else '20'}{year}"
        yield make_fact("date", text, *match.span(), _date(year, month, day))


def _months_and_weekdays(text: str, language: str) -> Iterator[Fact]:
    named, days, short = months(language), weekdays(language), short_weekdays(language)
    is_german = language.lower().startswith("de")
    for match in _WORD.finditer(text):
        word = match[0].lower()
        start, end = match.span()
        if day := days.get(word) or days.get(word.removesuffix("s")):
            yield make_fact("date", text, start, end, f"-W-{day}")
        elif (
            not match[0][0].isupper()
            and (month := named.get(word))
            and not _is_english_or_german(word)
        ):
            yield make_fact("date", text, start, end, f"--{month:02}")
        elif match[0][0].isupper() and (month := named.get(word)):
            if word not in _AMBIGUOUS_MONTHS or _has_date_context(text, start, end):
                yield make_fact("date", text, start, end, f"--{month:02}")
        elif (day := short.get(word)) and match[0][0].isupper():
            # The German "Do" and "So" are English words.
            if len(word) == 2 and not is_german:
                continue
            is_named = len(word) > 2 and text[max(0, start - 6) : start].endswith(_ON_DAYS)
            is_beside = _BEFORE_TIME.match(text, end) or _AFTER_RANGE.search(
                text, max(0, start - 6), start
            )
            if is_named or is_beside:
                yield make_fact("date", text, start, end, f"-W-{day}")


def _is_english_or_german(word: str) -> bool:
    # Both capitalise months, so "march" is not one.
    return word in months("en") or word in months("de")


def _has_date_context(text: str, start: int, end: int) -> bool:
    return bool(
        _AFTER_PREPOSITION.search(text, max(0, start - 9), start) or _BEFORE_RANGE.match(text, end)
    )
