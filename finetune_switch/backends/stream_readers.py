"""Read streams from the server's response instead of from litellm's chunks.

litellm reports a cut stream as complete, drops Ollama's ``<think>`` tags but not the text between
them, and loses the message of an error line. Under load, its chunks and those of the OpenAI SDK are
three quarters of the cost of a token. The response is a private attribute of litellm's stream. If
it is missing, litellm's chunks are read, and a warning is logged once.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from importlib.metadata import version
from typing import Any

logger = logging.getLogger("finetune_switch.backends")

NANOSECONDS = 1e9
READ_DIRECTLY = ("ollama", "ollama_chat", "openai")
unread_providers: set[str] = set()
"""Providers of :data:`READ_DIRECTLY` whose streams this process could not read directly."""


class ErrorInStream(Exception):
    """The server reported an error within a stream."""


class StreamReader:
    """Reads the chunks of litellm, for any provider."""

    is_reading = False
    """Whether the server's response is read, so that ``done`` can be trusted."""

    def __init__(self, stream: Any) -> None:
        self.messages = 0
        self.done = False
        self.error = ""
        self.finish_reason = ""
        # As reported; Usage.reported() checks them.
        self.prompt_tokens: Any = None
        self.completion_tokens: Any = None
        self.load_seconds: float | None = None
        self._stream = stream

    async def texts(self) -> AsyncGenerator[str, None]:
        """The text of each message, which may be empty."""
        async for chunk in self._stream:
            self._count(getattr(chunk, "usage", None))
            for choice in chunk.choices or ():
                self.finish_reason = choice.finish_reason or self.finish_reason
                yield choice.delta.content or ""
        # litellm's chunks say "stop" even if the stream ended early.
        reasons = ("received_finish_reason", "intermittent_finish_reason")
        known = [getattr(self._stream, name) for name in reasons if hasattr(self._stream, name)]
        self.done = not known or any(known)

    def _count(self, usage: Any) -> None:
        if usage is not None and usage.prompt_tokens is not None:
            self.prompt_tokens = usage.prompt_tokens
            self.completion_tokens = usage.completion_tokens


def open_reader(stream: Any, provider: str) -> StreamReader:
    """The reader for a litellm stream of this provider."""
    source = getattr(stream, "completion_stream", None)
    response = getattr(source, "http_response", None) or getattr(source, "response", None)
    if provider in ("ollama", "ollama_chat") and (lines := _lines_of_ollama(source, response)):
        return OllamaReader(stream, lines)
    # litellm asks most other providers through OpenAI's library as well.
    is_of_openai = type(source).__module__.startswith("openai.")
    if (provider == "openai" or is_of_openai) and hasattr(response, "aiter_bytes"):
        return OpenAIReader(stream, _lines(response))
    if provider in READ_DIRECTLY:
        _note_unread(provider)
    return StreamReader(stream)


def _note_unread(provider: str) -> None:
    if provider not in unread_providers:
        unread_providers.add(provider)
        logger.warning(
            "litellm %s does not show the response of %r as expected, so its streams are read "
            "through litellm: answers that were cut may look complete. Install a version of "
            "litellm that wagtail-finetune-switch allows.",
            version("litellm"),
            provider,
        )


def _lines_of_ollama(source: Any, response: Any) -> Any:
    # Older releases of litellm have the lines, but not the response.
    return _lines(response) if response else getattr(source, "streaming_response", None)


async def _lines(response: Any) -> AsyncGenerator[bytes, None]:
    rest = b""
    async with aclosing(response.aiter_bytes()) as pieces:
        async for piece in pieces:
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield line
    if rest:
        yield rest


class OllamaReader(StreamReader):
    """Reads the lines of Ollama's ``/api/chat``. A stream without a ``done`` line was cut."""

    is_reading = True

    def __init__(self, stream: Any, lines: AsyncGenerator[Any, None]) -> None:
        super().__init__(stream)
        self._lines = lines

    async def texts(self) -> AsyncGenerator[str, None]:
        async with aclosing(self._lines) as lines:
            async for line in lines:
                try:
                    message = json.loads(line)
                except ValueError:
                    # Skip lines that are empty or damaged by a proxy, as litellm does.
                    continue
                if isinstance(message, dict):
                    yield self._read(message)

    def _read(self, message: dict[str, Any]) -> str:
        if error := message.get("error"):
            self.error = str(error)
            raise ErrorInStream(self.error)
        said = message.get("message")
        if not isinstance(said, dict):
            return ""
        self.messages += 1
        if message.get("done"):
            self.done = True
            self.finish_reason = str(message.get("done_reason") or "stop")
            self.prompt_tokens = message.get("prompt_eval_count")
            self.completion_tokens = message.get("eval_count")
            load = message.get("load_duration")
            if isinstance(load, (int, float)) and load:
                self.load_seconds = load / NANOSECONDS
        return said.get("content") or ""


class OpenAIReader(StreamReader):
    """Reads OpenAI's server-sent events. A stream without a ``finish_reason`` was cut."""

    is_reading = True

    def __init__(self, stream: Any, lines: AsyncGenerator[bytes, None]) -> None:
        super().__init__(stream)
        self._lines = lines

    async def texts(self) -> AsyncGenerator[str, None]:
        data: list[bytes] = []
        async with aclosing(self._lines) as lines:
            async for line in lines:
                line = line.rstrip(b"\r")
                if line.startswith(b"data:"):
                    data.append(line[5:].lstrip(b" "))
                elif not line and data:
                    event, data = b"\n".join(data), []
                    if event.startswith(b"[DONE]"):
                        return
                    for text in self._read(json.loads(event)):
                        yield text

    def _read(self, chunk: dict[str, Any]) -> list[str]:
        self._check_error(chunk.get("error"))
        self.messages += 1
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self.prompt_tokens = usage.get("prompt_tokens", self.prompt_tokens)
            self.completion_tokens = usage.get("completion_tokens", self.completion_tokens)
        texts = []
        for choice in chunk.get("choices") or ():
            self._check_error(choice.get("error"))
            if reason := choice.get("finish_reason"):
                self.done, self.finish_reason = True, str(reason)
            texts.append((choice.get("delta") or {}).get("content") or "")
        return texts

    def _check_error(self, error: Any) -> None:
        if error:
            message = error.get("message") if isinstance(error, dict) else error
            self.error = str(message or "An error occurred during streaming")
            raise ErrorInStream(self.error)
