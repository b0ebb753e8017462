"""Split passages into what can be quoted: sentences, list items and rows of tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from .citations import without_citations

MAX_HEADING = 80
# A longer list item is split into sentences.
MAX_ITEM = 400

_ROW = re.compile(r" \| |^[^:.!?\n]{1,40}: [^\n]+?[,;] [^:.!?,\n]{1,40}: ")
# "Price: £5.60": what a page says in a field of its own.
_FACT = re.compile(r"^[^:.!?\n]{1,40}: \S[^\n]*(?<![.!?])$")
# Abbreviations that the splitter takes for the end of a sentence.
_ABBREVIATED = re.compile(r"\b(?:tel|ext|fax|mob|approx|ca|nr|vol|fig|art|abs)\.$", re.I)
_BULLET = re.compile(r"^(?:[-*•–]|\d{1,2}[.)])\s+")


class Kind(Enum):
    SENTENCE = "sentence"
    ITEM = "item"
    ROW = "row"
    PAIR = "pair"
    LIST = "list"


@dataclass(frozen=True)
class Quotable:
    """A text of a passage that can be quoted alone.

    ``passage`` is the number of the passage, and ``block`` counts its paragraphs, lists and tables.
    ``lead_in`` is the sentence that introduces a list.
    """

    text: str
    passage: int
    block: int
    kind: Kind
    title: str = ""
    heading: str = ""
    lead_in: str = ""

    @property
    def context(self) -> str:
        """The page's title and the heading above the text."""
        return f"{self.title}\n{self.heading}".strip()


def split_passage(number: int, title: str, text: str, language: str) -> list[Quotable]:
    """The quotable texts of a passage, in their order. ``language`` is a language code.

    Reference marks of the page itself, such as ``[3]``, are left out: in an answer, they would look
    like citations of passages.
    """
    heading = lead_in = ""
    found: list[Quotable] = []
    blocks = [block.strip() for block in re.split(r"\n{2,}", without_citations(text))]
    blocks = [block for block in blocks if block]
    for place, block in enumerate(blocks):
        lines = [line.strip() for line in block.split("\n") if line.strip()]
        while len(lines) > 1 and _is_heading(lines[0]) and not _ROW.search(lines[1]):
            if _are_alike(lines):
                break
            heading, lead_in = lines.pop(0), ""
        is_last = place == len(blocks) - 1
        if len(lines) == 1 and not is_last and _is_heading(lines[0]) and not _FACT.match(lines[0]):
            heading, lead_in = lines[0], ""
            continue
        if len(lines) > 1 and lines[0].endswith(":"):
            lead_in = lines.pop(0)
        kind = _kind_of(lines)
        for line in lines:
            whole = kind is Kind.ROW or (kind is Kind.ITEM and len(line) <= MAX_ITEM)
            texts = [line] if whole else sentences(line, language)
            found += [
                Quotable(
                    one,
                    number,
                    place,
                    kind,
                    title,
                    heading,
                    lead_in if kind is not Kind.SENTENCE else "",
                )
                for one in texts
                if any(character.isalnum() for character in one)
            ]
        # What introduces a list may be a paragraph of its own.
        lead_in = lines[-1] if lines[-1].endswith(":") else ""
    return found


def sentences(text: str, language: str) -> list[str]:
    """The sentences of a text, split with regard to the abbreviations of a language."""
    from sentencex import segment

    code = re.split("[-_]", language)[0] or "en"
    found: list[str] = []
    for part in filter(None, map(str.strip, segment(code, text))):
        # "tel. 01632 960 488", "approx. two hours"
        is_rest = found and _ABBREVIATED.search(found[-1]) and not part[0].isupper()
        if is_rest:
            found[-1] = f"{found[-1]} {part}"
        else:
            found.append(part)
    return found


def _is_heading(line: str) -> bool:
    return len(line) <= MAX_HEADING and line[-1:] not in ".!…。！:;," and not _ROW.search(line)


def _are_alike(lines: list[str]) -> bool:
    """Whether a first short line is the first item of a list, rather than its heading."""
    return bool(_BULLET.match(lines[0])) or all(len(line) <= MAX_HEADING for line in lines)


def _kind_of(lines: list[str]) -> Kind:
    rows = sum(bool(_ROW.search(line)) for line in lines)
    if (rows and rows * 2 >= len(lines)) or (len(lines) == 1 and _FACT.match(lines[0])):
        return Kind.ROW
    return Kind.ITEM if len(lines) > 1 else Kind.SENTENCE


def blocks_of(quotables: Sequence[Quotable]) -> Iterator[list[Quotable]]:
    """The quotables of each list, table or paragraph."""
    kept: dict[tuple[int, int], list[Quotable]] = {}
    for one in quotables:
        kept.setdefault((one.passage, one.block), []).append(one)
    yield from kept.values()
