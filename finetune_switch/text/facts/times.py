"""Times of day."""

import re
from collections.abc import Iterator, Sequence

from .base import BLANK, DASH, Fact, make_fact
from .wording import WordedNumber

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
_PART_OF_HOUR = re.compile(
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
# The earlier hours of a list such as "11, 13 and 15 Uhr".
_EARLIER_IN_LIST = re.compile(
    rf"(?<![\w.,:/£€$-])(?P<hour>\d{{1,2}})(?:[.:](?P<minute>[0-5]\d))?,{BLANK}?$"
)
# After a weekday, or after a word about opening hours.
_OPENING_HOURS = re.compile(
    rf"(?:\0,?{BLANK}|\0:{BLANK}?|\b(?:open|daily|hours|geöffnet|täglich|offen|zeiten)[,:]?{BLANK})"
    rf"(?P<first>\d{{1,2}}){BLANK}?(?:{DASH}|\b(?:to|bis)\b){BLANK}?(?P<hour>\d{{1,2}})(?![\w%°]|[.,:/-]\d)",
    re.IGNORECASE,
)

# A bare number after "at" is an hour, unless it counts something.
_BEFORE_HOUR = (
    "at ",
    "until ",
    "till ",
    "by ",
    "before ",
    "after ",
    "um ",
    "bis ",
    "vor ",
    "nach ",
    "ab ",
)
# "One" and "ein" are rarely numbers.
_ONE = re.compile(r"\b(?:one|eins?)\b", re.IGNORECASE)
_BEFORE_ONE = ("at ", "until ", "till ", "um ", "bis ")
_BEFORE_RANGE = ("from ", "between ", "von ", "zwischen ", "ab ")
_BEFORE_PART = ("past ", "to ", "halb ", "nach ", "vor ", "half ", "dreiviertel ")
_PART_OF_HOUR_AFTER = re.compile(
    r"(?:half|halb|quarter|viertel|dreiviertel|a quarter)\b", re.IGNORECASE
)
_O_OR_U = frozenset("oOU")
_AGE_WORD = re.compile(r"\b(?:aged?|ages|children|kids|kinder|alter|jahren?)\b", re.IGNORECASE)
_RANGE_GAP = re.compile(rf"{BLANK}?(?:{DASH}|\b(?:to|and|until|till|bis|und)\b){BLANK}?")
_AFTER_TIME = re.compile(
    rf"(?:{BLANK}?(?:$|[.,;:!?)\n](?!\d)|\0)|{BLANK}(?:on|in|and|every|each|daily|to|until|or|but"
    r"|when|from|täglich|und|am|an|oder|bis|morgens|abends|nachmittags|sharp|mondays?|tuesdays?"
    r"|wednesdays?|thursdays?|fridays?|saturdays?|sundays?)\b)",
    re.IGNORECASE | re.MULTILINE,
)
_BARE_NUMBER = re.compile(
    r"(?<![\w.,:/£€$-])(?P<hour>\d{1,2})(?:\.(?P<minute>[0-5]\d))?(?![\w%°]|[.,:/]\d)"
)


def times(text: str, language: str, worded: Sequence[WordedNumber]) -> Iterator[Fact]:
    """Times of day, in 24-hour notation where it is known (see :class:`Fact`)."""
    yield from _twelve_hour_times(text)
    for match in _UHR.finditer(text):
        yield from _earlier_in_list(text, match.start())
        yield from _time_or_range(text, match, match["more"] or "", exact=True)
    exact = not language.lower().startswith("en")
    for match in _COLON.finditer(text):
        yield from _time_or_range(text, match, "", exact=exact)
    for match in _DOTS.finditer(text):
        yield from _time_or_range(text, match, "", exact=exact)
    for match in _WITH_H.finditer(text):
        yield from _time_or_range(text, match, "", exact=True)
    for match in _NAMED.finditer(text):
        yield make_fact("time", text, *match.span(), "12:00" if match[1] else "00:00")
    for match in _OPENING_HOURS.finditer(text):
        if 1 <= int(match["first"]) <= 24 and 1 <= int(match["hour"]) <= 24:
            for name in ("first", "hour"):
                yield make_fact(
                    "time", text, *match.span(name), _clock(match[name], "00", exact) or ""
                )
    yield from _bare_hours(text, worded, exact)


def _earlier_in_list(text: str, end: int) -> Iterator[Fact]:
    while before := _EARLIER_IN_LIST.search(text, max(0, end - 8), end):
        hour, minute = before.group("hour", "minute")
        if value := _clock(hour, minute or "00", exact=True):
            stop = before.end("minute") if minute else before.end("hour")
            yield make_fact("time", text, before.start(), stop, value)
        end = before.start()


def _twelve_hour_times(text: str) -> Iterator[Fact]:
    for match in _MERIDIEM.finditer(text):
        hour, minute = int(match["hour"]), match["minute"] or "00"
        if not 1 <= hour <= 12:
            continue
        noon = 12 if match["half"].lower() == "p" else 0
        last = f"{hour % 12 + noon:02}:{minute}"
        end = match.end() - (match[0].endswith("m.") and text[match.end() :][:1].strip() == "")
        if match["first"] and 1 <= int(match["first"]) <= 12:
            # "10 to 5pm" begins in the morning, "2 to 5pm" in the afternoon.
            first_hour, first_minute = int(match["first"]) % 12, match["first_minute"] or "00"
            first = f"{first_hour + noon:02}:{first_minute}"
            if first >= last:
                first = f"{(first_hour + noon + 12) % 24:02}:{first_minute}"
            stop = match.end("first_minute") if match["first_minute"] else match.end("first")
            yield make_fact("time", text, match.start("first"), stop, first)
        yield make_fact("time", text, match.start("hour"), end, last)


def _time_or_range(text: str, match: re.Match[str], more: str, *, exact: bool) -> Iterator[Fact]:
    found = match.groupdict()
    if found.get("first"):
        value = _clock(found["first"], found["first_minute"] or "00", exact)
        if value is None and not found.get("minute"):
            return
        stop = match.end("first_minute") if found["first_minute"] else match.end("first")
        if value:
            yield make_fact("time", text, match.start("first"), stop, value)
    value = _clock(found["hour"], found["minute"] or more or "00", exact)
    if value:
        yield make_fact("time", text, match.start("hour"), match.end(), value)


def _clock(hour: str, minute: str, exact: bool) -> str | None:
    if int(hour) > 24:
        return None
    if exact or hour.startswith("0") or int(hour) >= 12:
        return f"{int(hour) % 24:02}:{minute}"
    return f"{int(hour)}:{minute}"


def _bare_hours(text: str, worded: Sequence[WordedNumber], exact: bool) -> Iterator[Fact]:
    """Hours in words ("nine o'clock", "half past five") and bare ones ("opens at nine")."""
    spans = [
        (*match.span(), int(match["hour"]), match["minute"] or "00")
        for match in _BARE_NUMBER.finditer(text)
    ]
    spans += [(start, end, int(value), "00") for start, end, value in worded if value <= 24]
    spans += [(*match.span(), 1, "00") for match in _ONE.finditer(text)]
    followers = {start: (end, value, minute) for start, end, value, minute in spans}
    for start, end, value, minute in sorted(spans):
        if not 1 <= value <= 24:
            continue
        before = text[max(0, start - 14) : start].lower()
        at = _BEFORE_ONE if value == 1 and text[start].isalpha() else _BEFORE_HOUR
        time = _clock(f"{value:02}" if exact else str(value), minute, exact) or ""
        clock = _OCLOCK.match(text, end) if text[end : end + 2].strip()[:1] in _O_OR_U else None
        if before.endswith(_BEFORE_PART) and (
            part := _PART_OF_HOUR.search(text, max(0, start - 14), start)
        ):
            if value <= 12 and (not part[5] or _AFTER_TIME.match(text, end)):
                yield make_fact("time", text, part.start(), end, _part_of_hour(part, value))
        elif before.endswith(_BEFORE_PART) and (part := _minutes_match(text, start, end)):
            yield make_fact("time", text, part.start(), end, _minutes_from_hour(part, value))
        elif clock:
            yield make_fact("time", text, start, clock.end(), time)
        elif _follows(before, at) and _AFTER_TIME.match(text, end):
            yield make_fact("time", text, start, end, time)
        elif _follows(before, _BEFORE_RANGE) and not _AGE_WORD.search(
            text, max(0, start - 25), start
        ):
            then = _RANGE_GAP.match(text, end)
            if then and _PART_OF_HOUR_AFTER.match(text, then.end()):
                yield make_fact("time", text, start, end, time)
            other = followers.get(then.end()) if then else None
            if then and other and 1 <= other[1] <= 24 and _AFTER_TIME.match(text, other[0]):
                yield make_fact("time", text, start, end, time)
                last = _clock(str(other[1]), other[2], exact) or ""
                yield make_fact("time", text, then.end(), other[0], last)


def _follows(before: str, words: tuple[str, ...]) -> bool:
    if not before.endswith(words):
        return False
    length = next(len(word) for word in words if before.endswith(word))
    return not before[-length - 1 : -length].isalnum()


def _part_of_hour(part: re.Match[str], hour: int) -> str:
    minute = "30" if part[1] or part[2] or part[5] else "15" if part[3] else "45"
    if part[2] or part[4]:
        hour -= 1
    return f"{(hour - 1) % 12 + 1}:{minute}"


def _minutes_match(text: str, start: int, end: int) -> re.Match[str] | None:
    """Minutes past or to an hour. "From ten to five" is a range instead."""
    part = _MINUTES.search(text, max(0, start - 29), start)
    if part is None or part["side"].lower() in ("past", "nach", "vor"):
        return part
    ahead = text[max(0, part.start() - 9) : part.start()].lower()
    return None if ahead.endswith(_BEFORE_RANGE) or not _AFTER_TIME.match(text, end) else part


def _minutes_from_hour(part: re.Match[str], hour: int) -> str:
    minutes = part["minutes"].lower()
    count = int(minutes) if minutes.isdecimal() else _WORDED_MINUTES.get(minutes, 25)
    if part["side"].lower() in ("to", "vor"):
        hour, count = hour - 1, 60 - count
    return f"{(hour - 1) % 12 + 1}:{count:02}"
