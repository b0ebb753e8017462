"""Times of day, as opening hours have them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from .base import BLANK, DASH, Fact, make
from .wording import WordedNumber

_HOUR = r"(?<![\w.,:/£€$-])(?P<hour>\d{1,2})(?:[.:](?P<minute>[0-5]\d))?"
_FIRST = (
    r"(?:(?<![\w.,:/£€$-])(?P<first>\d{1,2})(?:[.:](?P<first_minute>[0-5]\d))?"
    rf"{BLANK}?(?:{DASH}|\b(?:to|until|till|and|or|bis|und|oder)\b){BLANK}?)?"
)
_LAST = r"(?P<hour>\d{1,2})(?:[.:](?P<minute>[0-5]\d))?"
_NOT_INSIDE = r"(?<![\w.,:/£€$])"

_MERIDIEM = re.compile(
    rf"{_FIRST}{_NOT_INSIDE}{_LAST}{BLANK}?(?P<half>[ap])(?:m\b|\.{BLANK}?m\b\.?)", re.IGNORECASE
)
_UHR = re.compile(
    rf"{_FIRST}{_NOT_INSIDE}{_LAST}{BLANK}?Uhr\b(?:{BLANK}(?P<more>[0-5]\d)(?!\w|[.,:]\d))?"
)
_COLON = re.compile(r"(?<![\w.:/])(?P<hour>\d{1,2}):(?P<minute>[0-5]\d)(?![\d]|:\d)")
_DOTS = re.compile(
    rf"{_NOT_INSIDE}(?P<first>\d{{1,2}})\.(?P<first_minute>[0-5]\d)"
    rf"{BLANK}?(?:{DASH}|\b(?:to|until|till|bis)\b){BLANK}?"
    r"(?P<hour>\d{1,2})\.(?P<minute>[0-5]\d)(?!\w|[.,]\d)"
)
_WITH_H = re.compile(r"(?<!\w)(?P<hour>\d{1,2})h(?P<minute>[0-5]\d)\b")
_NAMED = re.compile(r"\b(?:((?:12 )?noon|midday|mittags)|(midnight|mitternacht))\b", re.IGNORECASE)
_OCLOCK = re.compile(rf"{BLANK}?(?:o['’]{BLANK}?clock|Uhr)\b", re.IGNORECASE)
_HALF = re.compile(
    r"\b(?:(half past)|(halb)|(quarter past|viertel nach)|(quarter to|viertel vor|dreiviertel)"
    r"|(half)) $",
    re.IGNORECASE,
)
_MINUTES = re.compile(
    r"\b(?P<minutes>five|ten|twenty|twenty[- ]five|fünf|zehn|zwanzig|5|10|20|25)"
    r"(?: (?:minutes|minuten))? (?P<side>past|to|nach|vor) $",
    re.IGNORECASE,
)
_WORDED_MINUTES = {"five": 5, "fünf": 5, "ten": 10, "zehn": 10, "twenty": 20, "zwanzig": 20}
# Hours before the last of a list: "11, 13 and 15 Uhr".
_LISTED = re.compile(rf"(?<![\w.,:/£€$-])(?P<hour>\d{{1,2}})(?:[.:](?P<minute>[0-5]\d))?,{BLANK}?$")
# Behind a day of the week, or what says that it is about opening.
_HOURS = re.compile(
    rf"(?:\0,?{BLANK}|\0:{BLANK}?|\b(?:open|daily|hours|geöffnet|täglich|offen|zeiten)[,:]?{BLANK})"
    rf"(?P<first>\d{{1,2}}){BLANK}?(?:{DASH}|\b(?:to|bis)\b){BLANK}?(?P<hour>\d{{1,2}})(?![\w%°]|[.,:/-]\d)",
    re.IGNORECASE,
)

# A bare number is an hour behind "at", where nothing is counted by it.
_AT = ("at ", "until ", "till ", "by ", "before ", "after ", "um ", "bis ", "vor ", "nach ", "ab ")
# "One" and "ein" are mostly no numbers.
_ONE = re.compile(r"\b(?:one|eins?)\b", re.IGNORECASE)
_AT_ONE = ("at ", "until ", "till ", "um ", "bis ")
_FROM = ("from ", "between ", "von ", "zwischen ", "ab ")
_PARTS = ("past ", "to ", "halb ", "nach ", "vor ", "half ", "dreiviertel ")
_PART_AHEAD = re.compile(r"(?:half|halb|quarter|viertel|dreiviertel|a quarter)\b", re.IGNORECASE)
_O_OR_U = frozenset("oOU")
_AGES = re.compile(r"\b(?:aged?|ages|children|kids|kinder|alter|jahren?)\b", re.IGNORECASE)
_TO = re.compile(rf"{BLANK}?(?:{DASH}|\b(?:to|and|until|till|bis|und)\b){BLANK}?")
_THEN = re.compile(
    rf"(?:{BLANK}?(?:$|[.,;:!?)\n](?!\d)|\0)|{BLANK}(?:on|in|and|every|each|daily|to|until|or|but"
    r"|when|from|täglich|und|am|an|oder|bis|morgens|abends|nachmittags|sharp|mondays?|tuesdays?"
    r"|wednesdays?|thursdays?|fridays?|saturdays?|sundays?)\b)",
    re.IGNORECASE | re.MULTILINE,
)
_BARE = re.compile(
    r"(?<![\w.,:/£€$-])(?P<hour>\d{1,2})(?:\.(?P<minute>[0-5]\d))?(?![\w%°]|[.,:/]\d)"
)


def times(text: str, language: str, worded: Sequence[WordedNumber]) -> Iterator[Fact]:
    """Times of day on a clock of 24 hours; ``5:00`` where only twelve are told apart."""
    yield from _with_halves(text)
    for match in _UHR.finditer(text):
        yield from _listed(text, match.start())
        yield from _pair(text, match, match["more"] or "", exact=True)
    exact = not language.lower().startswith("en")
    for match in _COLON.finditer(text):
        yield from _pair(text, match, "", exact=exact)
    for match in _DOTS.finditer(text):
        yield from _pair(text, match, "", exact=exact)
    for match in _WITH_H.finditer(text):
        yield from _pair(text, match, "", exact=True)
    for match in _NAMED.finditer(text):
        yield make("time", text, *match.span(), "12:00" if match[1] else "00:00")
    for match in _HOURS.finditer(text):
        if 1 <= int(match["first"]) <= 24 and 1 <= int(match["hour"]) <= 24:
            for name in ("first", "hour"):
                yield make("time", text, *match.span(name), _clock(match[name], "00", exact) or "")
    yield from _bare(text, worded, exact)


def _listed(text: str, end: int) -> Iterator[Fact]:
    while before := _LISTED.search(text, max(0, end - 8), end):
        hour, minute = before.group("hour", "minute")
        if value := _clock(hour, minute or "00", exact=True):
            stop = before.end("minute") if minute else before.end("hour")
            yield make("time", text, before.start(), stop, value)
        end = before.start()


def _with_halves(text: str) -> Iterator[Fact]:
    for match in _MERIDIEM.finditer(text):
        hour, minute = int(match["hour"]), match["minute"] or "00"
        if not 1 <= hour <= 12:
            continue
        noon = 12 if match["half"].lower() == "p" else 0
        last = f"{hour % 12 + noon:02}:{minute}"
        end = match.end() - (match[0].endswith("m.") and text[match.end() :][:1].strip() == "")
        if match["first"] and 1 <= int(match["first"]) <= 12:
            # "10 to 5pm" begins in the morning, "2 to 5pm" does not.
            first_hour, first_minute = int(match["first"]) % 12, match["first_minute"] or "00"
            first = f"{first_hour + noon:02}:{first_minute}"
            if first >= last:
                first = f"{(first_hour + noon + 12) % 24:02}:{first_minute}"
            stop = match.end("first_minute") if match["first_minute"] else match.end("first")
            yield make("time", text, match.start("first"), stop, first)
        yield make("time", text, match.start("hour"), end, last)


def _pair(text: str, match: re.Match[str], more: str, *, exact: bool) -> Iterator[Fact]:
    found = match.groupdict()
    if found.get("first"):
        value = _clock(found["first"], found["first_minute"] or "00", exact)
        if value is None and not found.get("minute"):
            return
        stop = match.end("first_minute") if found["first_minute"] else match.end("first")
        if value:
            yield make("time", text, match.start("first"), stop, value)
    value = _clock(found["hour"], found["minute"] or more or "00", exact)
    if value:
        yield make("time", text, match.start("hour"), match.end(), value)


def _clock(hour: str, minute: str, exact: bool) -> str | None:
    if int(hour) > 24:
        return None
    if exact or hour.startswith("0") or int(hour) >= 12:
        return f"{int(hour) % 24:02}:{minute}"
    return f"{int(hour)}:{minute}"


def _bare(text: str, worded: Sequence[WordedNumber], exact: bool) -> Iterator[Fact]:
    """Hours in words ("nine o'clock", "half past five") and bare ones ("opens at nine")."""
    spans = [
        (*match.span(), int(match["hour"]), match["minute"] or "00")
        for match in _BARE.finditer(text)
    ]
    spans += [(start, end, int(value), "00") for start, end, value in worded if value <= 24]
    spans += [(*match.span(), 1, "00") for match in _ONE.finditer(text)]
    followers = {start: (end, value, minute) for start, end, value, minute in spans}
    for start, end, value, minute in sorted(spans):
        if not 1 <= value <= 24:
            continue
        before = text[max(0, start - 14) : start].lower()
        at = _AT_ONE if value == 1 and text[start].isalpha() else _AT
        time = _clock(f"{value:02}" if exact else str(value), minute, exact) or ""
        clock = _OCLOCK.match(text, end) if text[end : end + 2].strip()[:1] in _O_OR_U else None
        if before.endswith(_PARTS) and (said := _HALF.search(text, max(0, start - 14), start)):
            if value <= 12 and (not said[5] or _THEN.match(text, end)):
                yield make("time", text, said.start(), end, _part_of_hour(said, value))
        elif before.endswith(_PARTS) and (said := _past(text, start, end)):
            yield make("time", text, said.start(), end, _minutes_from_hour(said, value))
        elif clock:
            yield make("time", text, start, clock.end(), time)
        elif _follows(before, at) and _THEN.match(text, end):
            yield make("time", text, start, end, time)
        elif _follows(before, _FROM) and not _AGES.search(text, max(0, start - 25), start):
            then = _TO.match(text, end)
            if then and _PART_AHEAD.match(text, then.end()):
                yield make("time", text, start, end, time)
            other = followers.get(then.end()) if then else None
            if then and other and 1 <= other[1] <= 24 and _THEN.match(text, other[0]):
                yield make("time", text, start, end, time)
                last = _clock(str(other[1]), other[2], exact) or ""
                yield make("time", text, then.end(), other[0], last)


def _follows(before: str, words: tuple[str, ...]) -> bool:
    if not before.endswith(words):
        return False
    length = next(len(word) for word in words if before.endswith(word))
    return not before[-length - 1 : -length].isalnum()


def _part_of_hour(said: re.Match[str], hour: int) -> str:
    minute = "30" if said[1] or said[2] or said[5] else "15" if said[3] else "45"
    if said[2] or said[4]:
        hour -= 1
    return f"{(hour - 1) % 12 + 1}:{minute}"


def _past(text: str, start: int, end: int) -> re.Match[str] | None:
    """Minutes past or to an hour: not the first of two hours, "from ten to five"."""
    said = _MINUTES.search(text, max(0, start - 29), start)
    if said is None or said["side"].lower() in ("past", "nach", "vor"):
        return said
    ahead = text[max(0, said.start() - 9) : said.start()].lower()
    return None if ahead.endswith(_FROM) or not _THEN.match(text, end) else said


def _minutes_from_hour(said: re.Match[str], hour: int) -> str:
    minutes = said["minutes"].lower()
    count = int(minutes) if minutes.isdecimal() else _WORDED_MINUTES.get(minutes, 25)
    if said["side"].lower() in ("to", "vor"):
        hour, count = hour - 1, 60 - count
    return f"{(hour - 1) % 12 + 1}:{count:02}"
