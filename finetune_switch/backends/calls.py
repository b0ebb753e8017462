"""Import of litellm, deadlines and retries, for chat backends and embedders.

litellm's own deadlines and retries are not used.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_exponential, wait_random

from finetune_switch.connections import Connection
from finetune_switch.exceptions import BackendError, DeadlineExceeded

from . import errors
from .base import BackendConfig

T = TypeVar("T")

NO_KEY = "none"
# litellm once its output is disabled. Other code may have imported it before.
_quieted: Any = None
_import_lock = threading.Lock()


def import_litellm() -> Any:
    """Import litellm on first use, since it takes 1.4 s and 160 MB.

    Its local price map is used, because the default one is fetched from the network at import.
    """
    global _quieted
    if _quieted is not None:
        return _quieted
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    with _import_lock:
        import litellm

        # litellm prints advice at each failure, and logs server messages with the keys in them.
        # ``errors`` logs failures without keys.
        litellm.suppress_debug_info = True
        # For some names of models, litellm would fetch a tokenizer from a hub at each question.
        litellm.disable_hf_tokenizer_download = True
        logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)
        _quieted = litellm
        return litellm


async def aimport_litellm() -> Any:
    """Like :func:`import_litellm`, without blocking the event loop."""
    if _quieted is not None:
        return _quieted
    return await asyncio.to_thread(import_litellm)


def imported_litellm() -> Any | None:
    """litellm, if this process has imported it already."""
    return _quieted


def warm_up() -> None:
    """Import litellm on a thread, before the first question needs it."""
    if _quieted is None:
        threading.Thread(target=import_litellm, name="finetune-switch-warm-up", daemon=True).start()


class DeadlineTimer:
    """The deadlines of one question, counted from its start."""

    def __init__(self, config: BackendConfig) -> None:
        self.deadlines = config.deadlines
        self.attempts = config.attempts
        self.started = time.monotonic()
        self.has_text = False

    def left(self) -> float:
        """Seconds until the next deadline."""
        elapsed = time.monotonic() - self.started
        total = self.deadlines.total - elapsed
        if self.has_text:
            return min(self.deadlines.idle, total)
        return min(self.deadlines.first_token - elapsed, total)

    async def wait(self, awaitable: Awaitable[T]) -> T:
        """The awaitable's result. Raises :class:`DeadlineExceeded`."""
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


async def call_with_retries(
    call: Callable[[], Awaitable[T]],
    clock: DeadlineTimer,
    translate: Callable[[Exception], BackendError],
) -> T:
    """The result of the call, repeated if the server is busy and there is time left.

    ``translate`` converts exceptions of litellm.
    """
    refused: BackendError | None = None

    async def attempt() -> T:
        nonlocal refused
        try:
            return await call()
        except DeadlineExceeded as error:
            # The error of the previous attempt explains more than the deadline.
            raise refused or error from error
        except BackendError:
            raise
        except Exception as error:
            refused = translate(error)
            raise refused from error

    retrying = AsyncRetrying(
        stop=lambda state: (
            stop_after_attempt(clock.attempts)(state) or _pause(state) >= clock.left()
        ),
        wait=_pause,
        retry=retry_if_exception(errors.is_worth_another_try),
        reraise=True,
    )
    return await retrying(attempt)


async def address_of(connection: Connection, clock: DeadlineTimer) -> str | None:
    """The address. A callable runs on a thread, because it may be slow."""
    if not callable(connection.api_base):
        return connection.get_api_base()
    return await clock.wait(asyncio.to_thread(connection.get_api_base))


def key_for(connection: Connection, api_base: str | None) -> str | None:
    """The connection's key, or a placeholder.

    Without a key, litellm would send the one of the environment to any address.
    """
    if connection.api_key or api_base is None:
        return connection.api_key
    if connection.provider == "openai" or (connection.is_ollama and "OLLAMA_API_KEY" in os.environ):
        return NO_KEY
    return None


_backoff: Callable[[RetryCallState], float] = wait_exponential(0.3, max=4) + wait_random(0, 1)


def _pause(state: RetryCallState) -> float:
    """Seconds before the next attempt: as demanded by the server, or growing."""
    error = state.outcome.exception() if state.outcome else None
    if not isinstance(error, BackendError):
        return 0.0
    if error.retry_after is None:
        # Stored, because it is random and the deadline has to be compared with the same pause.
        error.retry_after = _backoff(state)
    return error.retry_after
