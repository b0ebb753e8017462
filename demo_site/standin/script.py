"""The steps of an answer, independent of the protocol."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Say:
    """A piece of the answer, or of the model's thoughts."""

    text: str
    thought: bool = False


@dataclass(frozen=True)
class Wait:
    """A pause, or with ``None``, silence until the client leaves."""

    seconds: float | None


@dataclass(frozen=True)
class Noise:
    """A chunk without text.

    ``empty`` is a chunk with empty text, ``no-choices`` OpenAI's chunk without choices (in Ollama
    the same as ``empty``), and ``bad-line`` a line with truncated JSON.
    """

    kind: Literal["empty", "no-choices", "bad-line"]


@dataclass(frozen=True)
class Break:
    """An irregular end of the answer.

    ``reset`` sends a TCP RST, ``close`` a FIN in the middle of the HTTP body, ``end`` ends the HTTP
    body without the protocol's end, and ``error`` sends the protocol's mid-stream error.
    """

    how: Literal["reset", "close", "end", "error"]


@dataclass(frozen=True)
class Refuse:
    """An error response. ``name`` is a key of the protocol's ``ERRORS``."""

    name: str


@dataclass(frozen=True)
class Page:
    """A response with status 200 that is not an answer, such as a proxy's HTML page."""

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
    """Split a text into words, each with the preceding space, as models stream tokens."""
    return _TOKEN.findall(text)


def say(text: str, *, thought: bool = False) -> Iterator[Say]:
    return (Say(token, thought) for token in tokens(text))


def count(text: str) -> int:
    """The number of tokens. The stand-in counts words."""
    return len(text.split())
