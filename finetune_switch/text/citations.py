"""Find, remove and filter citations such as [1] and [2, 3]."""

import re
from collections.abc import Sequence

from finetune_switch.passages import Passage

_SPACED_CITATION = re.compile(r"([ \t]*)\[(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\]")

_PARTIAL_CITATION = re.compile(r"[ \t]*\[[\d\s,;]{0,40}$|[ \t]+$")

CITATION = re.compile(r"\[(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\]")


def parse_citations(answer: str, passages: Sequence[Passage]) -> list[int]:
    """The numbers of the cited passages, in the order of their first mention."""
    known = {passage.number for passage in passages}
    numbers = [
        int(number)
        for group in CITATION.findall(answer)
        for number in re.split(r"\s*[,;]\s*", group)
    ]
    return list(dict.fromkeys(number for number in numbers if number in known))


def without_citations(text: str) -> str:
    return _SPACED_CITATION.sub("", text)


class CitationFilter:
    """Removes citations of unknown passages from a streamed answer."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._known = {passage.number for passage in passages}
        self._held = ""

    def feed(self, text: str) -> str:
        """Return the text that can be shown, holding back the start of a possible citation."""
        text = self._held + text
        position = _PARTIAL_CITATION.search(text)
        cut = position.start() if position else len(text)
        self._held = text[cut:]
        return self._filter(text[:cut])

    def finish(self) -> str:
        rest, self._held = self._held, ""
        return self._filter(rest)

    def _filter(self, text: str) -> str:
        def keep_known(match: re.Match[str]) -> str:
            numbers = [n for n in re.split(r"\s*[,;]\s*", match[2]) if int(n) in self._known]
            return f"{match[1]}[{', '.join(numbers)}]" if numbers else ""

        return _SPACED_CITATION.sub(keep_known, text)
