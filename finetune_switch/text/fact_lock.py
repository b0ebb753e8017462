"""The fact lock: withholds sentences with facts that are in none of the passages.

Facts are telephone numbers, e-mail and postal addresses, URLs, prices, dates, times and other
numbers. An answer is released sentence by sentence, once the facts of the sentence have been
checked. A sentence with a fact that is in no passage is replaced by a reference to the best page.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from django.utils.translation import gettext as _

from finetune_switch.passages import Passage

from .citations import parse_citations
from .facts import Fact, find_facts, read_passages
from .grounding import sentence_spans

# A sentence ends where the next one begins: "£5." may become "£5.50", and "[1]" may follow.
_MAYBE_SENTENCE_END = re.compile(r"[.!?…][^\w\s]*\s+\S+\s|[。！？\n]")
# The end mark may be followed by quotation marks and citations before the next word.
_RESCAN_CHARACTERS = 60
_HAS_A_WORD = re.compile(r"\S\s")
_LIST_MARK = re.compile(r"\s*(?:(?:[-*•]|(?:[1-9]|1\d|20)[.)])[ \t]+)?")


class FactLock:
    """Checks a streamed answer and releases it sentence by sentence.

    Facts in ``trusted_texts`` are allowed as well, such as those in the site's own reply when
    nothing was found. Replacements are in the active language.
    """

    def __init__(
        self, passages: Sequence[Passage], language: str, trusted_texts: Iterable[str] = ()
    ) -> None:
        # For editors: ``kind``, ``text``, and ``start`` and ``end`` in the model's answer.
        self.withheld_facts: list[dict[str, Any]] = []
        self._passages = passages
        self._language = language
        self._known_facts = read_passages(
            [*(f"{p.source.title}\n{p.text}\n{p.source.url}" for p in passages), *trusted_texts],
            language,
        )
        self._buffer = ""
        self._scanned = 0
        self._released = 0
        self._last_replacement: str | None = None

    def feed(self, text: str) -> str:
        """Add text and return the sentences that are complete and checked."""
        self._buffer += text
        # Finding facts is slow, and most tokens end no sentence.
        if not _MAYBE_SENTENCE_END.search(self._buffer, self._scanned):
            return ""
        facts = find_facts(self._buffer, self._language)
        spans = list(sentence_spans(self._buffer, facts, self._language))
        self._scanned = max(0, len(self._buffer) - _RESCAN_CHARACTERS)
        return self._release(self._complete(spans), facts)

    def finish(self) -> str:
        """Return the rest of a complete answer.

        Do not call it for an interrupted one: "£1" may be the beginning of "£15".
        """
        facts = find_facts(self._buffer, self._language)
        return self._release(list(sentence_spans(self._buffer, facts, self._language)), facts)

    def _complete(self, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """The sentences that later text cannot change."""
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
        released = "".join(self._check_sentence(start, end, facts) for start, end in spans)
        end = spans[-1][1]
        self._buffer = self._buffer[end:]
        self._released += end
        self._scanned = max(0, self._scanned - end)
        return released

    def _check_sentence(self, start: int, end: int, facts: Sequence[Fact]) -> str:
        text = self._buffer[start:end]
        in_sentence = (fact for fact in facts if start <= fact.start < end)
        unfounded = [fact for fact in in_sentence if fact not in self._known_facts]
        if not unfounded:
            if text.strip():
                self._last_replacement = None
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
        return self._replacement(text)

    def _replacement(self, text: str) -> str:
        """A reference to the best page, given once for consecutive sentences."""
        number = self._passage_number(text)
        replacement = (
            _("Please look this up on the page itself. [%(number)d]") % {"number": number}
            if number
            else _("This could not be checked, and is left out.")
        )
        trailing = text[len(text.rstrip()) :]
        if replacement == self._last_replacement:
            return ""
        self._last_replacement = replacement
        list_mark = _LIST_MARK.match(text)
        return f"{list_mark[0] if list_mark else ''}{replacement}{trailing}"

    def _passage_number(self, text: str) -> int | None:
        """The first passage that the sentence cites, or else the best one."""
        cited = parse_citations(text, self._passages)
        numbers = [*cited, *(passage.number for passage in self._passages)]
        return numbers[0] if numbers else None
