"""The switch as a chat backend of wagtail-vector-index: ``index.query()`` follows it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from wagtail_vector_index.ai_utils.backends.base import BaseChatBackend, BaseChatConfig
from wagtail_vector_index.ai_utils.types import (
    AIResponse,
    AIResponseStreamingPart,
    AIStreamingResponse,
    ChatMessage,
)

from finetune_switch.answers import Answer, AsyncAnswer, aanswer, answer
from finetune_switch.answers.events import TextEvent

# Of no consequence: the prompt is fitted to whichever backend is active. It keeps the package from
# asking litellm about a model that does not exist.
TOKEN_LIMIT = 4096


class SwitchedChatConfig(BaseChatConfig):
    @classmethod
    def _get_token_limit(cls, *, model_id: str) -> int:
        return TOKEN_LIMIT


class SwitchedChatBackend(BaseChatBackend[SwitchedChatConfig]):
    """Hands each question to the backend that the site's switch says is active.

    The site is that of the current request, or the default site. The messages go out as they come,
    with wagtail-vector-index's own prompt. Raises
    :class:`~finetune_switch.exceptions.BackendError`, whose message is safe to show.
    """

    config_cls = SwitchedChatConfig

    def chat(
        self, *, messages: Sequence[ChatMessage], stream: bool = False, **kwargs: Any
    ) -> AIResponse | AIStreamingResponse:
        _refuse(kwargs)
        pending = answer(_question(messages), messages=_plain(messages))
        return SwitchedStream(pending) if stream else AIResponse(choices=[pending.text])

    async def achat(
        self, *, messages: Sequence[ChatMessage], stream: bool = False, **kwargs: Any
    ) -> AIResponse | AsyncSwitchedStream:
        _refuse(kwargs)
        pending = aanswer(_question(messages), messages=_plain(messages))
        return (
            AsyncSwitchedStream(pending) if stream else AIResponse(choices=[await pending.text()])
        )


class SwitchedStream(AIStreamingResponse):
    """The parts of a streamed answer, for ``for``."""

    def __init__(self, pending: Answer) -> None:
        self.answer = pending
        self._events = iter(pending)

    def __iter__(self) -> Iterator[AIResponseStreamingPart]:
        return self

    def __next__(self) -> AIResponseStreamingPart:
        for event in self._events:
            if isinstance(event, TextEvent):
                return {"index": 0, "content": event.text}
        self.answer.raise_failure()
        raise StopIteration

    def close(self) -> None:
        """Stop reading, and with it the model."""
        self._events.close()


class AsyncSwitchedStream:
    """The parts of a streamed answer, for ``async for``."""

    def __init__(self, pending: AsyncAnswer) -> None:
        self.answer = pending
        self._events = aiter(pending)

    def __aiter__(self) -> AsyncIterator[AIResponseStreamingPart]:
        return self

    async def __anext__(self) -> AIResponseStreamingPart:
        async for event in self._events:
            if isinstance(event, TextEvent):
                return {"index": 0, "content": event.text}
        self.answer.raise_failure()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop reading, and with it the model."""
        await self._events.aclose()


def _question(messages: Sequence[ChatMessage]) -> str:
    return next((m["content"] for m in reversed(messages) if m["role"] == "user"), "")


def _plain(messages: Sequence[ChatMessage]) -> list[Any]:
    return [{"role": m["role"], "content": m["content"]} for m in messages]


def _refuse(parameters: dict[str, Any]) -> None:
    if parameters:
        raise TypeError(
            "The switched chat backend takes its parameters from the active backend's page in the "
            f"admin, not from the call: {', '.join(parameters)}."
        )
