"""Chat through litellm, with our own deadlines, retries and checks of the end of a stream.

litellm's timeout is the time between two reads (6,000 s by default). It reports a cut stream as a
success, and a stream that is not closed leaves the model generating.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from finetune_switch.conf import Deadlines
from finetune_switch.connections import Connection
from finetune_switch.exceptions import BackendError
from finetune_switch.messages import Message
from finetune_switch.models.parameters import is_cloud_model

from . import errors
from .background import run
from .base import BaseChatBackend, Chunk, Completion, Retraction, Text, Usage
from .calls import (
    DeadlineTimer,
    address_of,
    aimport_litellm,
    call_with_retries,
    imported_litellm,
    key_for,
    warm_up,
)
from .clients import client_arguments
from .stream_readers import StreamReader, open_reader
from .thinking import ThinkingFilter, is_named_as_thinking, strip_thinking

# litellm sends models with these words in their names to the companies of that name, whatever the
# provider.
_ELSEWHERE = ("replicate", "clarifai")
_registered: set[str] = set()
# Models whose template opens the thoughts, so that only a closing marker arrives.
_begin_with_thoughts: set[tuple[str, str]] = set()


class LiteLLMChatBackend(BaseChatBackend):
    """A chat backend for every provider of litellm."""

    @property
    def connection(self) -> Connection:
        assert self.config.connection is not None
        return self.config.connection

    async def astream(self, messages: Sequence[Message]) -> AsyncGenerator[Chunk, None]:
        clock = DeadlineTimer(self.config)
        litellm = await clock.wait(aimport_litellm())
        stream = await self._open(litellm, messages, clock, stream=True)
        reader = open_reader(stream, self.connection.provider)
        thoughts = ThinkingFilter(holds=self._may_begin_with_thoughts())
        texts = reader.texts()
        try:
            while True:
                try:
                    said = await clock.wait(anext(texts))
                except StopAsyncIteration:
                    break
                except BackendError:
                    raise
                except Exception as error:
                    if reader.done:
                        break
                    raise errors.translate(
                        error, self.config, in_stream=True, detail=reader.error
                    ) from error
                text = thoughts.feed(said)
                if thoughts.retracted():
                    clock.has_text = False
                    yield Retraction()
                if text:
                    clock.has_text = True
                    yield Text(text)
        finally:
            await texts.aclose()
            await stream.aclose()
        rest = thoughts.finish()
        if thoughts.retracted():
            clock.has_text = False
            yield Retraction()
        if rest:
            clock.has_text = True
            yield Text(rest)
        if thoughts.is_orphan:
            _begin_with_thoughts.add((self.connection.alias, self.config.model_name))
        self._check_end(clock.has_text, reader.finish_reason, reader)
        yield Usage.reported(reader.prompt_tokens, reader.completion_tokens, reader.load_seconds)

    def _check_end(self, has_text: bool, finish_reason: str, reader: StreamReader | None) -> None:
        """Raise an error for failures that litellm reports as a success."""
        if reader is not None and reader.is_reading:
            if reader.error:
                raise errors.failed_in_stream(reader.error)
            if not reader.messages:
                raise errors.not_a_model_server(self.config)
        if reader is not None and not reader.done:
            raise errors.cut()
        reason = finish_reason.lower()
        # A model that used up its tokens by thinking has not been cut off in its answer.
        if reason not in errors.NORMAL_ENDS and (has_text or reason not in errors.LENGTH_ENDS):
            raise errors.unusual_end(reason)
        if not has_text:
            raise errors.empty_answer()

    def _may_begin_with_thoughts(self) -> bool:
        """Whether to hold text until it is known to be no thought."""
        name = self.config.model_name
        return is_named_as_thinking(name) or (self.connection.alias, name) in _begin_with_thoughts

    async def acomplete(self, messages: Sequence[Message]) -> Completion:
        clock = DeadlineTimer(self.config)
        litellm = await clock.wait(aimport_litellm())
        response = await self._open(litellm, messages, clock, stream=False)
        choices = getattr(response, "choices", None)
        if not choices:
            raise errors.not_a_model_server(self.config)
        text = strip_thinking(choices[0].message.content or "")
        self._check_end(bool(text), choices[0].finish_reason or "", None)
        return Completion(text, _usage(response) or Usage())

    def complete(self, messages: Sequence[Message]) -> Completion:
        return run(self.acomplete(messages))

    def short_reply_backend(self, *, max_tokens: int, seconds: float) -> LiteLLMChatBackend:
        # Other parameters stay: with another context size, Ollama would reload the model, and some
        # models reject a temperature.
        parameters = {**self.config.parameters, "max_tokens": max_tokens}
        parameters.pop("stop", None)
        if self.connection.is_ollama:
            # Without it, models do not think, which would use up the tokens.
            parameters.pop("reasoning", None)
        deadlines = Deadlines(seconds, seconds, seconds)
        return type(self)(
            replace(self.config, parameters=parameters, deadlines=deadlines, attempts=1)
        )

    def with_schema(self, schema: Mapping[str, Any]) -> LiteLLMChatBackend:
        parameters = dict(self.config.parameters)
        for name in ("stop", "reasoning"):
            parameters.pop(name, None)
        # Some hosted models reject a temperature.
        if self.connection.is_ollama or "temperature" in parameters:
            parameters["temperature"] = 0
        parameters["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "reply", "strict": True, "schema": dict(schema)},
        }
        return type(self)(replace(self.config, parameters=parameters))

    def count_tokens(self, text: str) -> int:
        """Count by OpenAI's tokenizer. Counts of other models differ by some percent.

        Until litellm is imported, which takes seconds, this is an estimate on the safe side.
        """
        if (litellm := imported_litellm()) is None:
            warm_up()
            return len(text.encode(errors="replace")) // 3 + 1
        return litellm.token_counter(model="", text=text)

    async def _open(
        self, litellm: Any, messages: Sequence[Message], clock: DeadlineTimer, *, stream: bool
    ) -> Any:
        """Send the question, repeatedly if the server is busy, but never after the first token."""
        api_base = await address_of(self.connection, clock)
        arguments = self._arguments(litellm, messages, api_base, stream=stream)
        provider = "ollama_chat" if self.connection.is_ollama else self.connection.provider
        arguments |= client_arguments(provider, api_base, arguments.get("api_key"))
        return await call_with_retries(
            lambda: clock.wait(litellm.acompletion(**arguments)),
            clock,
            lambda error: errors.translate(error, self.config),
        )

    def _arguments(
        self,
        litellm: Any,
        messages: Sequence[Message],
        api_base: str | None,
        *,
        stream: bool,
    ) -> dict[str, Any]:
        connection, config = self.connection, self.config
        if is_cloud_model(connection.provider, config.model_name):
            raise errors.cloud_model(config)
        provider = "ollama_chat" if connection.is_ollama else connection.provider
        model = f"{provider}/{config.model_name}"
        if provider != "openai" and (
            word := next((w for w in _ELSEWHERE if w in config.model_name and w != provider), "")
        ):
            raise errors.name_leads_elsewhere(config.model_name, word)
        if connection.is_ollama:
            _register(litellm, model)
        arguments: dict[str, Any] = {
            "model": model,
            "messages": list(messages),
            "stream": stream,
            "api_base": api_base,
            "api_key": key_for(connection, api_base),
            # Our deadlines pass first. This one ends abandoned reads.
            "timeout": config.deadlines.total + 5,
            "max_retries": 0,
            **_provider_parameters(provider, config.parameters),
        }
        if stream:
            arguments["stream_options"] = {"include_usage": True}
        return {name: value for name, value in arguments.items() if value is not None}


def _provider_parameters(provider: str, parameters: Any) -> dict[str, Any]:
    given = dict(parameters)
    reasoning = given.pop("reasoning", None)
    if provider == "ollama_chat":
        # Ollama's thinking models think by default, and the visitor would have to wait. With
        # "think", some families ignore a schema (ollama#15260).
        if "response_format" not in given:
            given["think"] = False if reasoning in (None, "off") else reasoning
        if "keep_alive" in given:
            given["keep_alive"] = _keep_alive(given["keep_alive"])
    elif reasoning is not None:
        given["reasoning_effort"] = "none" if reasoning == "off" else reasoning
        if provider == "openai":
            # litellm refuses it for models that it does not know, such as fine-tunes.
            given["allowed_openai_params"] = ["reasoning_effort"]
    return given


def _keep_alive(value: Any) -> Any:
    """Convert plain seconds to a number, because Ollama requires a unit in texts."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def _register(litellm: Any, model: str) -> None:
    """Register a model of Ollama, because litellm asks ``localhost`` about unknown models."""
    if model not in _registered:
        litellm.register_model(
            {
                model: {
                    "litellm_provider": "ollama_chat",
                    "mode": "chat",
                    "input_cost_per_token": 0.0,
                    "output_cost_per_token": 0.0,
                }
            }
        )
        _registered.add(model)


def _usage(response: Any) -> Usage | None:
    usage = getattr(response, "usage", None)
    if usage is None or usage.prompt_tokens is None:
        return None
    return Usage.reported(usage.prompt_tokens, usage.completion_tokens)
