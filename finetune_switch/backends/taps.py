"""What model servers say and litellm does not pass on.

litellm ends a stream that was cut with ``stop``, as if it were complete; it drops Ollama's
``<think>`` tags but shows what stood between them, and loses the text of an error line. A tap reads
along where the server's own objects still are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from .thinking import ThinkingFilter

NANOSECONDS = 1e9


class StreamTap:
    """What is known of a stream from the server's own objects; this one reads nothing."""

    is_reading = False
    """Whether litellm let us in; without that, its own word for the end has to do."""

    def __init__(self) -> None:
        self.messages = 0
        self.done = False
        self.error = ""
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None
        self.load_seconds: float | None = None


def open_tap(stream: Any, provider: str) -> StreamTap:
    """The tap that fits a litellm stream of this provider."""
    reader = getattr(stream, "completion_stream", None)
    if provider in ("ollama", "ollama_chat") and hasattr(reader, "chunk_parser"):
        return OllamaTap(reader)
    if provider == "openai" and hasattr(reader, "__aiter__"):
        tap = OpenAITap(reader)
        stream.completion_stream = tap
        return tap
    return StreamTap()


class OllamaTap(StreamTap):
    """Reads the lines of Ollama's ``/api/chat``, and takes the thoughts out of them.

    Durations are in nanoseconds there. A stream without a ``done`` line was cut.
    """

    is_reading = True

    def __init__(self, reader: Any) -> None:
        super().__init__()
        self._thoughts = ThinkingFilter()
        self._parse = reader.chunk_parser
        reader.chunk_parser = self._read

    def _read(self, chunk: dict[str, Any]) -> Any:
        if error := chunk.get("error"):
            self.error = str(error)
        message = chunk.get("message")
        if isinstance(message, dict):
            self.messages += 1
            message["content"] = self._thoughts.feed(message.get("content") or "")
        if chunk.get("done"):
            self.done = True
            self.prompt_tokens = chunk.get("prompt_eval_count")
            self.completion_tokens = chunk.get("eval_count")
            if load := chunk.get("load_duration"):
                self.load_seconds = load / NANOSECONDS
            if isinstance(message, dict):
                message["content"] += self._thoughts.finish()
        return self._parse(chunk)


class OpenAITap(StreamTap):
    """Stands in for the OpenAI SDK's stream. Without a ``finish_reason`` the answer was cut."""

    is_reading = True

    def __init__(self, reader: Any) -> None:
        super().__init__()
        self._reader = reader
        self._chunks = aiter(reader)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            chunk = await anext(self._chunks)
        except Exception as error:
            # What the SDK makes of an error event. A lost connection has a class of its own.
            if type(error).__name__ == "APIError":
                self.error = str(error)
            raise
        self.messages += 1
        for choice in getattr(chunk, "choices", None) or ():
            if getattr(choice, "finish_reason", None):
                self.done = True
        return chunk

    async def aclose(self) -> None:
        if (close := getattr(self._reader, "aclose", None) or self._reader.close) is not None:
            await close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)
