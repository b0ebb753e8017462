"""The types of prompts and conversations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict


class Message(TypedDict):
    role: str
    content: str


@dataclass(frozen=True)
class Turn:
    """An earlier question of the conversation, with its answer."""

    question: str
    answer: str = ""
