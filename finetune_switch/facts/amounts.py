"""Prices and plain numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal

from .base import AMOUNT, BLANK, DASH, MAX_DIGITS, Fact, amount, make, number
from .wording import WordedNumber

# Cents of whatever currency: the generic currency sign.
CENTS = "¤"
_CURRENCIES = {
    "£": "GBP", "gbp": "GBP", "pound": "GBP", "pounds": "GBP", "pfund": "GBP", "quid": "GBP",
    "pound sterling": "GBP", "pounds sterling": "GBP",
    "€": "EUR", "eur": "EUR", "euro": "EUR", "euros": "EUR",
    "$": "USD", "us$": "USD", "usd": "USD", "dollar": "USD", "dollars": "USD",
    "us dollar": "USD", "us dollars": "USD", "us-dollar": "USD",
    "a$": "AUD", "aud": "AUD", "c$": "CAD", "cad": "CAD",
    "chf": "CHF", "fr.": "CHF", "sfr": "CHF", "franken": "CHF", "francs": "CHF",
    "¥": "JPY", "jpy": "JPY", "yen": "JPY", "sek": "SEK", "dkk": "DKK", "nok": "NOK",
    "pln": "PLN", "czk": "CZK", "inr": "INR", "₹": "INR",
}  # fmt: skip
_SUBUNITS = {"p": "GBP", "pence": "GBP", "penny": "GBP", "cent": CENTS, "cents": CENTS, "ct": "EUR"}
_SCALES = {
    "k": 3, "thousand": 3, "tausend": 3, "m": 6, "mn": 6, "million": 6, "millionen": 6,
    "mio": 6, "bn": 9, "billion": 9, "milliarde": 9, "milliarden": 9, "mrd": 9,
}  # fmt: skip

_SCALE = (
    rf"(?:(?P<short>k|m|bn)\b|{BLANK}?(?P<scale>thousand|tausend|million(?:en)?|billion"
    r"|milliarden?|mn|mio|mrd)\b\.?)"
)
_CODES = "GBP|EUR|USD|CHF|AUD|CAD|JPY|SEK|DKK|NOK|PLN|CZK|INR"
_SIGN = rf"(?:US\$|A\$|C\$|[£€$¥₹]|\b(?:{_CODES}|Fr\.|SFr))"
_NAME = (
    rf"(?:€|(?:{_CODES}"
    r"|pounds? sterling|pounds?|pfund|quid|euros?|us[- ]dollars?|dollars?|franken|francs|yen)\b"
    r"|(?:[£$])(?!\d))"
)
_PREFIXED = re.compile(
    rf"(?P<currency>{_SIGN}){BLANK}?(?P<amount>\d{{1,3}}(?: \d{{3}})+(?! ?\d)|{AMOUNT})"
    rf"(?:[.,]{DASH}{{1,2}})?(?:{_SCALE})?"
    rf"(?:{BLANK}?{DASH}{BLANK}?(?P<second>{AMOUNT}))?",
    re.IGNORECASE,
)
_SUFFIXED = re.compile(
    rf"(?:(?P<first>{AMOUNT}){BLANK}?(?:{DASH}|\b(?:to|or|bis|oder)\b){BLANK}?)?"
    rf"(?P<amount>{AMOUNT})(?:[.,]{DASH}{{1,2}})?(?:{_SCALE})?{BLANK}?(?P<currency>{_NAME})"
    rf"(?!\d)(?:{BLANK}(?P<cents>\d\d)(?={BLANK}*(?:[.;!?)\n]|$)))?",
    re.IGNORECASE,
)
_NAMED = re.compile(rf"{BLANK}(?P<currency>{_NAME})", re.IGNORECASE)
_ONE = re.compile(rf"\b(?:one|a|eine?[nm]?){BLANK}(?P<currency>{_NAME})(?!\d)", re.IGNORECASE)
_SMALL = re.compile(
    rf"(?P<amount>(?<![\d.,])\d{{1,3}})(?:{BLANK}?(?P<name>pence|penny|cents?|ct)\b"
    r"|(?P<p>p)\b(?!\.?m\b))",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"\b[^\W\d]*+\d\w*+(?:[.,'’\u00a0\u202f]\d++)*+")
_WITH_UNIT = re.compile(r"(\d[\d.,'’\u00a0\u202f]*)([^\W\d_]*)")
_CODE = re.compile(r"[\d]+(?:[.,]\d+){2,}")
_NUMBER_SCALE = re.compile(
    rf"{BLANK}(thousand|tausend|million(?:en)?|billion|milliarden?|mio|mrd)\b", re.IGNORECASE
)
_IBAN = re.compile(r"\b[A-Z]{2}\d\d(?:[ \u00a0]?[A-Z0-9]{4}){3,7}(?:[ \u00a0]?[A-Z0-9]{1,3})?\b")
# "Step 2" counts the answer's own steps, and so does "there are three ways:" before a list.
_COUNTED = re.compile(r"\b(?:step|schritt|option|point|punkt)\W{1,4}$", re.IGNORECASE)
_ANNOUNCES = re.compile(r"[^.!?\n]{0,120}:\W{0,4}$", re.MULTILINE)


def prices(text: str, worded: Sequence[WordedNumber]) -> Iterator[Fact]:
    """Amounts with a currency: as a sign, a code or a word, before or behind."""
    for match in _PREFIXED.finditer(text):
        currency = _currency(match["currency"])
        scale = match["short"] or match["scale"]
        end = match.end("second") if match["second"] else match.end()
        if match["second"]:
            yield make("price", text, match.start(), match.end("amount"),
                       f"{currency} {_scaled(match['amount'], scale)}")  # fmt: skip
            yield make("price", text, match.start("second"), end,
                       f"{currency} {_scaled(match['second'], scale)}")  # fmt: skip
        else:
            yield make("price", text, match.start(), end,
                       f"{currency} {_scaled(match['amount'], scale)}")  # fmt: skip
    for match in _SUFFIXED.finditer(text):
        currency = _currency(match["currency"])
        scale = match["short"] or match["scale"]
        value = Decimal(_scaled(match["amount"], scale)) + Decimal(match["cents"] or 0) / 100
        if match["first"]:
            yield make("price", text, match.start("first"), match.end("first"),
                       f"{currency} {_scaled(match['first'], scale)}")  # fmt: skip
        start = match.start("amount")
        yield make("price", text, start, match.end(), f"{currency} {number(value)}")
    for start, end, value in worded:
        if named := _NAMED.match(text, end):
            currency = _currency(named["currency"])
            yield make("price", text, start, named.end(), f"{currency} {number(value)}")
    for match in _ONE.finditer(text):
        yield make("price", text, *match.span(), f"{_currency(match['currency'])} 1")
    for match in _SMALL.finditer(text):
        currency = _SUBUNITS[(match["p"] or match["name"]).lower()]
        value = Decimal(match["amount"]) / 100
        yield make("price", text, match.start(), match.end(), f"{currency} {number(value)}")


def _currency(name: str) -> str:
    return _CURRENCIES[" ".join(name.lower().split())]


def _scaled(text: str, scale: str | None) -> str:
    value = Decimal(amount(text))
    return number(value.scaleb(_SCALES[scale.lower()]) if scale else value)


def accounts(text: str) -> Iterator[Fact]:
    """Bank accounts (IBAN), which have digits that look like telephone numbers."""
    for match in _IBAN.finditer(text):
        yield make("number", text, *match.span(), re.sub(r"\s", "", match[0]))


def numbers(text: str, worded: Sequence[WordedNumber]) -> Iterator[Fact]:
    """Numbers in digits and in words, and codes such as A61 or K2."""
    for match in _TOKEN.finditer(text):
        token = match[0]
        start, end = match.span()
        if len(token) < 3 and _COUNTED.search(text, max(0, start - 12), start):
            continue
        value = _value(token)
        if (scale := _NUMBER_SCALE.match(text, end)) and value.replace(".", "").isdecimal():
            end, value = scale.end(), _scaled(token, scale[1])
        yield make("number", text, start, end, value)
    for start, end, words in worded:
        if "\0" in text[start:end]:
            continue
        if words <= 12 and _ANNOUNCES.match(text, end):
            continue
        yield make("number", text, start, end, number(words))


def _value(token: str) -> str:
    if token.isdecimal() and len(token) <= MAX_DIGITS:
        return token.lstrip("0") or "0"
    found = _WITH_UNIT.fullmatch(token)
    if found is None or len(token) > MAX_DIGITS + 5:
        return token.casefold()
    digits = found[1].strip(".,'’")
    if _CODE.fullmatch(digits) and not re.fullmatch(r"\d{1,3}(?:[.,]\d{3})+(?:[.,]\d+)?", digits):
        return digits
    return amount(digits)
