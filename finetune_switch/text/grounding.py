"""Which passage each sentence of an answer rests on, and which of its facts stand in none.

A sentence rests on a passage that has enough of its content words, whatever their endings, and of
its facts. That shows similarity and proves nothing: "the café is not open on Mondays" is as similar
to the page as its contrary. Whether a fact (a price, a date, a telephone number …) stands in a
passage is exact, see :mod:`finetune_switch.text.facts`.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from finetune_switch.passages import Passage

from .citations import CITATION, parse_citations
from .facts import REGIONS, Fact, find_facts, read_passages
from .facts.base import blank_out
from .words import language_name, stems, stop_words, words

# Of the 75 sentences of tests/text/grounding.toml, English and German, many of the unsupported
# ones in the pages' own words, this judges 70 as their reader did: it takes 2 of 32 for supported
# that are not, and misses 3 of 33 that are. 0.4 takes 5 and misses 1, 0.65 takes none and misses
# 6.
MIN_SHARE = 0.5

_END = re.compile(
    r"(?<![.!?…])(?:(?P<mark>[.!?…]++)[\"'”’“»)*_]*+"
    rf"(?:[ \t]?{CITATION.pattern})*+(?:\s++|\Z)|[。！？]++\s*+|\n\s*+)"
)
_WORD_BEFORE = re.compile(r"\w+\Z")
_HALF_OF_DAY = re.compile(r"\d ?[ap]\. ?m\Z", re.IGNORECASE)
_LINE_START = re.compile(r"(?:\A|\n)[ \t*#>-]{0,20}\Z")
_SHORT = "dr mr mrs ms prof st str bzw ca inkl zzgl vgl evtl ggf geb hr fr vs approx incl dept"
_ABBREVIATIONS = frozenset(_SHORT.split())
_SHORT_BEFORE_NUMBERS = "no nr tel fax art abs kap fig vol pp min max mobil"
_BEFORE_NUMBERS = frozenset(_SHORT_BEFORE_NUMBERS.split())

# What answers say about themselves and to the visitor, beside the stop words.
_COURTESIES = """
    hello hi hey dear welcome good morning afternoon evening thank thanks please sorry unfortunately
    afraid apologies yes no ok okay sure certainly course glad happy pleased help hope enjoy visit
    know sure answer answers question questions ask asked asking say says said tell information
    website site page pages passage passages provided given mention mentioned mentions contain
    contains anything else ihnen feel free let see here summary details
    hallo guten tag morgen abend liebe lieber danke dank bitte leider entschuldigung ja nein gern
    gerne natürlich helfe helfen hilfe weiß weiss wissen antwort antworten frage fragen sagen sagt
    information informationen website webseite seite seiten passage passagen textstelle textstellen
    angaben angegeben enthalten enthält erwähnt finden steht hinweis freue freuen besuch viel spaß
"""
_COURTESY = frozenset(_COURTESIES.split())


@dataclass(frozen=True)
class Sentence:
    """A sentence as it stands in the answer, with the blanks behind it.

    ``passage`` is the number of the passage that supports it best, None where none does.
    ``neutral`` sentences claim nothing ("Hello!", "I don't know."): there is nothing to support.
    ``start`` and ``end`` are offsets into the answer, and so are those of the facts, each of which
    lies inside its sentence.
    """

    text: str
    start: int
    end: int
    passage: int | None
    unfounded: tuple[Fact, ...] = ()
    neutral: bool = False

    @property
    def supported(self) -> bool:
        return self.neutral or self.passage is not None


def assess(
    answer: str,
    passages: Sequence[Passage],
    language: str,
    *,
    regions: Sequence[str] = REGIONS,
) -> list[Sentence]:
    """The sentences of an answer, in order and without gaps, each with what it rests on.

    Of the passages that support a sentence those that it cites go first, then the likest one. A
    passage's title and address count as parts of it.
    """
    name = language_name(language)
    left_out = stop_words(name) | _COURTESY
    facts = find_facts(answer, language, regions)
    texts = [f"{p.source.title}\n{p.text}\n{p.source.url}" for p in passages]
    founded = read_passages(texts, language, regions)
    stands_in = [founded.passages(fact) for fact in facts]
    known = [set(stems(words(text), name)) for text in texts]
    starts = [fact.start for fact in facts]

    plain: dict[str, Sentence] = {}

    def judge(start: int, end: int) -> Sentence:
        text = answer[start:end]
        first, last = bisect_left(starts, start), bisect_left(starts, end)
        if first == last and text in plain:
            return replace(plain[text], start=start, end=end)
        said = [(fact.start - start, fact.end - start) for fact in facts[first:last]]
        said += [match.span() for match in CITATION.finditer(text)] if "[" in text else []
        spoken = (word for word in words(blank_out(text, said)) if word not in left_out)
        wanted, where = set(stems(spoken, name)), stands_in[first:last]
        unfounded = tuple(
            fact for fact, found in zip(facts[first:last], where, strict=True) if not found
        )
        if not wanted and not where:
            return plain.setdefault(text, Sentence(text, start, end, None, neutral=True))
        hits = [0] * len(known)
        for found in where:
            for index in found:
                hits[index] += 1
        total = len(wanted) + len(where)
        shares = [(len(wanted & has) + hit) / total for has, hit in zip(known, hits, strict=True)]
        cited = parse_citations(text, passages) if "[" in text else []
        judged = Sentence(text, start, end, _best(shares, passages, cited), unfounded)
        return judged if where else plain.setdefault(text, judged)

    return [judge(start, end) for start, end in sentence_spans(answer, facts, language)]


def _best(shares: list[float], passages: Sequence[Passage], cited: list[int]) -> int | None:
    enough = [
        (passage.number in cited, share, -passage.number)
        for passage, share in zip(passages, shares, strict=True)
        if share >= MIN_SHARE
    ]
    return -max(enough)[2] if enough else None


def sentence_spans(answer: str, facts: Sequence[Fact], language: str) -> Iterator[tuple[int, int]]:
    """Where sentences begin and end, none of them inside one of the answer's facts.

    Lines end them too: lists and tables have no full stops.
    """
    fact_starts = [fact.start for fact in facts]
    start = 0
    for match in _END.finditer(answer):
        end = match.end()
        before = bisect_right(fact_starts, end) - 1
        inside = before >= 0 and facts[before].start < end < facts[before].end
        if inside or not answer[start:end].strip() or not _is_end(answer, match, language):
            continue
        yield start, end
        start = end
    if start < len(answer):
        yield start, len(answer)


def _is_end(answer: str, match: re.Match[str], language: str) -> bool:
    """Whether a mark ends a sentence, not an abbreviation, an ordinal or the number of a list."""
    if match["mark"] != "." or "\n" in match[0] or match.end() == len(answer):
        return True
    follows = answer[match.end()]
    found = _WORD_BEFORE.search(answer, max(0, match.start() - 12), match.start())
    word = found[0].lower() if found else ""
    if follows.islower() or word in _ABBREVIATIONS:
        return False
    if word in _BEFORE_NUMBERS:
        return not follows.isdecimal() and follows != "+"
    if len(word) == 1 and word.isalpha():
        return bool(_HALF_OF_DAY.search(answer, max(0, match.start() - 8), match.start()))
    if word.isdecimal() and len(word) <= 2:
        begin = match.start() - len(word)
        is_list = _LINE_START.search(answer, max(0, begin - 22), begin)
        return not is_list and not language.lower().startswith("de")
    return True
