"""Prices and plain numbers."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise

from .base import AMOUNT, BLANK, DASH, MAX_DIGITS, Fact, amount, make_fact, number
from .wording import WordedNumber

# The generic currency sign stands for the unknown currency of an amount in cents.
CENTS = "¤"
_CURRENCIES = {
    "£": "GBP", "gbp": "GBP", "pound": "GBP", "pounds": "GBP", "pfund": "GBP", "quid": "GBP",
    "pound sterling": "GBP", "pounds sterling": "GBP",
    "€": "EUR", "eur": "EUR", "euro": "EUR", "euros": "EUR",
    "$": "USD", "us$": "USD", "usd": "USD", "dollar": "USD", "dollars": "USD",
    "us dollar": "USD", "us dollars": "USD", "us-dollar": "USD", "buck": "USD", "bucks": "USD",
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
    r"|pounds? sterling|pounds?|pfund|quid|euros?|us[- ]dollars?|dollars?|bucks?|franken|francs"
    r"|yen)\b"
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
_NOTE = re.compile(
    r"\b(?:(?:a|one) (?:(?P<fiver>fiver)|(?P<tenner>tenner))"
    r"|einen (?:(?P<fünfer>fünfer)|(?P<zehner>zehner)|(?P<zwanziger>zwanziger)))\b",
    re.IGNORECASE,
)
_NOTES = {
    "fiver": "GBP 5", "tenner": "GBP 10",
    "fünfer": "EUR 5", "zehner": "EUR 10", "zwanziger": "EUR 20",
}  # fmt: skip
# "Twelve pounds fifty", "twelve pounds and fifty pence".
_AND = re.compile(rf"{BLANK}(?:(?:and|und){BLANK})?")
_IN_CENTS = re.compile(rf"{BLANK}(?:pence|penny|cents?|ct)\b", re.IGNORECASE)
_AFTER_CENTS = re.compile(
    rf"{BLANK}?(?:$|[.,;:!?)\n])|{BLANK}(?:and|or|each|for|per|und|oder|pro|für|je)\b",
    re.MULTILINE | re.IGNORECASE,
)
# "£9 for adults, 5 for children": the second amount has no currency of its own.
_SAME_CURRENCY = re.compile(
    rf"[^.!?\n\d]{{0,30}}?(?:,|\b(?:and|or|und|oder)){BLANK}"
    rf"(?:(?P<amount>{AMOUNT})|(?P<word>[^\W\d_][\w-]{{2,30}}))(?={BLANK}(?:for|für)\b)"
)
_SUBUNIT_AMOUNT = re.compile(
    rf"(?P<amount>(?<![\d.,])\d{{1,3}})(?:{BLANK}?(?P<name>pence|penny|cents?|ct)\b"
    r"|(?P<p>p)\b(?!\.?m\b))",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"\b[^\W\d]*+\d\w*+(?:[.,'’\u00a0\u202f]\d++)*+")
_WITH_UNIT = re.compile(r"(\d[\d.,'’\u00a0\u202f]*)([^\W\d_]*)")
_DOTTED_CODE = re.compile(r"[\d]+(?:[.,]\d+){2,}")
_NUMBER_SCALE = re.compile(
    rf"{BLANK}(thousand|tausend|million(?:en)?|billion|milliarden?|mio|mrd)\b", re.IGNORECASE
)
_IBAN = re.compile(r"\b[A-Z]{2}\d\d(?:[ \u00a0]?[A-Z0-9]{4}){3,7}(?:[ \u00a0]?[A-Z0-9]{1,3})?\b")
PAIR = re.compile(r"\d{1,2} \d\d")
_PAIR_GAPS = frozenset([" ", "-", "\u00a0"])
_ZERO_GAP = re.compile(r"[ -]oh?[ -]", re.IGNORECASE)
_ONE_IN_PAIR = re.compile(r"\b(?:one|eins?)(?=[ -][^\W\d_]{3})", re.IGNORECASE)
_FRACTIONS = {"a": "45", "b": "30", "c": "15", "d": "90", "e": "6", "f": "12"}
_FRACTION = re.compile(
    r"\b(?:(?P<a>three[- ]quarters of an hour|dreiviertelstunde|dreiviertel stunde)"
    r"|(?P<b>half an hour|half[- ]hour|halbe[nr]? stunde)"
    r"|(?P<c>(?:a )?quarter of an hour|viertelstunde)|(?P<d>anderthalb stunden|an hour and a half)"
    r"|(?P<e>half a dozen|ein halbes dutzend)|(?P<f>a dozen|ein dutzend))\b",
    re.IGNORECASE,
)
_PERCENT = re.compile(rf"{BLANK}?(?:%|per[- ]?cent\b|-?prozent(?:ige[rsn]?)?\b)", re.IGNORECASE)
# Years in Roman numerals. Shorter ones may be initials or regnal numbers.
_ROMAN = re.compile(
    r"\b(?=[MDCLXVI]{4})M{1,2}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})\b"
)
_ROMAN_DIGITS = {"M": 1000, "D": 500, "C": 100, "L": 50, "X": 10, "V": 5, "I": 1}
# Circled digits, Roman numeral characters, and superscripts that are not exponents of a unit.
_UNUSUAL_DIGITS = re.compile(
    "[\u2150-\u2189\u2460-\u249b\u24ea-\u24ff\u2776-\u2793]+"
    "|(?<![^\\W\\d_])[\u00b2\u00b3\u00b9\u2070-\u2079\u2080-\u2089]+"
)
# In "There are two ways in", the number counts items of the answer itself.
_COUNTED_NOUN = re.compile(
    rf"{BLANK}(?:[^\W\d_]+{BLANK})?(?:ways|options|possibilities|kinds|types|sorts|things|reasons|steps"
    r"|choices|möglichkeiten|wege|arten|dinge|gründe|schritte|optionen|varianten)\b",
    re.IGNORECASE,
)
# So do "Step 2", and "there are three ways:" before a list.
_STEP_NUMBER = re.compile(r"\b(?:step|schritt|option|point|punkt)\W{1,4}$", re.IGNORECASE)
_BEFORE_LIST = re.compile(r"[^.!?\n]{0,120}:\W{0,4}$", re.MULTILINE)


def prices(text: str, worded: Sequence[WordedNumber]) -> Iterator[Fact]:
    """Amounts with a currency sign, code or word, and amounts that share another's currency."""
    found = list(_with_currency(text, worded))
    yield from found
    words = {start: (end, value) for start, end, value in worded}
    for price in found:
        if same_currency := _SAME_CURRENCY.match(text, price.end):
            start, end = same_currency.span("amount" if same_currency["amount"] else "word")
            stop, value = words.get(start, (0, Decimal(0)))
            if same_currency["amount"] or stop == end:
                price_amount = (
                    amount(same_currency["amount"]) if same_currency["amount"] else number(value)
                )
                yield make_fact(
                    "price", text, start, end, f"{price.value.partition(' ')[0]} {price_amount}"
                )


def _with_currency(text: str, worded: Sequence[WordedNumber]) -> Iterator[Fact]:
    for match in _PREFIXED.finditer(text):
        currency = _currency(match["currency"])
        scale = match["short"] or match["scale"]
        end = match.end("second") if match["second"] else match.end()
        if match["second"]:
            yield make_fact("price", text, match.start(), match.end("amount"),
                       f"{currency} {_scaled(match['amount'], scale)}")  # fmt: skip
            yield make_fact("price", text, match.start("second"), end,
                       f"{currency} {_scaled(match['second'], scale)}")  # fmt: skip
        else:
            yield make_fact("price", text, match.start(), end,
                       f"{currency} {_scaled(match['amount'], scale)}")  # fmt: skip
    for match in _SUFFIXED.finditer(text):
        currency = _currency(match["currency"])
        scale = match["short"] or match["scale"]
        value = Decimal(_scaled(match["amount"], scale)) + Decimal(match["cents"] or 0) / 100
        if match["first"]:
            yield make_fact("price", text, match.start("first"), match.end("first"),
                       f"{currency} {_scaled(match['first'], scale)}")  # fmt: skip
        start = match.start("amount")
        yield make_fact("price", text, start, match.end(), f"{currency} {number(value)}")
    starts = {start: (end, value) for start, end, value in worded}
    for start, end, value in worded:
        if named := _NAMED.match(text, end):
            cents, stop = _cents(text, named.end(), starts)
            total = f"{_currency(named['currency'])} {number(value + cents)}"
            yield make_fact("price", text, start, stop, total)
    for match in _NOTE.finditer(text):
        yield make_fact("price", text, *match.span(), _NOTES[(match.lastgroup or "").lower()])
    for match in _ONE.finditer(text):
        yield make_fact("price", text, *match.span(), f"{_currency(match['currency'])} 1")
    for match in _SUBUNIT_AMOUNT.finditer(text):
        currency = _SUBUNITS[(match["p"] or match["name"]).lower()]
        value = Decimal(match["amount"]) / 100
        yield make_fact("price", text, match.start(), match.end(), f"{currency} {number(value)}")


def _cents(text: str, end: int, starts: Mapping[int, tuple[int, Decimal]]) -> tuple[Decimal, int]:
    """The cents in words after a price that ends at ``end``, and where they end; 0 if none."""
    gap = _AND.match(text, end)
    stop, value = starts.get(gap.end(), (end, Decimal(0))) if gap else (end, Decimal(0))
    if not value or value > 99:
        return Decimal(0), end
    if named := _IN_CENTS.match(text, stop):
        return value / 100, named.end()
    # In "twelve pounds and fifty", the second number is not an amount of pence.
    if gap and gap[0].strip() == "" and _AFTER_CENTS.match(text, stop):
        return value / 100, stop
    return Decimal(0), end


def _currency(name: str) -> str:
    return _CURRENCIES[" ".join(name.lower().split())]


def _scaled(text: str, scale: str | None) -> str:
    value = Decimal(amount(text))
    return number(value.scaleb(_SCALES[scale.lower()]) if scale else value)


def accounts(text: str) -> Iterator[Fact]:
    """Bank accounts (IBAN), whose digits look like telephone numbers."""
    for match in _IBAN.finditer(text):
        yield make_fact("number", text, *match.span(), re.sub(r"\s", "", match[0]))


def pairs(text: str, worded: Sequence[WordedNumber]) -> Iterator[Fact]:
    """Pairs of number words for a time, an amount or a year: "nine thirty", "four fifty"."""
    spans = [*worded, *((*match.span(), Decimal(1)) for match in _ONE_IN_PAIR.finditer(text))]
    for (start, end, first), (begin, stop, second) in pairwise(sorted(spans)):
        gap = text[end:begin]
        if first <= 24 and text[stop : stop + 1] != "-":
            if gap in _PAIR_GAPS and 10 <= second <= 99:
                yield make_fact("number", text, start, stop, f"{first} {second}")
            elif second < 10 and _ZERO_GAP.fullmatch(gap):
                yield make_fact("number", text, start, stop, f"{first} 0{second}")


def fractions(text: str) -> Iterator[Fact]:
    """Fractions of an hour, in minutes, and dozens."""
    for match in _FRACTION.finditer(text):
        yield make_fact("number", text, *match.span(), _FRACTIONS[match.lastgroup or ""])


def numbers(text: str, worded: Sequence[WordedNumber]) -> Iterator[Fact]:
    """Numbers in digits and in words, and codes such as A61 and K2."""
    for match in _TOKEN.finditer(text):
        token = match[0]
        start, end = match.span()
        if len(token) < 3 and _STEP_NUMBER.search(text, max(0, start - 12), start):
            continue
        value = _value(token)
        if percent := _PERCENT.match(text, end):
            yield make_fact("number", text, start, percent.end(), f"{value} %")
            continue
        if (scale := _NUMBER_SCALE.match(text, end)) and value.replace(".", "").isdecimal():
            end, value = scale.end(), _scaled(token, scale[1])
        yield make_fact("number", text, start, end, value)
    for start, end, words in worded:
        if "\0" in text[start:end]:
            continue
        if percent := _PERCENT.match(text, end):
            yield make_fact("number", text, start, percent.end(), f"{number(words)} %")
        elif words > 12 or not (_BEFORE_LIST.match(text, end) or _COUNTED_NOUN.match(text, end)):
            yield make_fact("number", text, start, end, number(words))
    for match in _UNUSUAL_DIGITS.finditer(text):
        yield make_fact("number", text, *match.span(), unicodedata.normalize("NFKC", match[0]))
    for match in _ROMAN.finditer(text):
        yield make_fact("number", text, *match.span(), _roman(match[0]))


def _roman(text: str) -> str:
    values = [_ROMAN_DIGITS[letter] for letter in text]
    following = [*values[1:], 0]
    return str(sum(-v if v < after else v for v, after in zip(values, following, strict=True)))


def _value(token: str) -> str:
    if token.isdecimal() and len(token) <= MAX_DIGITS:
        return token.lstrip("0") or "0"
    found = _WITH_UNIT.fullmatch(token)
    if found is None or len(token) > MAX_DIGITS + 5:
        return token.casefold()
    digits = found[1].strip(".,'’")
    if _DOTTED_CODE.fullmatch(digits) and not re.fullmatch(
        r"\d{1,3}(?:[.,]\d{3})+(?:[.,]\d+)?", digits
    ):
        return digits
    return amount(digits)
