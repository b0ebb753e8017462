"""The events of an answer, in their order."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from finetune_switch.passages import Passage


@dataclass(frozen=True)
class SourcesEvent:
    """The first event: the passages given to the backend.

    ``left_out`` is the number of passages that did not fit the context window.
    """

    name: ClassVar[str] = "sources"
    exchange: str
    backend: str
    label: str
    data_destination: str
    passages: list[Passage] = field(default_factory=list)
    left_out: int = 0


@dataclass(frozen=True)
class TextEvent:
    """A piece of the answer.

    If ``replaces`` is set, it takes the place of all text before it, which was no answer.
    """

    name: ClassVar[str] = "text"
    text: str
    replaces: bool = False


@dataclass(frozen=True)
class DoneEvent:
    """The last event of a complete answer.

    Tokens are as counted by the server. ``cost`` is in US dollars.
    """

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
    """The last event of a failed answer. ``message`` is safe to show to visitors."""

    name: ClassVar[str] = "failed"
    message: str
    code: str
    remedy: str = field(default="", repr=False)


@dataclass(frozen=True)
class WaitingEvent:
    """No other event arrived within a heartbeat. Sending it shows whether the reader left."""

    name: ClassVar[str] = "waiting"


Event = SourcesEvent | TextEvent | DoneEvent | FailedEvent | WaitingEvent


def event_data(event: Event) -> dict[str, Any]:
    """The event's data for JSON, without the remedy, which is not for visitors."""
    if isinstance(event, TextEvent):
        # asdict() is too slow for thousands of these a second.
        return {"text": event.text, "replaces": True} if event.replaces else {"text": event.text}
    data = asdict(event)
    data.pop("remedy", None)
    return data
