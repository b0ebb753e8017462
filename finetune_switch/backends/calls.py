"""Calls of a model server through litellm: its import, deadlines, and how often it is asked.

What chat backends and embedders share. litellm's own deadlines and retries are not used.
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
        import litellm

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


class DeadlineTimer:
    """The deadlines of one question, in seconds since it was asked."""

    def __init__(self, config: BackendConfig) -> None:
        self.deadlines = config.deadlines
        self.attempts = config.attempts
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


async def call_with_retries(
    call: Callable[[], Awaitable[T]],
    clock: DeadlineTimer,
    translate: Callable[[Exception], BackendError],
) -> T:
    """What a call gives: asked again where the server wants that, as long as there is time.

    ``translate`` makes an error of ours of what litellm raises.
    """
    refused: BackendError | None = None

    async def attempt() -> T:
        nonlocal refused
        try:
            return await call()
        except DeadlineExceeded as error:
            # What the server said to the try before explains more than that time is up now.
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
    """The address. A callable may take its time, and must not hold up other questions."""
    if not callable(connection.api_base):
        return connection.get_api_base()
    return await clock.wait(asyncio.to_thread(connection.get_api_base))


def key_for(connection: Connection, api_base: str | None) -> str | None:
    """The connection's own key. Without one litellm sends what the environment holds, anywhere."""
    if connection.api_key or api_base is None:
        return connection.api_key
    if connection.provider == "openai" or (connection.is_ollama and "OLLAMA_API_KEY" in os.environ):
        return NO_KEY
    return None


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
