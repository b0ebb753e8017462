"""What a chat backend is: one constructor, messages in, chunks out, sync and async alike."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from finetune_switch.conf import Deadlines
from finetune_switch.connections import Connection
from finetune_switch.messages import Message

from .background import iterate


@dataclass(frozen=True)
class BackendConfig:
    """Everything a backend needs to answer; made from a row, and free of the database.

    ``context_window`` is in tokens, ``None`` for no limit; ``parameters`` are already checked.
    """

    alias: str
    label: str
    model_name: str = ""
    connection: Connection | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    deadlines: Deadlines = field(default_factory=Deadlines)
    context_window: int | None = None
    attempts: int = 3
    """How often a question is sent at most, where the server asks to be asked again."""


@dataclass(frozen=True)
class Text:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True)
class Usage:
    """Tokens as the server counted them, and the seconds it took to load the model."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    load_seconds: float | None = None

    def __add__(self, other: Usage) -> Usage:
        """Of two requests: what neither told stays unknown."""
        return Usage(
            _sum(self.prompt_tokens, other.prompt_tokens),
            _sum(self.completion_tokens, other.completion_tokens),
            _sum(self.load_seconds, other.load_seconds),
        )


Number = TypeVar("Number", int, float)


def _sum(one: Number | None, other: Number | None) -> Number | None:
    if one is None or other is None:
        return one if other is None else other
    return one + other


@dataclass(frozen=True)
class Silence:
    """Nothing came for a heartbeat. Lets a reader write, and so notice that nobody listens."""


Chunk = Text | Usage | Silence


@dataclass(frozen=True)
class Completion:
    """A whole answer."""

    text: str
    usage: Usage


class BaseChatBackend:
    """A chat backend. Subclasses implement :meth:`astream`, or both ``stream`` and ``astream``.

    Every failure is a :class:`~finetune_switch.exceptions.BackendError`. A stream that is closed
    early (``close()``, ``aclose()``, a cancelled task) stops the model on its server.
    """

    streams = True
    """Whether text arrives while the model is still writing."""

    def __init__(self, config: BackendConfig) -> None:
        self.config = config

    def astream(self, messages: Sequence[Message]) -> AsyncGenerator[Chunk, None]:
        """Chunks of one answer as they come; a :class:`Usage` last where the server tells."""
        raise NotImplementedError

    def stream(
        self, messages: Sequence[Message], *, heartbeat: float | None = None
    ) -> Generator[Chunk, None, None]:
        """The same for code without an event loop.

        With ``heartbeat`` (seconds) a :class:`Silence` comes whenever nothing else did for as long.
        """
        return iterate(lambda: self.astream(messages), heartbeat=heartbeat, silence=Silence())

    async def acomplete(self, messages: Sequence[Message]) -> Completion:
        """The whole answer at once."""
        text, usage = [], Usage()
        async for chunk in self.astream(messages):
            if isinstance(chunk, Text):
                text.append(chunk.text)
            elif isinstance(chunk, Usage):
                usage = chunk
        return Completion("".join(text), usage)

    def complete(self, messages: Sequence[Message]) -> Completion:
        text, usage = [], Usage()
        for chunk in self.stream(messages):
            if isinstance(chunk, Text):
                text.append(chunk.text)
            elif isinstance(chunk, Usage):
                usage = chunk
        return Completion("".join(text), usage)

    def short_reply_backend(self, *, max_tokens: int, seconds: float) -> BaseChatBackend | None:
        """The same model for a short text of our own, asked once and given up after ``seconds``.

        ``None`` where there is no model, or where it cannot be told so much.
        """
        return None

    def count_tokens(self, text: str) -> int:
        """About how many tokens a text has: four characters make one in English."""
        return len(text) // 4 + 1
