"""Find, remove and normalise citations such as [1] and [2, 3].

Models cite in many forms. :class:`CitationFilter` turns them into this one as the answer arrives,
so that the fact lock, grounding, the pages and the record have one form to read.
"""

import re
from collections.abc import Sequence

from finetune_switch.passages import Passage

_NUMBERS = r"\d{1,3}(?:\s*[,;]\s*\d{1,3})*"
_WORD = r"(?:sources?|passages?|quellen?|doc(?:ument)?s?|refs?|references?|abschnitte?|nr|no)"
# Spaces, what stands before the bracket, and the numbers in one of the forms of models: [1],
# [^1], [Source 1], [1†source], 【1】, and (Source 1).
_ANY_CITATION = re.compile(
    rf"""([ \t]*)(?:
    [\[【［⟦] \s* \^? (?: {_WORD} [\s.:#]* )? ({_NUMBERS}) (?: †[^\]】\n]{{0,40}} )? \s* [\]】］⟧]
    | \( \s* {_WORD} [\s.:#]* ({_NUMBERS}) \s* \)
    )""",
    re.IGNORECASE | re.VERBOSE,
)
# (1) is a citation only at the end of a clause: "(1) First" counts.
_PARENTHESES = re.compile(r"([ \t]+)\((\d{1,3})\)(?=[.,;:!?\n]|\s*$)")
_PARTIAL_CITATION = re.compile(
    r"""[ \t]*(?:
    [\[【［⟦][^\]】］⟧\n]{0,60}
    | \( \s* (?:[a-z]{0,10} [\s.:#]*)? [\d\s,;]{0,20} \)? [ \t]*
    )$ | [ \t]+$ | `+$""",
    re.IGNORECASE | re.VERBOSE,
)
_CODE = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]*`)", re.DOTALL)
_SPACED_CITATION = re.compile(rf"([ \t]*)\[({_NUMBERS})\]")

CITATION = re.compile(rf"\[({_NUMBERS})\]")


def _split(numbers: str) -> list[str]:
    return re.split(r"\s*[,;]\s*", numbers)


def parse_citations(answer: str, passages: Sequence[Passage]) -> list[int]:
    """The numbers of the cited passages, in the order of their first mention."""
    known = {passage.number for passage in passages}
    prose = _CODE.sub(" ", answer) if "`" in answer else answer
    numbers = [int(number) for group in CITATION.findall(prose) for number in _split(group)]
    return list(dict.fromkeys(number for number in numbers if number in known))


def without_citations(text: str) -> str:
    return _SPACED_CITATION.sub("", text)


class CitationFilter:
    """Normalises citations in a streamed answer, and removes those of unknown passages."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._known = {passage.number for passage in passages}
        self._held = ""
        self._code = ""
        self._line = ""

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
        """Filter what is not code. Code may begin in one piece and end in another."""
        shown = []
        for part in re.split(r"(`+|\n)", text):
            if part.startswith("`"):
                if not self._code:
                    self._code = part
                elif part == self._code:
                    self._code = ""
                shown.append(part)
            elif part == "\n":
                # A single backtick does not span lines.
                self._code = self._code if len(self._code) >= 3 else ""
                shown.append(part)
            else:
                shown.append(part if self._code else self._normalise(part))
            self._line = (self._line + part)[-1:]
        return "".join(shown)

    def _normalise(self, text: str) -> str:
        def keep_known(match: re.Match[str]) -> str:
            written = match[2] or match[3]
            before = text[: match.start()][-1:] or self._line
            if written == "0" and not match[1] and (before.isalnum() or before in ("_", ")", "]")):
                # An index in a programming language.
                return match[0]
            numbers = [number for number in _split(written) if int(number) in self._known]
            return f"{match[1]}[{', '.join(numbers)}]" if numbers else ""

        def known_in_parentheses(match: re.Match[str]) -> str:
            # Not at the start of a line, where it counts.
            before = text[: match.start()][-1:] or self._line
            is_cited = int(match[2]) in self._known and before not in ("", "\n")
            return f"{match[1]}[{match[2]}]" if is_cited else match[0]

        return _PARENTHESES.sub(known_in_parentheses, _ANY_CITATION.sub(keep_known, text))
