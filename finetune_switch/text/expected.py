"""What a question asks for, such as an amount or a person, and what a text has that answers it."""

from __future__ import annotations

import re

_PERSON = r"(?-i:\b[A-ZÀ-Þ][\w’']+ [A-ZÀ-Þ][\w’']+)|\b(?:he|she|er|sie)\b"
# The first word of a text begins with a capital letter anyway.
_NAME = r"(?-i:(?<=\S )[A-ZÀ-Þ][\w’'-]{2,})"
_DAY = (
    r"\b(?:mon|tues|wednes|thurs|fri|satur|sun)days?\b|\b(?:mon|diens|donners|frei|sams|sonn)tags?\b"
    r"|\bmittwochs?\b"
)
_MONTH = (
    r"\b\d{1,2}\.? (?:jan|feb|mar|mär|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez)"
    r"|\b(?:january|february|march|april|june|july|august|september|october|november|december"
    r"|januar|februar|märz|juni|juli|oktober|dezember)\b"
)
_NUMBER_WORD = (
    r"\b(?:once|twice|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|hundred"
    r"|ein|zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn|elf|zwölf)\b"
)
# What a question asks for, and what a text has that answers it.
_EXPECTATIONS = tuple(
    (re.compile(cue, re.I), re.compile(wanted, re.I))
    for cue, wanted in (
        (
            r"\bhow much (?:is|are|does|do|will|would)\b|\bprices?\b|\bcosts?\b|\bfees?\b|\bfare\b"
            r"|\brates?\b|\bkoste[nt]?\b|\bpreise?\b|\bgebühr",
            r"[£$€¥]\s?\d|\d\s?(?:[£$€¥]|euro?|pounds?|pence|dollars?|p\b)|\bfree\b|\bpenny\b"
            r"|kostenlos|gratis|kostenfrei",
        ),
        (r"\b(?:what|which|in which|welche[ms]?) (?:year|jahr)\b", r"\b(?:1\d|20)\d\d\b"),
        (
            r"\bwhen (?:do|does|is|are|can|will|must|should|may)\b|\bby when\b|\bwhat times?\b"
            r"|\bopening (?:times|hours)\b|\bwann\b|\böffnungszeiten\b|\buhrzeit\b"
            r"|\b(?:which|what) (?:days?|evenings?|months?|date)\b",
            rf"\d ?(?:am|pm|uhr|h)\b|\d[.:]\d\d\b|\bnoon\b|midnight|\bdaily\b|\bevery\b|\balways\b"
            rf"|{_DAY}|{_MONTH}|{_NUMBER_WORD}|täglich|mittag",
        ),
        (r"\bwhen (?:was|were|did)\b", rf"\b(?:1\d|20)\d\d\b|{_DAY}|{_MONTH}"),
        (
            r"\bhow often\b|\bwie oft\b",
            rf"{_NUMBER_WORD}|\btimes\b|\bevery\b|\bdaily\b|\ba (?:day|week|month|year)\b|mal\b",
        ),
        (
            r"\bhow (?:many|long|old|far|tall|high|deep|big|often)\b|\bages?\b|\bwie ?viele?\b"
            r"|\bwie (?:lange?|alt|weit|hoch|tief|groß|oft)\b",
            rf"\d|{_NUMBER_WORD}",
        ),
        # "What is the fox called?"
        (r"\bcalled\b|\bname of\b|\bnamed\b|\bheißt\b|\bname des\b|\bname der\b", _NAME),
        (r"\bwho\b|\bwhose\b|\bwer\b|\bwem\b|\bwen\b", _PERSON),
        (
            r"\bwhy\b|\bwarum\b|\bweshalb\b",
            r"\bbecause\b|\breason|\bso that\b|\bsince\b|\bas\b|:|weil|damit|deshalb",
        ),
        (r"\b(?:tele)?phone\b|\btelefon", r"\d[\d\s()/-]{5,}"),
        (r"\be-?mail\b", "@"),
    )
)


def expected_in_answer(question: str) -> list[tuple[str, re.Pattern[str]]]:
    """What a question asks for: the words that do so, and a pattern of a likely right answer."""
    return [(cue[0], wanted) for asks, wanted in _EXPECTATIONS if (cue := asks.search(question))]
