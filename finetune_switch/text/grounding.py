"""Find the passage that supports each sentence of an answer, and its unfounded facts.

A passage supports a sentence if it contains enough of its content words (compared by stem) and of
its facts. This measures similarity and is no proof: "the café is not open on Mondays" is as similar
to the page as the opposite. Facts are compared exactly, see :mod:`finetune_switch.text.facts`.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from finetune_switch.passages import Passage

from .citations import CITATION, parse_citations
from .facts import Fact, find_facts, read_passages
from .facts.base import blank_out
from .words import language_name, stems, stop_words, words

# On the 75 labelled sentences of tests/text/grounding.toml, this agrees with the labels on 70: it
# accepts 2 of 32 unsupported sentences and misses 3 of 33 supported ones. 0.4 accepts 5 and misses
# 1; 0.65 accepts none and misses 6.
MIN_SHARE = 0.5

_END = re.compile(
    r"(?<![.!?…])(?:(?P<mark>[.!?…]++)[\"'”’“»)*_]*+"
    rf"(?:[ \t]?{CITATION.pattern})*+(?:\s++|\Z)|[。！？]++\s*+|\n\s*+)"
)
_WORD_BEFORE = re.compile(r"\w+\Z")
_TWELVE_HOUR_TIME = re.compile(r"\d ?[ap]\. ?m\Z", re.IGNORECASE)
_LINE_START = re.compile(r"(?:\A|\n)[ \t*#>-]{0,20}\Z")
_ABBREVIATION_LIST = (
    "dr mr mrs ms prof st str bzw ca inkl zzgl vgl evtl ggf geb hr fr vs approx incl dept"
)
_ABBREVIATIONS = frozenset(_ABBREVIATION_LIST.split())
_BEFORE_NUMBERS_LIST = "no nr tel fax art abs kap fig vol pp min max mobil"
_BEFORE_NUMBERS = frozenset(_BEFORE_NUMBERS_LIST.split())

# Words that answers use about themselves and to the visitor, ignored like stop words.
_FILLER_WORD_LIST = """
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
_FILLER_WORDS = frozenset(_FILLER_WORD_LIST.split())


@dataclass(frozen=True)
class Sentence:
    """A sentence of an answer, with trailing whitespace.

    ``passage`` is the number of the passage that supports it best, or ``None``. ``neutral``
    sentences make no claim ("Hello!", "I don't know."). The offsets of the sentence and of its
    facts are relative to the answer.
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


def assess(answer: str, passages: Sequence[Passage], language: str) -> list[Sentence]:
    """Split an answer into sentences, without gaps, each with the passage that supports it.

    Among several passages, cited ones take precedence, then the most similar one. The title and
    the URL of a passage count as part of its text.
    """
    name = language_name(language)
    ignored = stop_words(name) | _FILLER_WORDS
    facts = find_facts(answer, language)
    texts = [f"{p.source.title}\n{p.text}\n{p.source.url}" for p in passages]
    known_facts = read_passages(texts, language)
    supporting = [known_facts.passages(fact) for fact in facts]
    passage_stems = [set(stems(words(text), name)) for text in texts]
    starts = [fact.start for fact in facts]

    # Models may repeat a sentence many times. Those without facts are only assessed once.
    assessed: dict[str, Sentence] = {}

    def assess_sentence(start: int, end: int) -> Sentence:
        text = answer[start:end]
        first, last = bisect_left(starts, start), bisect_left(starts, end)
        if first == last and text in assessed:
            return replace(assessed[text], start=start, end=end)
        spans = [(fact.start - start, fact.end - start) for fact in facts[first:last]]
        spans += [match.span() for match in CITATION.finditer(text)] if "[" in text else []
        content = (word for word in words(blank_out(text, spans)) if word not in ignored)
        wanted, fact_support = set(stems(content, name)), supporting[first:last]
        unfounded = tuple(
            fact for fact, found in zip(facts[first:last], fact_support, strict=True) if not found
        )
        if not wanted and not fact_support:
            return assessed.setdefault(text, Sentence(text, start, end, None, neutral=True))
        hits = [0] * len(passages)
        for found in fact_support:
            for index in found:
                hits[index] += 1
        total = len(wanted) + len(fact_support)
        shares = [
            (len(wanted & known) + hit) / total
            for known, hit in zip(passage_stems, hits, strict=True)
        ]
        cited = parse_citations(text, passages) if "[" in text else []
        sentence = Sentence(text, start, end, _best(shares, passages, cited), unfounded)
        return sentence if fact_support else assessed.setdefault(text, sentence)

    return [assess_sentence(start, end) for start, end in sentence_spans(answer, facts, language)]


def _best(shares: list[float], passages: Sequence[Passage], cited: list[int]) -> int | None:
    enough = [
        (passage.number in cited, share, -passage.number)
        for passage, share in zip(passages, shares, strict=True)
        if share >= MIN_SHARE
    ]
    return -max(enough)[2] if enough else None


def sentence_spans(answer: str, facts: Sequence[Fact], language: str) -> Iterator[tuple[int, int]]:
    """The start and end of each sentence. No sentence ends inside one of the facts.

    Line ends also end sentences, since lists and tables have no full stops.
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
    """Whether a mark ends a sentence, and not an abbreviation, ordinal or list number."""
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
        return bool(_TWELVE_HOUR_TIME.search(answer, max(0, match.start() - 8), match.start()))
    if word.isdecimal() and len(word) <= 2:
        begin = match.start() - len(word)
        is_list = _LINE_START.search(answer, max(0, begin - 22), begin)
        return not is_list and not language.lower().startswith("de")
    return True
