"""Parses the question and the passages from the messages sent to a model.

Supports the prompt of finetune_switch, with marked-up passages in the user message, and that of
wagtail-vector-index, with the plain text of the passages in the second system message.
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
_DEMANDED_PHRASE = re.compile(r'reply\s+exactly:\s*"([^"\n]+)"', re.IGNORECASE)
# An abbreviation, an initial or a time (10 a.m. on Sundays) does not end a sentence.
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)]*\s+(?=[\"'“‘(]?[A-Z0-9£€$])|\n+")
_ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|No|e\.g|i\.e|a\.m|p\.m|approx)|\b[A-Z])\.$")


@dataclass(frozen=True)
class Passage:
    """A retrieved text. ``number`` is ``None`` if the prompt does not number its passages."""

    text: str
    number: int | None = None
    title: str = ""

    @property
    def sentences(self) -> list[str]:
        return split_sentences(self.text)


@dataclass(frozen=True)
class FollowUp:
    """A follow-up to be rewritten, and the questions before it."""

    question: str
    earlier: tuple[str, ...]


@dataclass(frozen=True)
class ParsedPrompt:
    question: str
    passages: tuple[Passage, ...] = ()
    nothing_found: str = FALLBACK_PHRASE


def parse_prompt(messages: Sequence[Any]) -> ParsedPrompt:
    """Parse the question, the passages, and the phrase for when they hold no answer."""
    texts = [(_role(message), content(message)) for message in messages]
    systems = [text for role, text in texts if role in ("system", "developer")]
    last = next((text for role, text in reversed(texts) if role == "user"), "")
    demanded = _last_match(_DEMANDED_PHRASE, "\n".join([*systems, last]))
    marked = tuple(_marked_passages(last))
    asked = _last_match(_QUESTION, last)
    if marked or asked is not None:
        question = asked if asked is not None else _PASSAGE.sub("", last)
    else:
        question, marked = last, tuple(_bare_passages(systems))
    return ParsedPrompt(question.strip(), marked, (demanded or FALLBACK_PHRASE).strip())


def parse_last_message(messages: Sequence[Any]) -> ParsedPrompt:
    """Like :func:`parse_prompt`, for a model whose template drops system messages."""
    return parse_prompt([message for message in messages if _role(message) == "user"][-1:])


def parse_follow_up(messages: Sequence[Any]) -> FollowUp | None:
    """The follow-up, if the model is asked to rewrite one."""
    last = next((content(m) for m in reversed(messages) if _role(m) == "user"), "")
    follow_up = _last_match(_FOLLOW_UP, last)
    if follow_up is None:
        return None
    earlier = tuple(unescape(text).strip() for text in _VISITOR.findall(last))
    return FollowUp(unescape(follow_up).strip(), earlier)


def content(message: Any) -> str:
    """The text of a message. OpenAI's content parts are joined."""
    value = message.get("content") if isinstance(message, dict) else None
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(
            part.get("text") or "" for part in value if isinstance(part, dict) and "text" in part
        )
    return ""


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, with whitespace collapsed. Line breaks also end sentences."""
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
    """The paragraphs of all system messages but the first, as in wagtail-vector-index."""
    blocks = [block.strip() for text in systems[1:] for block in re.split(r"\n\s*\n", text)]
    return [Passage(block) for block in blocks if block]
