"""Reads a question and its passages back out of the messages that a model is sent.

Two shapes: finetune_switch's own, with marked-up passages in the user's message, and that of
wagtail-vector-index, whose second system message is the bare text of the passages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import unescape
from typing import Any

FALLBACK_PHRASE = "I don't know."

_PASSAGE = re.compile(r"<passage\b([^>]*)>(.*?)</passage\s*>", re.DOTALL | re.IGNORECASE)
_QUESTION = re.compile(r"<question\s*>(.*?)</question\s*>", re.DOTALL | re.IGNORECASE)
_FOLLOW_UP = re.compile(r"<follow_up\s*>(.*?)</follow_up\s*>", re.DOTALL)
_VISITOR = re.compile(r"<visitor\s*>(.*?)</visitor\s*>", re.DOTALL)
_ATTRIBUTE = re.compile(r"""(\w+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_DEMANDED = re.compile(r'reply\s+exactly:\s*"([^"\n]+)"', re.IGNORECASE)
# An abbreviation, an initial or a time (10 a.m. on Sundays) does not end a sentence.
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)]*\s+(?=[\"'“‘(]?[A-Z0-9£€$])|\n+")
_ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|No|e\.g|i\.e|a\.m|p\.m|approx)|\b[A-Z])\.$")


@dataclass(frozen=True)
class Passage:
    """A retrieved text; ``number`` is ``None`` where the prompt does not number its passages."""

    text: str
    number: int | None = None
    title: str = ""

    @property
    def sentences(self) -> list[str]:
        return split_sentences(self.text)


@dataclass(frozen=True)
class FollowUp:
    """A follow-up that is to be made into a question of its own, and the questions before it."""

    question: str
    earlier: tuple[str, ...]


@dataclass(frozen=True)
class Heard:
    """What a model makes of its messages."""

    question: str
    passages: tuple[Passage, ...] = ()
    nothing_found: str = FALLBACK_PHRASE


def hear(messages: Sequence[Any]) -> Heard:
    """The question, the passages and the phrase demanded where they hold no answer."""
    texts = [(_role(message), content(message)) for message in messages]
    systems = [text for role, text in texts if role in ("system", "developer")]
    last = next((text for role, text in reversed(texts) if role == "user"), "")
    demanded = _last_match(_DEMANDED, "\n".join([*systems, last]))
    marked = tuple(_marked_passages(last))
    asked = _last_match(_QUESTION, last)
    if marked or asked is not None:
        question = asked if asked is not None else _PASSAGE.sub("", last)
    else:
        question, marked = last, tuple(_bare_passages(systems))
    return Heard(question.strip(), marked, (demanded or FALLBACK_PHRASE).strip())


def hear_last_message(messages: Sequence[Any]) -> Heard:
    """The same for a model whose template drops system messages."""
    return hear([message for message in messages if _role(message) == "user"][-1:])


def hear_follow_up(messages: Sequence[Any]) -> FollowUp | None:
    """The follow-up, where a model is asked to rewrite one and not to answer."""
    last = next((content(m) for m in reversed(messages) if _role(m) == "user"), "")
    follow_up = _last_match(_FOLLOW_UP, last)
    if follow_up is None:
        return None
    earlier = tuple(unescape(text).strip() for text in _VISITOR.findall(last))
    return FollowUp(unescape(follow_up).strip(), earlier)


def content(message: Any) -> str:
    """A message's text; OpenAI's list of content parts is joined."""
    value = message.get("content") if isinstance(message, dict) else None
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(
            part.get("text") or "" for part in value if isinstance(part, dict) and "text" in part
        )
    return ""


def split_sentences(text: str) -> list[str]:
    """A text's sentences, each on one line. Line breaks end a sentence too."""
    sentences: list[str] = []
    joined = ""
    for part in _SENTENCE_END.split(text):
        part = " ".join(part.lstrip(" -•*\t").split())
        if not part:
            continue
        joined = f"{joined} {part}" if joined else part
        if not _ABBREVIATION.search(joined):
            sentences.append(joined)
            joined = ""
    return [*sentences, joined] if joined else sentences


def _role(message: Any) -> str:
    return str(message.get("role", "")) if isinstance(message, dict) else ""


def _last_match(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.findall(text)
    return found[-1] if found else None


def _marked_passages(text: str) -> list[Passage]:
    passages = []
    for position, (head, body) in enumerate(_PASSAGE.findall(text), start=1):
        attributes = {
            name.lower(): double or single for name, double, single in _ATTRIBUTE.findall(head)
        }
        number = attributes.get("number", "")
        passages.append(
            Passage(
                body.strip(),
                int(number) if number.isdecimal() else position,
                unescape(attributes.get("title", "")),
            )
        )
    return passages


def _bare_passages(systems: Sequence[str]) -> list[Passage]:
    """The context of wagtail-vector-index: every system message but the first, by paragraph."""
    blocks = [block.strip() for text in systems[1:] for block in re.split(r"\n\s*\n", text)]
    return [Passage(block) for block in blocks if block]
