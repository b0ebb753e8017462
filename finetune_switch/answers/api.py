"""Ask a question and read its answer as events.

:func:`answer` and :func:`aanswer` are lazy: the backend is asked when the first event is read. It
is asked once; later iterations replay the events.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import aclosing, closing, suppress
from typing import Any, TypeVar

from django.http import HttpRequest
from django.utils.translation import gettext as _
from wagtail.models import Site

from finetune_switch.access import Asker
from finetune_switch.backends.base import Silence
from finetune_switch.exceptions import BackendError
from finetune_switch.messages import Message, Turn
from finetune_switch.models import ChatBackend, Origin
from finetune_switch.passages import Passage

from .events import DoneEvent, Event, FailedEvent, SourcesEvent, TextEvent, WaitingEvent
from .open_exchange import OpenExchange
from .opening import open_exchange
from .question import AskedQuestion
from .threads import in_database_thread

T = TypeVar("T")

__all__ = ["Answer", "AsyncAnswer", "aanswer", "answer"]


def answer(
    question: str,
    *,
    site: Site | None = None,
    request: HttpRequest | None = None,
    asker: Asker | None = None,
    locale: str = "",
    backend: ChatBackend | None = None,
    indexes: Sequence[str] | None = None,
    passages: Sequence[Passage] | None = None,
    retrieval: bool = True,
    messages: Sequence[Message] | None = None,
    schema: Mapping[str, Any] | None = None,
    turns: Sequence[Turn] = (),
    conversation: uuid.UUID | None = None,
    fact_lock: bool = False,
    prepared: bool = False,
    origin: Origin = Origin.SITE,
) -> Answer:
    """The answer to a question, as a lazy, replayable stream of events.

    ``site`` defaults to the site of ``request`` or of the current request, then to the default
    site; ``asker`` to an anonymous visitor; ``locale`` to the active language; ``backend`` and
    ``indexes`` to those of the site's switch.

    ``passages`` replace retrieved ones, and ``messages`` replace the prompt. ``schema`` is the JSON
    schema of the reply, which servers may ignore; :func:`.structured.ask_for` checks it.
    ``retrieval=False`` asks the model without passages. ``turns`` are the earlier turns of the
    conversation, oldest first; if the rewritten question finds other passages, a second
    ``SourcesEvent`` replaces the first. ``conversation`` is the recorded id that the questions of a
    conversation share. ``fact_lock`` withholds sentences with facts that are in no passage.
    ``prepared`` gives a prepared answer if one matches. The rules for visitors apply to the
    ``origin`` ``SITE``.

    ``Answer(AskedQuestion(…))`` accepts further options.

    Raises :class:`~finetune_switch.exceptions.InvalidQuestion` at once if the question is empty or
    too long. Later failures are events.
    """
    return Answer(
        AskedQuestion(
            question,
            site=site,
            request=request,
            asker=asker or Asker.anonymous(),
            locale=locale,
            backend=backend,
            indexes=indexes,
            passages=passages,
            retrieval=retrieval,
            messages=messages,
            schema=schema,
            turns=turns,
            conversation=conversation,
            fact_lock=fact_lock,
            prepared=prepared,
            origin=origin,
        )
    )


def aanswer(
    question: str,
    *,
    site: Site | None = None,
    request: HttpRequest | None = None,
    asker: Asker | None = None,
    locale: str = "",
    backend: ChatBackend | None = None,
    indexes: Sequence[str] | None = None,
    passages: Sequence[Passage] | None = None,
    retrieval: bool = True,
    messages: Sequence[Message] | None = None,
    schema: Mapping[str, Any] | None = None,
    turns: Sequence[Turn] = (),
    conversation: uuid.UUID | None = None,
    fact_lock: bool = False,
    prepared: bool = False,
    origin: Origin = Origin.SITE,
) -> AsyncAnswer:
    """Like :func:`answer`, for ``async for``."""
    return AsyncAnswer(
        AskedQuestion(
            question,
            site=site,
            request=request,
            asker=asker or Asker.anonymous(),
            locale=locale,
            backend=backend,
            indexes=indexes,
            passages=passages,
            retrieval=retrieval,
            messages=messages,
            schema=schema,
            turns=turns,
            conversation=conversation,
            fact_lock=fact_lock,
            prepared=prepared,
            origin=origin,
        )
    )


class _BaseAnswer:
    def __init__(self, question: AskedQuestion) -> None:
        self.question = question
        self._events: list[Event] = []
        self._sources: SourcesEvent | None = None
        self._started = False
        self._asked: OpenExchange | None = None

    @property
    def _last(self) -> Event | None:
        return self._events[-1] if self._events else None

    @property
    def events(self) -> list[Event]:
        """The events so far."""
        return list(self._events)

    @property
    def text_so_far(self) -> str:
        text = ""
        for event in self._events:
            if isinstance(event, TextEvent):
                text = event.text if event.replaces else text + event.text
        return text

    @property
    def passages(self) -> list[Passage]:
        """The passages given to the backend; empty before the first event."""
        return self._sources.passages if self._sources else []

    @property
    def left_out(self) -> int:
        """How many passages did not fit the context window; 0 before the first event."""
        return self._sources.left_out if self._sources else 0

    @property
    def done(self) -> DoneEvent | None:
        return self._last if isinstance(self._last, DoneEvent) else None

    @property
    def failure(self) -> FailedEvent | None:
        return self._last if isinstance(self._last, FailedEvent) else None

    @property
    def exchange_id(self) -> uuid.UUID | None:
        return self._asked.exchange.pk if self._asked else None

    def _keep(self, event: Event) -> Event:
        if isinstance(event, SourcesEvent):
            self._sources = event
        if not isinstance(event, WaitingEvent):
            self._events.append(event)
        return event

    def raise_failure(self) -> None:
        if (failure := self.failure) is not None:
            raise BackendError(failure.message, code=failure.code, remedy=failure.remedy)

    def _whole_text(self) -> str:
        self.raise_failure()
        if self.done is None:
            # The iteration was stopped early, so the text is incomplete.
            with self.question.in_its_language():
                raise BackendError(_("This answer was broken off. Ask again."), code="interrupted")
        return self.text_so_far


class Answer(_BaseAnswer):
    """An answer for synchronous code: iterate over it, or read its ``text``."""

    def __iter__(self) -> Generator[Event, None, None]:
        return self.iterate()

    def iterate(
        self,
        *,
        heartbeat: float | None = None,
        before_waiting: Callable[[], None] = lambda: None,
    ) -> Generator[Event, None, None]:
        """The events as they arrive.

        With ``heartbeat``, a ``WaitingEvent`` follows that many seconds without an event.
        ``before_waiting`` is called after database work, before waiting for the model.
        """
        if self._started:
            yield from self.events
            return
        self._started = True
        with closing(self._ask(heartbeat, before_waiting)) as events:
            for event in events:
                yield self._keep(event)

    def _ask(
        self, heartbeat: float | None, before_waiting: Callable[[], None]
    ) -> Generator[Event, None, None]:
        asked: OpenExchange | Exception
        try:
            asked = self._asked = open_exchange(self.question)
        except Exception as error:
            asked = error
        before_waiting()
        if isinstance(asked, Exception):
            yield self.question.could_not_open(asked)
            return
        try:
            yield from asked.opening_events()
            if asked.rewriting is not None:
                with closing(asked.rewrite(heartbeat)) as silences:
                    yield from (WaitingEvent() for _silence in silences)
                events = asked.search_again()
                before_waiting()
                yield from events
            if asked.ending:
                return
            with closing(asked.stream(heartbeat)) as chunks:
                for chunk in chunks:
                    if isinstance(chunk, Silence):
                        yield WaitingEvent()
                    elif (event := asked.absorb(chunk)) is not None:
                        yield event
            yield from asked.complete()
        except BackendError as error:
            yield asked.fail(error)
        except Exception as error:
            yield asked.crash(error)
        except BaseException:
            # The reader left (GeneratorExit) or pressed Ctrl-C.
            if not asked.ending:
                asked.cancel()
            raise
        finally:
            # After the last event, which the reader gets whatever becomes of the record.
            asked.record()

    @property
    def text(self) -> str:
        """The complete text. Raises :class:`~finetune_switch.exceptions.BackendError`."""
        for _event in self:
            pass
        return self._whole_text()


class AsyncAnswer(_BaseAnswer):
    """An answer for asynchronous code. Database work runs on threads of its own."""

    def __aiter__(self) -> AsyncGenerator[Event, None]:
        return self.iterate()

    async def iterate(self) -> AsyncGenerator[Event, None]:
        """The events as they arrive."""
        if self._started:
            for event in self.events:
                yield event
            return
        self._started = True
        async with aclosing(self._ask()) as events:
            async for event in events:
                yield self._keep(event)

    async def _ask(self) -> AsyncGenerator[Event, None]:
        asked: OpenExchange | Exception
        try:
            asked = self._asked = await self._open()
        except Exception as error:
            asked = error
        if isinstance(asked, Exception):
            yield self.question.could_not_open(asked)
            return
        try:
            for event in asked.opening_events():
                yield event
            if asked.rewriting is not None:
                await asked.arewrite()
                for event in await _finish_in_database_thread(asked.search_again):
                    yield event
            if asked.ending:
                return
            async with aclosing(asked.astream()) as chunks:
                async for chunk in chunks:
                    if (seen := asked.absorb(chunk)) is not None:
                        yield seen
            # It masks and checks the whole text, which takes too long for the event loop.
            for last in await asyncio.to_thread(asked.complete):
                yield last
        except BackendError as error:
            yield asked.fail(error)
        except Exception as error:
            yield asked.crash(error)
        except BaseException:
            # The reader left: the generator was closed, or its task was cancelled.
            if not asked.ending:
                asked.cancel()
            raise
        finally:
            # After the last event, which the reader gets whatever becomes of the record.
            if asked.has_unrecorded_ending:
                await _finish_in_database_thread(asked.record)

    async def _open(self) -> OpenExchange:
        opening = asyncio.ensure_future(in_database_thread(open_exchange, self.question))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            # The reader left, but the thread still opens the exchange, which has to be closed.
            with suppress(Exception):
                if not (asked := await opening).ending:
                    asked.cancel()
                    await in_database_thread(asked.record)
            raise

    async def text(self) -> str:
        """The complete text. Raises :class:`~finetune_switch.exceptions.BackendError`."""
        async for _event in self:
            pass
        return self._whole_text()


async def _finish_in_database_thread(function: Callable[[], T]) -> T:
    """Run the function on a database thread, and wait for its end even if cancelled."""
    running = asyncio.ensure_future(in_database_thread(function))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        with suppress(Exception):
            await running
        raise
