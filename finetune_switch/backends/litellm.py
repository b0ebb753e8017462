"""Any model that litellm can reach. What litellm gets wrong about streams is put right here.

Deadlines, retries and the end of a stream are ours: litellm's own timeout is a gap between reads
(its default is 6,000 s), it reports a cut stream as a success, and leaving its stream without
closing it leaves the model generating.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_exponential, wait_random

from ..conf import Connection
from ..exceptions import BackendError, DeadlineExceeded
from ..parameters import is_cloud_model
from ..prompts import Message
from . import errors
from .background import run
from .base import BackendConfig, BaseChatBackend, Chunk, Completion, Text, Usage
from .taps import StreamTap, open_tap
from .thinking import ThinkingFilter, strip_thinking

logger = logging.getLogger("finetune_switch.backends")
T = TypeVar("T")

ATTEMPTS = 3
NO_KEY = "none"
_registered: set[str] = set()
# litellm as we use it: quiet. Somebody else may have imported it before, as it comes.
_quieted: Any = None
_import_lock = threading.Lock()


def import_litellm() -> Any:
    """litellm, imported when the first question is asked: it takes 1.4 s and 160 MB.

    With its local price map, since the default one is fetched over the network at import.
    """
    global _quieted
    if _quieted is not None:
        return _quieted
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    with _import_lock:
        litellm: Any = importlib.import_module("litellm")
        # It prints advice to standard output at each failure, and logs the server's words as they
        # came, keys included. What we log of a failure is enough, and without them.
        litellm.suppress_debug_info = True
        logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)
        _quieted = litellm
        return litellm


async def aimport_litellm() -> Any:
    """The same from an event loop, which it does not hold up."""
    if _quieted is not None:
        return _quieted
    return await asyncio.to_thread(import_litellm)


class Clock:
    """The deadlines of one question, in seconds since it was asked."""

    def __init__(self, config: BackendConfig) -> None:
        self.deadlines = config.deadlines
        self.started = time.monotonic()
        self.has_text = False

    def left(self) -> float:
        """Seconds until the next of the deadlines."""
        elapsed = time.monotonic() - self.started
        total = self.deadlines.total - elapsed
        if self.has_text:
            return min(self.deadlines.idle, total)
        return min(self.deadlines.first_token - elapsed, total)

    async def wait(self, awaitable: Awaitable[T]) -> T:
        """The awaitable's result, or :class:`DeadlineExceeded` once its time is up."""
        try:
            async with asyncio.timeout(max(self.left(), 0)):
                return await awaitable
        except TimeoutError as error:
            raise self.exceeded() from error

    def exceeded(self) -> DeadlineExceeded:
        if time.monotonic() - self.started >= self.deadlines.total:
            return errors.total_deadline(self.deadlines.total)
        if self.has_text:
            return errors.idle_deadline(self.deadlines.idle)
        return errors.first_token_deadline(self.deadlines.first_token)


class LiteLLMChatBackend(BaseChatBackend):
    """A hosted model or one of the team's own, through litellm."""

    @property
    def connection(self) -> Connection:
        assert self.config.connection is not None
        return self.config.connection

    async def astream(self, messages: Sequence[Message]) -> AsyncGenerator[Chunk, None]:
        litellm = await aimport_litellm()
        clock = Clock(self.config)
        stream = await self._open(litellm, messages, clock, stream=True)
        tap = open_tap(stream, self.connection.provider)
        thoughts = ThinkingFilter()
        usage, finish_reason = Usage(), ""
        try:
            chunks = aiter(stream)
            while True:
                try:
                    chunk = await clock.wait(anext(chunks))
                except StopAsyncIteration:
                    break
                except BackendError:
                    raise
                except Exception as error:
                    if tap.done:
                        break
                    raise errors.translate(
                        error, self.config, in_stream=True, detail=tap.error
                    ) from error
                usage = _usage(chunk) or usage
                for choice in chunk.choices or ():
                    finish_reason = choice.finish_reason or finish_reason
                    text = thoughts.feed(choice.delta.content or "")
                    if text:
                        clock.has_text = True
                        yield Text(text)
        finally:
            await stream.aclose()
        if rest := thoughts.finish():
            clock.has_text = True
            yield Text(rest)
        self._check_end(clock.has_text, finish_reason, tap)
        yield Usage(
            tap.prompt_tokens or usage.prompt_tokens,
            tap.completion_tokens or usage.completion_tokens,
            tap.load_seconds,
        )

    def _check_end(self, has_text: bool, finish_reason: str, tap: StreamTap | None) -> None:
        """Refuse what litellm calls a success and is none."""
        if tap is not None and tap.is_reading:
            if tap.error:
                raise errors.failed_in_stream(tap.error)
            if not tap.messages:
                raise errors.not_a_model_server(self.config)
            if not tap.done:
                raise errors.cut()
        if finish_reason == "content_filter":
            raise errors.content_filter()
        if not has_text:
            raise errors.empty_answer()

    async def acomplete(self, messages: Sequence[Message]) -> Completion:
        litellm = await aimport_litellm()
        clock = Clock(self.config)
        response = await self._open(litellm, messages, clock, stream=False)
        choices = getattr(response, "choices", None)
        if not choices:
            raise errors.not_a_model_server(self.config)
        text = strip_thinking(choices[0].message.content or "")
        self._check_end(bool(text), choices[0].finish_reason or "", None)
        return Completion(text, _usage(response) or Usage())

    def complete(self, messages: Sequence[Message]) -> Completion:
        return run(self.acomplete(messages))

    def count_tokens(self, text: str) -> int:
        """By OpenAI's tokenizer; other models' counts differ by some percent either way."""
        return import_litellm().token_counter(model="", text=text)

    async def _open(
        self, litellm: Any, messages: Sequence[Message], clock: Clock, *, stream: bool
    ) -> Any:
        """Send the question, again where the server asks for it, but never after a first token."""
        api_base = await self._api_base(clock)
        arguments = self._arguments(litellm, messages, api_base, stream=stream)
        refused: BackendError | None = None

        async def attempt() -> Any:
            nonlocal refused
            try:
                return await clock.wait(litellm.acompletion(**arguments))
            except DeadlineExceeded as error:
                # What the server said to the try before explains more than that time is up now.
                raise refused or error from error
            except Exception as error:
                refused = errors.translate(error, self.config)
                raise refused from error

        async for trial in AsyncRetrying(
            stop=lambda state: stop_after_attempt(ATTEMPTS)(state) or _pause(state) >= clock.left(),
            wait=_pause,
            retry=retry_if_exception(errors.is_worth_another_try),
            reraise=True,
        ):
            with trial:
                return await attempt()

    async def _api_base(self, clock: Clock) -> str | None:
        """The address. A callable or a file may take its time, which other questions have not."""
        connection = self.connection
        if connection.api_base_file is None and not callable(connection.api_base):
            return connection.get_api_base()
        return await clock.wait(asyncio.to_thread(connection.get_api_base))

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
        if connection.is_ollama:
            _register(litellm, model)
        arguments: dict[str, Any] = {
            "model": model,
            "messages": list(messages),
            "stream": stream,
            "api_base": api_base,
            "api_key": _key(connection, api_base),
            # Ours come first; this one only ends a read that nobody waits for any more.
            "timeout": config.deadlines.total + 5,
            "max_retries": 0,
            **_provider_parameters(provider, config.parameters),
        }
        if stream:
            arguments["stream_options"] = {"include_usage": True}
        return {name: value for name, value in arguments.items() if value is not None}


def _key(connection: Connection, api_base: str | None) -> str | None:
    """The connection's own key. Without one litellm sends what the environment holds, anywhere."""
    if connection.api_key or api_base is None:
        return connection.api_key
    if connection.provider == "openai" or (connection.is_ollama and "OLLAMA_API_KEY" in os.environ):
        return NO_KEY
    return None


def _provider_parameters(provider: str, parameters: Any) -> dict[str, Any]:
    given = dict(parameters)
    reasoning = given.pop("reasoning", None)
    if provider == "ollama_chat":
        # Models that can think do so unless told otherwise, and a visitor waits for it.
        given["think"] = False if reasoning in (None, "off") else reasoning
        if "keep_alive" in given:
            given["keep_alive"] = _keep_alive(given["keep_alive"])
    elif reasoning is not None:
        given["reasoning_effort"] = "none" if reasoning == "off" else reasoning
    return given


def _keep_alive(value: Any) -> Any:
    """A duration as text, but plain seconds as a number: the text "-1" has no unit for Ollama."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def _register(litellm: Any, model: str) -> None:
    """Tell litellm about a model of Ollama, or it asks ``localhost`` about it at every call."""
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
    return Usage(usage.prompt_tokens, usage.completion_tokens)


_backoff: Callable[[RetryCallState], float] = wait_exponential(0.3, max=4) + wait_random(0, 1)


def _pause(state: RetryCallState) -> float:
    """Seconds before the next try: what the server asked for, else a growing pause."""
    error = state.outcome.exception() if state.outcome else None
    if not isinstance(error, BackendError):
        return 0.0
    if error.retry_after is None:
        # Kept: the pause that is weighed against the deadline has to be the one that is made.
        error.retry_after = _backoff(state)
    return error.retry_after
