"""The fact lock: no detail reaches a visitor that stands in none of the passages.

A telephone number, an e-mail or postal address, a URL, a price, a date, an hour or a figure that a
model made up sends people to closed doors. So an answer is released sentence by sentence, each as
soon as its facts were looked up in the passages; one with a fact that stands in none of them is
left out, and a reference to the best page comes in its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.utils.translation import gettext as _

from finetune_switch.passages import Passage

from .citations import parse_citations
from .facts import Fact, find_facts, read_passages
from .grounding import sentence_spans

# A sentence is over when the next one has begun: "£5." may become "£5.50", and "[1]" may follow.
_MAY_BE_OVER = re.compile(r"[.!?…][^\w\s]*\s+\S+\s|[。！？\n]")
# What follows an end mark before the next word does: quotation marks, citations.
_LOOK_AGAIN = 60
_HAS_A_WORD = re.compile(r"\S\s")
_LEAD = re.compile(r"\s*(?:(?:[-*•]|(?:[1-9]|1\d|20)[.)])[ \t]+)?")


class FactLock:
    """Holds an answer that arrives in pieces back until it is checked, sentence by sentence.

    ``own_words`` are texts of the site's that need no passage, such as what it says where nothing
    was found. The sentence in place of another is in the language that is active when it is made.
    """

    def __init__(
        self, passages: Sequence[Passage], language: str, own_words: Iterable[str] = ()
    ) -> None:
        self.withheld_facts: list[dict[str, Any]] = []
        """The facts that stood in no passage, for the editors: where in the answer, and which."""
        self._passages = passages
        self._language = language
        self._founded = read_passages(
            [*(f"{p.source.title}\n{p.text}\n{p.source.url}" for p in passages), *own_words],
            language,
        )
        self._buffer = ""
        self._judged = 0
        self._released = 0
        self._previous: str | None = None

    def feed(self, text: str) -> str:
        """What may be shown now: the sentences that are over, as they passed the check."""
        self._buffer += text
        # Each token would read the whole sentence anew, and most of them end none.
        if not _MAY_BE_OVER.search(self._buffer, self._judged):
            return ""
        facts = find_facts(self._buffer, self._language)
        spans = list(sentence_spans(self._buffer, facts, self._language))
        self._judged = max(0, len(self._buffer) - _LOOK_AGAIN)
        return self._release(self._over(spans), facts)

    def finish(self) -> str:
        """The rest of an answer that was said to its end.

        Of one that broke off, the rest is not asked for: "£1" may be the beginning of "£15".
        """
        facts = find_facts(self._buffer, self._language)
        return self._release(list(sentence_spans(self._buffer, facts, self._language)), facts)

    def _over(self, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Those of the sentences that nothing which is still to come can change."""
        last_start, last_end = spans[-1]
        if self._buffer[last_start:last_end].endswith("\n"):
            return spans
        before = spans[:-1]
        is_begun = _HAS_A_WORD.search(self._buffer, last_start)
        if is_begun or not before or self._buffer[slice(*before[-1])].endswith("\n"):
            return before
        return before[:-1]

    def _release(self, spans: list[tuple[int, int]], facts: Sequence[Fact]) -> str:
        if not spans:
            return ""
        said = "".join(self._checked(start, end, facts) for start, end in spans)
        end = spans[-1][1]
        self._buffer = self._buffer[end:]
        self._released += end
        self._judged = max(0, self._judged - end)
        return said

    def _checked(self, start: int, end: int, facts: Sequence[Fact]) -> str:
        """A sentence as the visitor may read it."""
        text = self._buffer[start:end]
        unfounded = list(self._unfounded(fact for fact in facts if start <= fact.start < end))
        if not unfounded:
            if text.strip():
                self._previous = None
            return text
        self.withheld_facts += [
            {
                "kind": fact.kind,
                "text": fact.text,
                "start": self._released + fact.start,
                "end": self._released + fact.end,
            }
            for fact in unfounded
        ]
        return self._instead_of(text)

    def _unfounded(self, facts: Iterable[Fact]) -> Iterator[Fact]:
        for fact in facts:
            if fact not in self._founded:
                yield fact

    def _instead_of(self, text: str) -> str:
        """Where to look instead; of sentences that follow each other, said once."""
        number = self._best_page(text)
        instead = (
            _("Please look this up on the page itself. [%(number)d]") % {"number": number}
            if number
            else _("This could not be checked, and is left out.")
        )
        trailing = text[len(text.rstrip()) :]
        if instead == self._previous:
            return ""
        self._previous = instead
        lead = _LEAD.match(text)
        return f"{lead[0] if lead else ''}{instead}{trailing}"

    def _best_page(self, text: str) -> int | None:
        """The passage that the sentence cites itself, else the first one, which is likest."""
        cited = parse_citations(text, self._passages)
        numbers = [*cited, *(passage.number for passage in self._passages)]
        return numbers[0] if numbers else None
