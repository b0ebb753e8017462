"""What an answer consists of, in the order in which it comes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from finetune_switch.passages import Passage


@dataclass(frozen=True)
class SourcesEvent:
    """First: the passages that the backend is given. ``left_out`` others had no room."""

    name: ClassVar[str] = "sources"
    exchange: str
    backend: str
    label: str
    data_destination: str
    passages: list[Passage] = field(default_factory=list)
    left_out: int = 0


@dataclass(frozen=True)
class TextEvent:
    """Then: a piece of the answer."""

    name: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True)
class DoneEvent:
    """Last, where it ended well. Seconds, tokens as the server counted them, US dollars."""

    name: ClassVar[str] = "done"
    outcome: str
    citations: list[int]
    first_token_seconds: float | None
    duration_seconds: float
    load_seconds: float | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cost: float | None


@dataclass(frozen=True)
class FailedEvent:
    """Last, where it did not. ``message`` is safe to show to anybody."""

    name: ClassVar[str] = "failed"
    message: str
    code: str
    remedy: str = field(default="", repr=False)


@dataclass(frozen=True)
class WaitingEvent:
    """Nothing has come for a heartbeat; says so, and lets a server notice that a reader left."""

    name: ClassVar[str] = "waiting"


Event = SourcesEvent | TextEvent | DoneEvent | FailedEvent | WaitingEvent


def event_data(event: Event) -> dict[str, Any]:
    """The event as JSON can hold it, for a visitor: without the remedy, which is for the team."""
    if isinstance(event, TextEvent):
        # Of these there are thousands in a second.
        return {"text": event.text}
    data = asdict(event)
    data.pop("remedy", None)
    return data
