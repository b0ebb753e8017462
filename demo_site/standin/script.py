"""What a model does while it answers, step by step, in no particular protocol."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Say:
    """A piece of the answer, or of the thoughts before it."""

    text: str
    thought: bool = False


@dataclass(frozen=True)
class Wait:
    """Silence, for some seconds or until the client leaves."""

    seconds: float | None


@dataclass(frozen=True)
class Noise:
    """Something on the wire that carries no text.

    ``empty`` is a chunk without text, ``no-choices`` OpenAI's chunk without choices (Ollama: as
    ``empty``), ``bad-line`` a line that is cut off in the middle of its JSON.
    """

    kind: Literal["empty", "no-choices", "bad-line"]


@dataclass(frozen=True)
class Break:
    """The answer ends as it should not.

    ``reset`` sends a TCP RST, ``close`` a FIN in the middle of the HTTP body, ``end`` ends the body
    properly but the answer not at all, ``error`` sends the protocol's mid-stream error.
    """

    how: Literal["reset", "close", "end", "error"]


@dataclass(frozen=True)
class Refuse:
    """An error in place of an answer; ``name`` is a key of the protocol's refusals."""

    name: str


@dataclass(frozen=True)
class Page:
    """A body with status 200 that is no answer: somebody else's page, or nothing."""

    body: str
    content_type: str | None = None


@dataclass(frozen=True)
class Finish:
    """The regular end. ``reason`` is ``stop``, ``length`` or ``content_filter``."""

    reason: str = "stop"


Step = Say | Wait | Noise | Break | Refuse | Page | Finish
Script = Iterable[Step]

_TOKEN = re.compile(r"\s*\S+|\s+$")


def tokens(text: str) -> list[str]:
    """A text as a model would stream it: word by word, each with the space before it."""
    return _TOKEN.findall(text)


def say(text: str, *, thought: bool = False) -> Iterator[Say]:
    return (Say(token, thought) for token in tokens(text))


def count(text: str) -> int:
    """How many tokens a text has here: its words."""
    return len(text.split())
