"""Have a model rewrite a follow-up question, while the visitor reads the first sources."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from contextlib import aclosing, closing

from finetune_switch.backends.base import BaseChatBackend, Chunk, Retraction, Silence, Text, Usage
from finetune_switch.exceptions import BackendError
from finetune_switch.messages import Turn

from .followups import (
    MAX_REWRITE_LENGTH,
    MAX_REWRITE_TOKENS,
    REWRITE_SECONDS,
    rewrite_messages,
    taken_rewrite,
)

logger = logging.getLogger("finetune_switch.answering")


class Rewriting:
    """The rewriting of a follow-up as a standalone question by a model.

    Failures are logged, and leave :attr:`standalone` empty. ``usage`` is as reported by the server.
    """

    def __init__(
        self, backend: BaseChatBackend, question: str, turns: Sequence[Turn], locale: str
    ) -> None:
        self.usage = Usage()
        self._backend = backend
        self._question = question
        self._turns = turns
        self._locale = locale
        self._messages = rewrite_messages(question, turns)
        self._reply = ""

    @classmethod
    def by(
        cls, backend: BaseChatBackend, question: str, turns: Sequence[Turn], locale: str
    ) -> Rewriting | None:
        """A rewriting by this backend; ``None`` without a model, or for a long question."""
        if len(question) > MAX_REWRITE_LENGTH:
            return None
        short_reply_backend = backend.short_reply_backend(
            max_tokens=MAX_REWRITE_TOKENS, seconds=REWRITE_SECONDS
        )
        return (
            cls(short_reply_backend, question, turns, locale)
            if short_reply_backend is not None
            else None
        )

    @property
    def standalone(self) -> str:
        """The standalone question; empty if the reply is unusable."""
        return taken_rewrite(self._reply, self._question, self._turns, self._locale)

    def stream(self, heartbeat: float | None) -> Generator[Silence, None, None]:
        """Ask the model, and yield its silences. Closing the generator stops the model."""
        try:
            with closing(self._backend.stream(self._messages, heartbeat=heartbeat)) as chunks:
                for chunk in chunks:
                    if isinstance(chunk, Silence):
                        yield chunk
                    elif self._is_too_long(chunk):
                        return
        except Exception as error:
            self._give_up(error)

    async def aread(self) -> None:
        """Like :meth:`stream`, for an event loop and without silences."""
        try:
            async with aclosing(self._backend.astream(self._messages)) as chunks:
                async for chunk in chunks:
                    if self._is_too_long(chunk):
                        return
        except Exception as error:
            self._give_up(error)

    def _is_too_long(self, chunk: Chunk) -> bool:
        """Add the chunk; whether the reply is too long to be usable."""
        if isinstance(chunk, Usage):
            self.usage += chunk
        elif isinstance(chunk, Text):
            self._reply += chunk.text
        elif isinstance(chunk, Retraction):
            self._reply = ""
        return len(self._reply) > 2 * MAX_REWRITE_LENGTH

    def _give_up(self, error: Exception) -> None:
        self._reply = ""
        if isinstance(error, BackendError):
            logger.info("A follow-up was not rewritten: %s (%s)", error, error.code)
        else:
            logger.error("A follow-up could not be rewritten.", exc_info=error)
