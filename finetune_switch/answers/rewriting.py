"""The model's part in a follow-up question, while the visitor looks at what a rule has found."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from contextlib import aclosing, closing

from finetune_switch.backends.base import BaseChatBackend, Chunk, Silence, Text, Usage
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
    """A follow-up that a model makes into a question of its own. It never fails: it helps or not.

    ``usage`` is what it took, as far as the server told.
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
        """By this backend's model, where it has one and the question is none that fills a page."""
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
        """The question that it was made into; nothing where the model was of no help."""
        return taken_rewrite(self._reply, self._question, self._turns, self._locale)

    def stream(self, heartbeat: float | None) -> Generator[Silence, None, None]:
        """Ask the model; what comes out is its silences. Leaving it stops the model."""
        try:
            with closing(self._backend.stream(self._messages, heartbeat=heartbeat)) as chunks:
                for chunk in chunks:
                    if isinstance(chunk, Silence):
                        yield chunk
                    elif self._has_enough(chunk):
                        return
        except Exception as error:
            self._give_up(error)

    async def aread(self) -> None:
        """The same on an event loop."""
        try:
            async with aclosing(self._backend.astream(self._messages)) as chunks:
                async for chunk in chunks:
                    if self._has_enough(chunk):
                        return
        except Exception as error:
            self._give_up(error)

    def _has_enough(self, chunk: Chunk) -> bool:
        """Whether it has gone on for so long that nothing will come of it."""
        if isinstance(chunk, Usage):
            self.usage = chunk
        elif isinstance(chunk, Text):
            self._reply += chunk.text
        return len(self._reply) > 2 * MAX_REWRITE_LENGTH

    def _give_up(self, error: Exception) -> None:
        self._reply = ""
        if isinstance(error, BackendError):
            logger.info("A follow-up was not rewritten: %s (%s)", error, error.code)
        else:
            logger.error("A follow-up could not be rewritten.", exc_info=error)
