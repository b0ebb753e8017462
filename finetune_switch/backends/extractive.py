"""Answers quoted from the passages, without a model or a network.

A fresh install can answer with it at once, and a comparison can use it as a baseline.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Generator, Sequence
from html import unescape

from django.conf import settings
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from finetune_switch.messages import Message
from finetune_switch.text.quotable import Quotable, split_passage

from .base import BackendConfig, BaseChatBackend, Chunk, Text, Usage
from .extraction import extract

_PASSAGE = re.compile(
    r'<passage number="(\d+)"(?: title="([^"]*)")?[^>]*>\n(.*?)\n</passage>', re.DOTALL
)
_QUESTION = re.compile(r"<question>\n(.*)\n</question>", re.DOTALL)
_PHRASE = re.compile(r'reply exactly: "(.*)"', re.DOTALL)


class ExtractiveChatBackend(BaseChatBackend):
    """Quotes the sentences, rows or lists that answer the question, or says "I don't know"."""

    def __init__(self, config: BackendConfig) -> None:
        super().__init__(config)
        # The language of the question is active here, but may not be where the stream is read.
        self.dont_know = _("I don't know.")
        self.language = get_language() or settings.LANGUAGE_CODE

    def stream(
        self, messages: Sequence[Message], *, heartbeat: float | None = None
    ) -> Generator[Chunk, None, None]:
        yield from _pieces(answer_from_messages(messages, self.dont_know, language=self.language))

    async def astream(self, messages: Sequence[Message]) -> AsyncGenerator[Chunk, None]:
        answer = await asyncio.to_thread(
            answer_from_messages, messages, self.dont_know, language=self.language
        )
        for chunk in _pieces(answer):
            yield chunk


def _pieces(answer: str) -> Generator[Chunk, None, None]:
    for piece in re.findall(r"\S+\s*", answer):
        yield Text(piece)
    yield Usage()


def answer_from_messages(
    messages: Sequence[Message], dont_know: str = "I don't know.", *, language: str = "en"
) -> str:
    """The answer to the last message, from the passages in it.

    ``dont_know`` is the reply if nothing fits and the system prompt demands no other phrase.
    ``language`` is the language code of the question.
    """
    text = messages[-1]["content"]
    passages = [
        (int(number), unescape(title), body) for number, title, body in _PASSAGE.findall(text)
    ]
    asked = _QUESTION.search(text)
    question = asked[1] if asked else text
    system = [message["content"] for message in messages if message["role"] == "system"]
    if not passages:
        # In the prompt of another package, quote the last system message.
        passages = [(0, "", content) for content in system[-1:]]
    quotables = [
        one
        for number, title, body in passages
        for one in split_passage(number, title, body, language)
    ]
    found = extract(question, quotables, language)
    if not found:
        phrase = _PHRASE.search("\n".join(system))
        return phrase[1] if phrase else dont_know
    return "\n\n".join(_quote(group) for group in found)


def _quote(group: Sequence[Quotable]) -> str:
    """The quoted texts of a passage with its number."""
    first = group[0]
    mark = f" [{first.passage}]" if first.passage else ""
    if len(group) == 1:
        return f"{first.text}{mark}"
    lines = "\n".join(f"- {one.text}" for one in group)
    return f"{first.lead_in}\n{lines}{mark}" if first.lead_in else f"{lines}{mark}"
