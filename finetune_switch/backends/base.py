"""The interface of chat backends."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from finetune_switch.conf import Deadlines
from finetune_switch.connections import Connection
from finetune_switch.messages import Message

from .background import iterate


@dataclass(frozen=True)
class BackendConfig:
    """The configuration of a backend, independent of the database.

    ``context_window`` is in tokens; ``None`` means no limit. ``parameters`` are validated.
    """

    alias: str
    label: str
    model_name: str = ""
    connection: Connection | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    deadlines: Deadlines = field(default_factory=Deadlines)
    context_window: int | None = None
    attempts: int = 3
    """How often a question is sent at most, if the server is busy."""


@dataclass(frozen=True)
class Text:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True)
class Retraction:
    """The text so far was no part of the answer: the model was thinking."""


@dataclass(frozen=True)
class Usage:
    """Tokens and the time to load the model, as reported by the server."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    load_seconds: float | None = None

    @classmethod
    def reported(
        cls, prompt_tokens: Any, completion_tokens: Any, load_seconds: Any = None
    ) -> Usage:
        """What a server reported. Values that no model can have are unknown."""
        return cls(_count(prompt_tokens), _count(completion_tokens), _seconds(load_seconds))

    def __add__(self, other: Usage) -> Usage:
        """The sum of two requests. A value that neither reports stays ``None``."""
        return Usage.reported(
            _sum(_count(self.prompt_tokens), _count(other.prompt_tokens)),
            _sum(_count(self.completion_tokens), _count(other.completion_tokens)),
            _sum(_seconds(self.load_seconds), _seconds(other.load_seconds)),
        )


# Larger numbers come from a broken server, and the database would refuse them.
MAX_TOKENS = 2**31 - 1
MAX_LOAD_SECONDS = 24 * 3600.0


def _count(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if 0 <= value <= MAX_TOKENS and value == math.floor(value) else None


def _seconds(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 0 <= value <= MAX_LOAD_SECONDS else None


Number = TypeVar("Number", int, float)


def _sum(one: Number | None, other: Number | None) -> Number | None:
    if one is None or other is None:
        return one if other is None else other
    return one + other


@dataclass(frozen=True)
class Silence:
    """Nothing arrived within a heartbeat. Lets the caller write, and notice a lost reader."""


Chunk = Text | Retraction | Usage | Silence


@dataclass(frozen=True)
class Completion:
    """A whole answer."""

    text: str
    usage: Usage


class BaseChatBackend:
    """A chat backend. Subclasses implement :meth:`astream`, or both ``stream`` and ``astream``.

    Failures are raised as :class:`~finetune_switch.exceptions.BackendError`. Closing a stream early
    (``close()``, ``aclose()``, a cancelled task) stops the model on its server.
    """

    streams = True
    """Whether text arrives while the model is still writing."""

    def __init__(self, config: BackendConfig) -> None:
        self.config = config

    def astream(self, messages: Sequence[Message]) -> AsyncGenerator[Chunk, None]:
        """The chunks of an answer as they arrive, with a last :class:`Usage` if reported."""
        raise NotImplementedError

    def stream(
        self, messages: Sequence[Message], *, heartbeat: float | None = None
    ) -> Generator[Chunk, None, None]:
        """Like :meth:`astream`, for synchronous code.

        With ``heartbeat``, a :class:`Silence` follows each that many seconds without a chunk.
        """
        return iterate(lambda: self.astream(messages), heartbeat=heartbeat, silence=Silence())

    async def acomplete(self, messages: Sequence[Message]) -> Completion:
        """The complete answer."""
        text, usage = [], Usage()
        async for chunk in self.astream(messages):
            if isinstance(chunk, Text):
                text.append(chunk.text)
            elif isinstance(chunk, Retraction):
                text.clear()
            elif isinstance(chunk, Usage):
                usage += chunk
        return Completion("".join(text), usage)

    def complete(self, messages: Sequence[Message]) -> Completion:
        text, usage = [], Usage()
        for chunk in self.stream(messages):
            if isinstance(chunk, Text):
                text.append(chunk.text)
            elif isinstance(chunk, Retraction):
                text.clear()
            elif isinstance(chunk, Usage):
                usage += chunk
        return Completion("".join(text), usage)

    def short_reply_backend(self, *, max_tokens: int, seconds: float) -> BaseChatBackend | None:
        """The same model, limited to ``max_tokens`` and to one attempt within ``seconds``.

        ``None`` without a model, or if it cannot be limited.
        """
        return None

    def with_schema(self, schema: Mapping[str, Any]) -> BaseChatBackend | None:
        """The same model, told to reply with JSON of this schema.

        Servers may ignore it, so the reply has to be checked. ``None`` without a model, or if it
        cannot be told.
        """
        return None

    def count_tokens(self, text: str) -> int:
        """An estimate: a token of English text has about four characters."""
        return len(text) // 4 + 1
