"""Facts that are spelled out: digits as words, and addresses such as "info at boat dot org"."""

import re
from collections.abc import Iterator, Sequence

from .base import BLANK, Fact, make_fact
from .contacts import TOP_LEVEL, read_telephone, url_value

_DOT = re.compile(
    rf"{BLANK}?[\[({{]{BLANK}?(?:dot|punkt|\.){BLANK}?[\])}}]{BLANK}?|{BLANK}(?:dot|punkt){BLANK}"
    rf"|{BLANK}\.{BLANK}(?=[a-z])",
    re.IGNORECASE,
)
_AT = re.compile(
    rf"(?:{BLANK}?@{BLANK}?|{BLANK}?[\[({{]{BLANK}?(?:at|ät|@){BLANK}?[\])}}]{BLANK}?"
    rf"|{BLANK}(?:at|ät|affe|klammeraffe){BLANK})\Z",
    re.IGNORECASE,
)
_BEFORE = re.compile(r"(?<![\w.-])[\w.-]{1,80}+\Z")
_AFTER = re.compile(rf"[\w-]{{1,63}}+(?:(?:\.|{_DOT.pattern})[\w-]{{1,63}}+){{0,8}}", re.IGNORECASE)
_PATH = re.compile(r"/[^\s<>\"\0]{0,2000}")
# Country codes that are also words: "a red dot in the corner", "der Punkt ist".
_TOP_LEVEL_WORD_LIST = "in is it be me us so to no am at as an by do my la es im"
_TOP_LEVEL_WORDS = frozenset(_TOP_LEVEL_WORD_LIST.split())
# "Look at boat dot org" is not an e-mail address.
_WORD_LIST_BEFORE_AT = "look see visit us book buy find more online here website page seite"
_WORDS_BEFORE_AT = frozenset(_WORD_LIST_BEFORE_AT.split())

_NAMES = (
    "zero oh o null nought|one eins|two zwei zwo|three drei|four vier|five fünf|six sechs"
    "|seven sieben|eight acht|nine neun"
)
_DIGITS = {word: digit for digit, words in enumerate(_NAMES.split("|")) for word in words.split()}
_REPEATS = {"double": 2, "doppel": 2, "triple": 3, "treble": 3}
_DIGIT = rf"(?:(?:{'|'.join(_REPEATS)}){BLANK})?(?:{'|'.join(_DIGITS)})"
_RUN = re.compile(
    rf"\b(?:plus{BLANK})?{_DIGIT}(?:(?:,?{BLANK}|-){_DIGIT}){{2,17}}+\b(?!{BLANK}?%)",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_]+")
# Shorter numbers, such as emergency numbers, are plain numbers.
MIN_TELEPHONE_DIGITS = 5


def spelled_addresses(text: str) -> Iterator[Fact]:
    """E-mail addresses and URLs whose dot is a word or in brackets."""
    position = 0
    for match in _DOT.finditer(text):
        before = _BEFORE.search(text, max(position, match.start() - 81), match.start())
        after = _AFTER.match(text, match.end())
        if match.start() < position or not before or not after:
            continue
        rest = _DOT.sub(".", after[0]).lower()
        top = rest.rpartition(".")[2]
        in_brackets = match[0].strip()[0] in "[({"
        if top not in TOP_LEVEL or (top in _TOP_LEVEL_WORDS and not in_brackets):
            continue
        domain, start = f"{before[0]}.{rest}".casefold(), before.start()
        position = after.end()
        if at := _AT.search(text, max(0, start - 16), start):
            local = _BEFORE.search(text, max(0, at.start() - 81), at.start())
            if local and local[0].lower() not in _WORDS_BEFORE_AT:
                value = f"{local[0].casefold()}@{domain}"
                yield make_fact("e-mail", text, local.start(), position, value)
                continue
        if path := _PATH.match(text, position):
            position = path.end()
        yield make_fact(
            "url", text, start, position, url_value(f"{domain}{path[0] if path else ''}")
        )


def spelled_numbers(text: str, home: str, regions: Sequence[str]) -> Iterator[Fact]:
    """Numbers given digit by digit: "oh two oh, seven nine four six …"."""
    for match in _RUN.finditer(text):
        digits, repeat = "", 1
        for word in _WORD.findall(match[0].lower()):
            if word in _REPEATS:
                repeat = _REPEATS[word]
            elif word in _DIGITS:
                digits += str(_DIGITS[word]) * repeat
                repeat = 1
        if len(digits) < MIN_TELEPHONE_DIGITS:
            yield make_fact("number", text, *match.span(), digits.lstrip("0") or "0")
        else:
            plus = "+" if match[0].lower().startswith("plus") else ""
            value = read_telephone(f"{plus}{digits}", home, tuple(regions))[1]
            yield make_fact("telephone", text, *match.span(), value)
