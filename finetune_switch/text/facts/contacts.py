"""E-mail addresses, URLs, telephone numbers, streets and postcodes."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from urllib.parse import unquote

import phonenumbers

from .base import BLANK, DASH, Fact, make_fact

# Parsing one takes 0.2 ms. Beyond this many in one text, numbers are compared by their digits.
MAX_TELEPHONES = 200

_LOCAL = re.compile(r"[\w.!#$%&'*+/=^`{|}~-]{1,64}$")
_AT = re.compile(rf"@|{BLANK}?[\[(](?:at|@)[\])]{BLANK}?", re.IGNORECASE)
_DOMAIN = re.compile(r"[\w-]{1,63}+(?:\.[\w-]{1,63}+){1,8}")

_URL = re.compile(r"\b(?:https?://|www\.)[^\s<>\"\0]{1,2000}", re.IGNORECASE)
_BARE_URL = re.compile(
    r"(?<![\w@./-])(?://)?(?:[a-z0-9]\.(?=[a-z]{2,10}/)|(?:[\w-]{2,63}+\.){1,6})(?P<top>[a-z]{2,13}|[A-Z]{2,13})\b"
    r"(?:/[^\s<>\"\0]{0,2000})?"
)
_PATH = re.compile(r"(?<=\]\()/[^\s()<>\0]{0,500}(?=\))")
# A social media handle such as "@harbourmuseum".
_HANDLE = re.compile(r"(?<![\w.@/])@\w[\w.]{1,30}(?<!\.)")
_GENERIC_TOP_LEVEL = {
    "com", "org", "net", "edu", "gov", "int", "mil", "info", "biz", "eu", "uk", "name", "museum",
    "example", "test", "local", "app", "dev", "shop", "online", "site", "berlin", "london", "wales",
    "scot", "cymru", "koeln", "hamburg", "bayern", "live", "xyz", "top", "club", "store", "blog",
    "link", "click", "tech", "cloud", "email", "support", "news", "world", "today", "life", "space",
    "website", "events", "tickets", "travel", "tours", "page", "media", "network", "foundation",
    "gallery", "guide", "help", "history", "school", "science", "social", "studio", "team", "video",
    "wiki", "work", "zone", "company", "digital", "group", "international", "services", "agency",
}  # fmt: skip
TOP_LEVEL = _GENERIC_TOP_LEVEL | {region.lower() for region in phonenumbers.SUPPORTED_REGIONS}

_SEPARATOR = rf"{BLANK}?(?:(?:\(0\)|[)/.]|{DASH}){BLANK}?)?"
_TELEPHONE = re.compile(
    rf"(?<![\w+])(?:\({BLANK}?)?(?:\+{BLANK}?(?:\({BLANK}?)?[1-9]|0)(?:{_SEPARATOR}\d){{5,16}}(?!\d)"
    r"(?:,? ?(?:ext\.?|extension|x|Durchwahl|DW) ?(?P<extension>\d{1,6})\b)?",
    re.IGNORECASE,
)
_AMERICAN = re.compile(r"(?<![\w+])(?:1[ .-])?\(?[2-9]\d\d\)?[ .-]{1,2}\d{3}[ .-]\d{4}(?![\w])")
_CUE = re.compile(
    r"\b(?:tel|telephone|phone|telefon|fax|mobile|mobil|handy|hotline|call|ring|dial|text|whatsapp"
    r"|rufnummer|durchwahl|telefonnummer)\b\.?:?(?: (?:us|uns|me|on|at|unter|number|nummer|is|ist"
    r"|lautet|der|die)){0,3}:? ?$",
    re.IGNORECASE,
)
_NUMBER_AFTER_CUE = re.compile(rf"(?<![\w+])\d(?:{_SEPARATOR}\d){{4,14}}(?!\w)")
_DECIMAL = re.compile(r"0[.,]\d")

_POSTCODE = re.compile(
    r"(?<!\w)(?P<out>[A-Z]{1,2}\d[A-Z\d]?) ?(?P<in>\d[ABD-HJLNP-UW-Z]{2})(?!\w)", re.IGNORECASE
)
_PLZ = re.compile(rf"(?P<code>\d{{4,5}}){BLANK}(?P<place>[A-ZÄÖÜ][^\W\d_]{{2,40}})")
# Otherwise "10000 Besucher" would be a postcode.
_BEFORE_PLZ = re.compile(r"(?:\A|\n|,|[·|;] |, |\0 |\b(?:D|A|CH)-)$")
_ZIP = re.compile(r"\b(?P<place>[A-Z]{2}) (?P<code>\d{5})(?:-(?P<plus>\d{4}))?(?!\w)")

_PO_BOX = re.compile(
    rf"\b(?:P\.?{BLANK}?O\.?{BLANK}?Box|Post Office Box|Postfach){BLANK}"
    rf"(?:N[or]\.?{BLANK})?(?P<box>\d{{1,6}}(?:{BLANK}\d{{2,4}}){{0,3}})(?!\d)",
    re.IGNORECASE,
)
_STREET_TYPES = {
    "street": "st", "st": "st", "road": "rd", "rd": "rd", "lane": "ln", "ln": "ln",
    "avenue": "ave", "ave": "ave", "square": "sq", "sq": "sq", "place": "pl", "drive": "dr",
    "way": "way", "court": "ct", "close": "cl", "quay": "quay", "terrace": "ter", "row": "row",
    "gardens": "gdns", "crescent": "cres", "boulevard": "blvd", "parade": "pde", "mews": "mews",
    "wharf": "wharf", "alley": "alley", "embankment": "emb", "highway": "hwy",
}  # fmt: skip
# Words that may precede the name of a street at the beginning of a sentence.
_WORDS_BEFORE_STREET = frozenset(
    ["the", "our", "in", "at", "on", "from", "visit", "find", "come", "to", "near"]
)
_CAPITAL = r"[A-Z][\w'’]{1,30}+"
_ENGLISH_STREET = re.compile(
    rf"(?:(?<![\w.,])(?P<house>\d{{1,4}}[A-Za-z]?),? )?(?P<name>{_CAPITAL}(?: {_CAPITAL}){{0,3}})"
)
_GERMAN_STREET = re.compile(
    r"(?<!\w)(?P<name>(?:(?:Am|An der|An den|Im|In der|Auf dem|Auf der|Zum|Zur|Unter den|Alte[rn]?"
    r"|Neue[rn]?|Große[rn]?|Kleine[rn]?|Hohe[rn]?|Lange[rn]?|[A-ZÄÖÜ][\w-]{2,30}er)[ -])?"
    r"[A-ZÄÖÜ][^\W\d_]{1,40}+(?:-[A-ZÄÖÜ][^\W\d_]{1,30}+){0,3}\.?)"
    rf"(?:{BLANK}(?P<house>\d{{1,4}}{BLANK}?(?:[a-z](?!\w))?)(?![\w.,]*\d|{BLANK}?[%€]))?"
)
_GERMAN_KIND = re.compile(
    r"(?:stra(?:ß|ss)e|str\.?|weg|platz|gasse|allee|ufer|damm|ring|chaussee|promenade|steig|kai"
    r"|markt|brücke|tor|graben|wall|deich|linden|hafen|hof)$",
    re.IGNORECASE,
)
_UNAMBIGUOUS_GERMAN_KIND = re.compile(r"(?:stra(?:ß|ss)e|str\.?|gasse|allee)$", re.IGNORECASE)


def emails(text: str) -> Iterator[Fact]:
    # Search outwards from the @. Searching for the local part first is slow in texts without one.
    for match in _AT.finditer(text):
        local = _LOCAL.search(text, max(0, match.start() - 64), match.start())
        domain = _DOMAIN.match(text, match.end())
        if local and domain:
            name = local[0].lstrip("._*`'|-")
            value = f"{name}@{domain[0].rstrip('._-')}".casefold()
            start, end = local.end() - len(name), domain.end()
            if name:
                yield make_fact("e-mail", text, start, end - (domain[0][-1] in "._-"), value)


def urls(text: str) -> Iterator[Fact]:
    for pattern in (_URL, _BARE_URL):
        for match in pattern.finditer(text):
            if pattern is _BARE_URL and not _has_known_top_level(match):
                continue
            found = _trimmed(match[0])
            yield make_fact(
                "url", text, match.start(), match.start() + len(found), url_value(found)
            )
    for match in _PATH.finditer(text):
        yield make_fact("url", text, *match.span(), url_value(match[0]))
    for match in _HANDLE.finditer(text):
        yield make_fact("url", text, *match.span(), match[0].casefold())


def _has_known_top_level(match: re.Match[str]) -> bool:
    # "10.am" is not a domain.
    before = match[0][: match.start("top") - match.start() - 1]
    return match["top"].lower() in TOP_LEVEL and not before.rpartition(".")[2].isdecimal()


def _trimmed(url: str) -> str:
    """Strip the punctuation of the sentence and the closing bracket of a Markdown link."""
    while True:
        short = url.rstrip(".,:;!?'’”*_`|…")
        if short.endswith((")", "]")) and short.count(short[-1]) > short.count(
            "(" if short.endswith(")") else "["
        ):
            short = short[:-1]
        if short == url:
            return url
        url = short


def url_value(url: str) -> str:
    plain = re.sub(r"^(?:https?:)?//", "", url, flags=re.IGNORECASE)
    host, slash, path = plain.partition("/")
    host = re.sub(r"^www\.", "", host.lower().removesuffix(":443").removesuffix(":80"))
    return f"{host}{slash}{unquote(path)}".rstrip("/") or "/"


def telephones(text: str, home: str, regions: Sequence[str]) -> Iterator[Fact]:
    """Runs of digits that look like a telephone number or follow a word such as "call"."""
    read = 0
    for pattern in (_TELEPHONE, _AMERICAN, _NUMBER_AFTER_CUE):
        end = 0
        while match := pattern.search(text, end):
            start, end = match.span()
            if pattern is _NUMBER_AFTER_CUE and not _CUE.search(text, max(0, start - 45), start):
                continue
            if _DECIMAL.match(match[0]):
                continue
            read += 1
            if read > MAX_TELEPHONES:
                value = _digits(match[0])
            else:
                size, value = read_telephone(match[0], home, tuple(regions))
                end = start + size
            while text[start:end].count("(") < text[start:end].count(")"):
                end -= 1
            yield make_fact("telephone", text, start, end, value)


def _digits(text: str) -> str:
    plain = re.sub(r"\D", "", text)
    return f"+{plain}" if "+" in text else plain


@lru_cache(maxsize=4096)
def read_telephone(text: str, home: str, regions: tuple[str, ...]) -> tuple[int, str]:
    """The length of the first telephone number in a run of digits, and its value.

    Two numbers separated by a space look like one. The longest start of the run that is a possible
    number wins.
    """
    cuts = [len(text), *[m.start() for m in re.finditer(rf"{BLANK}+", text)][::-1]]
    for size in cuts[:4]:
        if len(re.sub(r"\D", "", text[:size])) >= 6 and (
            found := telephone_values(text[:size], home, regions)
        ):
            return size, found[0]
    return len(text), _digits(text)


@lru_cache(maxsize=4096)
def telephone_values(text: str, home: str, regions: tuple[str, ...]) -> tuple[str, ...]:
    """The possible values of a number: in the home region, and in each region where it is valid."""
    found: list[str] = []
    for region in dict.fromkeys((home, *regions)):
        try:
            parsed = phonenumbers.parse(text, region)
        except phonenumbers.NumberParseException:
            continue
        value = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
        if parsed.extension:
            value = f"{value};ext={parsed.extension}"
        if (region == home and phonenumbers.is_possible_number(parsed)) or (
            phonenumbers.is_valid_number(parsed)
        ):
            found.append(value)
    return tuple(dict.fromkeys(found))


def postcodes(text: str) -> Iterator[Fact]:
    for match in _POSTCODE.finditer(text):
        # In lower case, two ordinary words match too often.
        if match["out"].isupper() and match["in"][1:].isupper():
            yield make_fact("postcode", text, *match.span(), f"{match['out']} {match['in']}")
    for match in _PLZ.finditer(text):
        if not _BEFORE_PLZ.search(text, max(0, match.start() - 4), match.start()):
            continue
        yield make_fact(
            "postcode", text, *match.span(), f"{match['code']} {match['place'].casefold()}"
        )
    for match in _ZIP.finditer(text):
        yield make_fact(
            "postcode", text, *match.span(), f"{match['code']} {match['place'].casefold()}"
        )


def addresses(text: str) -> Iterator[Fact]:
    """Streets, with or without a house number, and PO boxes."""
    for match in _PO_BOX.finditer(text):
        yield make_fact("address", text, *match.span(), f"box {re.sub(BLANK, '', match['box'])}")
    for match in _ENGLISH_STREET.finditer(text):
        words = match["name"].split(" ")
        kinds = [
            index
            for index, word in enumerate(words)
            # "St" is "street" at the end, and "saint" before a name.
            if index and word.lower() in _STREET_TYPES and (word != "St" or index == len(words) - 1)
        ]
        if not kinds:
            continue
        last = kinds[-1]
        name = " ".join(words[: last + 1])
        end = match.start("name") + len(name)
        skipped = 0 if match["house"] else _count_words_before_street(words[:last])
        start = (
            match.start("house")
            if match["house"]
            else match.start("name") + sum(len(word) + 1 for word in words[:skipped])
        )
        value = " ".join([*words[skipped:last], _STREET_TYPES[words[last].lower()]]).casefold()
        value = f"{value} {match['house'].lower()}" if match["house"] else value
        yield make_fact("address", text, start, end, value.replace("’", "'"))
    for match in _GERMAN_STREET.finditer(text):
        name, house = match["name"], (match["house"] or "").rstrip()
        if not (_GERMAN_KIND if house else _UNAMBIGUOUS_GERMAN_KIND).search(name):
            continue
        plain = re.sub(r"[ -]+", " ", name.casefold()).replace("ß", "ss")
        plain = re.sub(r"strasse$|str\.?$", "str", plain)
        end = match.end("house") if house else match.end("name")
        end -= len(match["house"]) - len(house) if house else 0
        value = f"{plain} {house.replace(' ', '').lower()}" if house else plain
        yield make_fact("address", text, match.start(), end, value)


def _count_words_before_street(words: list[str]) -> int:
    count = 0
    while count < len(words) - 1 and words[count].lower() in _WORDS_BEFORE_STREET:
        count += 1
    return count
