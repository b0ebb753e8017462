"""A wagtail-vector-index chat backend that uses the active backend of the switch."""

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

# Unused, since the prompt is fitted to the active backend. Without a value, wagtail-vector-index
# asks litellm about a model that does not exist.
TOKEN_LIMIT = 4096


class SwitchedChatConfig(BaseChatConfig):
    @classmethod
    def _get_token_limit(cls, *, model_id: str) -> int:
        return TOKEN_LIMIT


class SwitchedChatBackend(BaseChatBackend[SwitchedChatConfig]):
    """Passes messages on to the active backend of the current request's site.

    Without a request, the default site's. The messages, with wagtail-vector-index's own prompt,
    are sent unchanged. Raises :class:`~finetune_switch.exceptions.BackendError`, whose message is
    safe to show.
    """

    config_cls = SwitchedChatConfig

    def chat(
        self, *, messages: Sequence[ChatMessage], stream: bool = False, **kwargs: Any
    ) -> AIResponse | AIStreamingResponse:
        _reject_parameters(kwargs)
        pending_answer = answer(_question(messages), messages=_without_extra_keys(messages))
        return (
            SwitchedStream(pending_answer) if stream else AIResponse(choices=[pending_answer.text])
        )

    async def achat(
        self, *, messages: Sequence[ChatMessage], stream: bool = False, **kwargs: Any
    ) -> AIResponse | AsyncSwitchedStream:
        _reject_parameters(kwargs)
        pending_answer = aanswer(_question(messages), messages=_without_extra_keys(messages))
        return (
            AsyncSwitchedStream(pending_answer)
            if stream
            else AIResponse(choices=[await pending_answer.text()])
        )


class SwitchedStream(AIStreamingResponse):
    def __init__(self, pending_answer: Answer) -> None:
        self.answer = pending_answer
        self._events = iter(pending_answer)

    def __iter__(self) -> Iterator[AIResponseStreamingPart]:
        return self

    def __next__(self) -> AIResponseStreamingPart:
        for event in self._events:
            if isinstance(event, TextEvent):
                return {"index": 0, "content": event.text}
        self.answer.raise_failure()
        raise StopIteration

    def close(self) -> None:
        """Stop reading, which also stops the model."""
        self._events.close()


class AsyncSwitchedStream:
    def __init__(self, pending_answer: AsyncAnswer) -> None:
        self.answer = pending_answer
        self._events = aiter(pending_answer)

    def __aiter__(self) -> AsyncIterator[AIResponseStreamingPart]:
        return self

    async def __anext__(self) -> AIResponseStreamingPart:
        async for event in self._events:
            if isinstance(event, TextEvent):
                return {"index": 0, "content": event.text}
        self.answer.raise_failure()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop reading, which also stops the model."""
        await self._events.aclose()


def _question(messages: Sequence[ChatMessage]) -> str:
    return next((m["content"] for m in reversed(messages) if m["role"] == "user"), "")


def _without_extra_keys(messages: Sequence[ChatMessage]) -> list[Any]:
    return [{"role": m["role"], "content": m["content"]} for m in messages]


def _reject_parameters(parameters: dict[str, Any]) -> None:
    if parameters:
        raise TypeError(
            "The switched chat backend takes its parameters from the active backend's page in the "
            f"admin, not from the call: {', '.join(parameters)}."
        )
