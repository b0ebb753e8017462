"""Types that a prompt and a conversation are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict


class Message(TypedDict):
    role: str
    content: str


@dataclass(frozen=True)
class Turn:
    """An earlier question of the same conversation, and what was answered."""

    question: str
    answer: str = ""
