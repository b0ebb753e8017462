"""A question while it is answered, and the row that records it."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import DatabaseError, IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import override

from finetune_switch.backends.base import BaseChatBackend, Chunk, Retraction, Silence, Text, Usage
from finetune_switch.exceptions import BackendError
from finetune_switch.limits.budgets import add_cost
from finetune_switch.models import ChatBackend, Exchange, Origin, Outcome, PreparedAnswer, Switch
from finetune_switch.passages import Passage, Source
from finetune_switch.prepared.matching import PreparedReply
from finetune_switch.text.characters import without_harmful
from finetune_switch.text.citations import CitationFilter, parse_citations

from .costs import cost_at_least, cost_of
from .events import DoneEvent, Event, FailedEvent, SourcesEvent, TextEvent
from .followups import REWRITE_SECONDS
from .prompts import Prompt, is_dont_know
from .recording import forget_broken_connections, record_ending

if TYPE_CHECKING:
    from finetune_switch.text.fact_lock import FactLock

    from .question import AskedQuestion
    from .rewriting import Rewriting

logger = logging.getLogger("finetune_switch.answers")

# The time after the backend's deadline before an open exchange counts as interrupted.
GRACE = timedelta(seconds=10)
# The alias and the kind in ``backend_state`` of prepared answers.
PREPARED = "prepared"


SearchAgain = Callable[["OpenExchange", str], "PreparedReply | Prompt | None"]
"""Searches for the standalone question of a follow-up."""


class OpenExchange:
    """A question from its opening to its end, with the exchange that records it."""

    def __init__(
        self,
        question: AskedQuestion,
        row: ChatBackend,
        switch: Switch,
        *,
        search_again: SearchAgain | None = None,
    ) -> None:
        self.question = question
        self._search_again = search_again
        self.row = row
        self.switch = switch
        self.prompt = Prompt([], [], 0)
        self.backend: BaseChatBackend | None = None
        self.rewriting: Rewriting | None = None
        """Set if a model has to rewrite the follow-up first."""
        self.question_vectors: dict[Any, Any] = {}
        """Shared by the searches for the question and for the rewritten question."""
        self.nothing_found = switch.nothing_found_text(question.locale)
        self.ending: list[Event] = []
        """The last events, if the answer ends without asking a backend."""
        self.exchange = Exchange(
            site=switch.site_or_none,
            locale=question.locale,
            origin=question.origin,
            user_id=question.user_id,
            question=question.recorded_question,
            conversation=question.conversation,
            visitor=question.visitor,
            retrieval=question.retrieval and question.messages is None,
            backend=row if row.pk else None,
            backend_state=row.snapshot() | question.instructions_state,
            deadline_at=timezone.now() + timedelta(seconds=row.deadlines.total) + GRACE,
            **({"id": question.exchange_id} if question.exchange_id else {}),
        )
        self._reply: PreparedReply | None = None
        self._citations: CitationFilter | None = None
        self._text: list[str] = []
        self._shown: list[str] = []
        self._lock: FactLock | None = None
        self._usage = Usage()
        self._started = time.monotonic()
        self._is_started = False
        self._first_token: float | None = None
        self._unsaved: dict[str, Any] = {}
        self._ending: tuple[Outcome, dict[str, Any]] | None = None
        self.has_unrecorded_ending = False

    def use_backend(
        self,
        backend: BaseChatBackend,
        prompt: Prompt,
        *,
        standalone: str = "",
        rewriting: Rewriting | None = None,
    ) -> None:
        """Set the backend and the prompt, and the rewriting of a follow-up."""
        self.backend, self.rewriting = backend, rewriting
        if rewriting is not None:
            self.exchange.deadline_at += timedelta(seconds=REWRITE_SECONDS)
        self._set_prompt(prompt, standalone)
        if rewriting is None:
            self._lock = self._make_lock()

    def _set_prompt(self, prompt: Prompt, standalone: str) -> None:
        self.prompt = prompt
        # Ready messages may contain passages with numbers that are unknown here.
        self._citations = (
            CitationFilter(prompt.passages) if self.question.messages is None else None
        )
        self.exchange.passages = [passage.as_dict() for passage in prompt.passages]
        self.exchange.left_out = prompt.left_out
        self.exchange.standalone_question = self._recorded(standalone)

    def _recorded(self, standalone: str) -> str:
        if standalone == self.question.question:
            return ""
        masking = self.question.masking
        return masking.hide(standalone) if masking is not None else standalone

    def use_prepared(self, reply: PreparedReply) -> None:
        """Answer with a prepared answer, without a backend or the fact lock."""
        self._reply = reply
        self.row = ChatBackend.extractive()
        self.prompt = Prompt([], reply.passages, 0)
        self.exchange.backend = None
        self.exchange.prepared_answer_id = reply.prepared_answer_id
        # The label is for the team, whatever the language of the question.
        with override(settings.LANGUAGE_CODE):
            label = PreparedAnswer.Kind(reply.kind).label
        self.exchange.backend_state = self.row.snapshot() | {
            "alias": PREPARED,
            "kind": PREPARED,
            "label": str(label),
        }
        self.exchange.passages = [passage.as_dict() for passage in reply.passages]
        self.exchange.left_out = 0

    def insert(self) -> bool:
        """Save the exchange. Returns ``False`` if its id has been recorded already."""
        if not self.question.is_recorded:
            return True
        if self.question.exchange_id is None:
            self.exchange.save(force_insert=True)
            return True
        try:
            with transaction.atomic():
                self.exchange.save(force_insert=True)
        except IntegrityError:
            if not Exchange.objects.filter(pk=self.exchange.pk).exists():
                raise
            return False
        return True

    def end_early(self, error: BackendError | None) -> None:
        """Close and record the exchange if no model is needed: after an error, with a prepared
        answer, or without passages."""
        question = self.question
        if error is not None:
            self.rewriting = None
            self.ending = [self.fail(error)]
        elif self._reply is not None:
            self.ending = self._add_text(self._reply.text, is_last=True)
            self.ending.append(self._close_done(Outcome.COMPLETE))
        elif self.rewriting is not None:
            # The rewritten question may find passages.
            return
        elif question.retrieval and question.messages is None and not self.prompt.passages:
            self.ending = self._add_text(self.nothing_found, is_last=True)
            self.ending.append(self._close_done(Outcome.NO_ANSWER))
        self.record()

    @classmethod
    def replay(cls, question: AskedQuestion, exchange: Exchange) -> OpenExchange:
        """A question whose id is recorded already, with the recorded answer."""
        row = exchange.backend or ChatBackend.extractive()
        self = cls(question, row, Switch(site=exchange.site))
        if not question.may_replay(exchange):
            self.ending = [FailedEvent(_("This id belongs to another question."), "id_taken")]
            return self
        self.exchange = exchange
        self.prompt = Prompt([], exchange.frozen_passages, exchange.left_out)
        self.ending = self._add_text(exchange.shown_text)
        match exchange.current_outcome:
            case Outcome.COMPLETE | Outcome.NO_ANSWER:
                self.ending.append(self._done_event())
            case Outcome.OPEN:
                self.ending.append(
                    FailedEvent(_("This question is being answered already."), "in_progress")
                )
            case Outcome.FAILED | Outcome.CUT_OFF:
                self.ending.append(FailedEvent(exchange.error, exchange.error_code))
            case _:
                self.ending.append(
                    FailedEvent(_("This answer was broken off. Ask again."), "interrupted")
                )
        return self

    def opening_events(self) -> Generator[Event, None, None]:
        yield self._sources_event()
        yield from self.ending

    def _sources_event(self) -> SourcesEvent:
        state = self.exchange.backend_state
        with self.question.in_its_language():
            data_destination = self.row.data_destination
        return SourcesEvent(
            # Without a record, there is nothing to rate later.
            exchange=str(self.exchange.pk) if self.question.is_recorded else "",
            backend=state.get("alias", ""),
            label=state.get("label", ""),
            data_destination=data_destination,
            passages=self.prompt.passages,
            left_out=self.prompt.left_out,
        )

    def rewrite(self, heartbeat: float | None) -> Generator[Silence, None, None]:
        """Rewrite the follow-up, yielding the model's silences."""
        assert self.rewriting is not None
        self._start()
        return self.rewriting.stream(heartbeat)

    async def arewrite(self) -> None:
        assert self.rewriting is not None
        self._start()
        await self.rewriting.aread()

    def search_again(self) -> list[Event]:
        """Search for the rewritten question, and return the events of new sources or of the end.

        Without a usable rewriting, the first passages stay in use. Uses the database.
        """
        assert self.rewriting is not None
        rewriting, self.rewriting = self.rewriting, None
        self._usage += rewriting.usage
        before = self.prompt.passages
        standalone = rewriting.standalone
        found = self._search_again(self, standalone) if self._search_again else None
        match found:
            case PreparedReply() as reply:
                # The rewriting was done by this backend, at its price.
                row = self.row
                self.use_prepared(reply)
                self.row = row
                self.exchange.standalone_question = self._recorded(standalone)
                self._save_found()
            case Prompt() as prompt:
                if _texts(prompt.passages) == _texts(before):
                    prompt = Prompt(prompt.messages, before, prompt.left_out)
                self._set_prompt(prompt, standalone)
                self._save_found()
        if self._reply is None:
            self._lock = self._make_lock()
        self.end_early(None)
        is_new = self.prompt.passages is not before
        return [*([self._sources_event()] if is_new else []), *self.ending]

    def _save_found(self) -> None:
        if self.question.is_recorded:
            found = ("passages", "left_out", "standalone_question")
            names = (*found, "prepared_answer_id", "backend_id", "backend_state")
            try:
                self.exchange.save_if_open(*names)
            except DatabaseError as error:
                logger.warning("Exchange %s: sources not saved yet: %s", self.exchange.pk, error)
                forget_broken_connections()
                self._unsaved = {name: getattr(self.exchange, name) for name in names}

    def stream(self, heartbeat: float | None) -> Generator[Chunk, None, None]:
        assert self.backend is not None
        self._start()
        return self.backend.stream(self.prompt.messages, heartbeat=heartbeat)

    def astream(self) -> AsyncGenerator[Chunk, None]:
        assert self.backend is not None
        self._start()
        return self.backend.astream(self.prompt.messages)

    def _start(self) -> None:
        # The time to rewrite a follow-up counts.
        if not self._is_started:
            self._started, self._is_started = time.monotonic(), True

    def absorb(self, chunk: Chunk) -> Event | None:
        """Take in a chunk; the event for the reader, if there is text to show."""
        if isinstance(chunk, Usage):
            self._usage += chunk
            return None
        if isinstance(chunk, Retraction):
            return self._retract()
        if not isinstance(chunk, Text):
            return None
        if self._first_token is None:
            self._first_token = time.monotonic() - self._started
        text = without_harmful(chunk.text)
        said = self._add_text(self._citations.feed(text) if self._citations else text)
        return said[0] if said else None

    def _retract(self) -> TextEvent:
        self._text, self._shown = [], []
        if self._citations is not None:
            self._citations = CitationFilter(self.prompt.passages)
        self._lock = self._make_lock() if self._lock is not None else None
        return TextEvent("", replaces=True)

    def _add_text(self, text: str, *, is_last: bool = False) -> list[Event]:
        """Add text to the answer; the event with the part that the fact lock lets through."""
        self._text.append(text)
        shown = text
        if self._lock is not None:
            with self.question.in_its_language():
                shown = self._lock.feed(text) + (self._lock.finish() if is_last else "")
        if not shown:
            return []
        self._shown.append(shown)
        return [TextEvent(shown)]

    def _make_lock(self) -> FactLock | None:
        if not self.question.fact_lock:
            return None
        # Imported here because its libraries slow down the start.
        from finetune_switch.text.fact_lock import FactLock

        return FactLock(self.prompt.passages, self.question.locale or "en", [self.nothing_found])

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def shown_text(self) -> str:
        return "".join(self._shown)

    def complete(self) -> list[Event]:
        """Close a complete answer, or an "I don't know"; the last events."""
        rest = self._add_text(
            self._citations.finish().rstrip() if self._citations else "", is_last=True
        )
        knows = not is_dont_know(self.text, self.nothing_found)
        done = self._close_done(Outcome.COMPLETE if knows else Outcome.NO_ANSWER)
        return [*rest, done]

    def fail(self, error: BackendError) -> FailedEvent:
        """Close after an error. The text so far is kept.

        Text still held by the fact lock is incomplete, and is not shown.
        """
        with self.question.in_its_language():
            message = str(error)
        outcome = Outcome.CUT_OFF if error.code == Outcome.CUT_OFF else Outcome.FAILED
        self._close(outcome, error=message, error_code=error.code)
        return FailedEvent(message, error.code, error.remedy)

    def crash(self, error: BaseException) -> FailedEvent:
        """Close after an unexpected error."""
        return self.fail(self.question.unforeseen(error))

    def cancel(self) -> None:
        """Close because the reader left."""
        self._close(Outcome.CANCELLED)

    def _close_done(self, outcome: Outcome) -> DoneEvent:
        self._close(outcome)
        return self._done_event()

    def _close(self, outcome: Outcome, **values: Any) -> None:
        """Set the ending on the exchange. :meth:`record` writes it to the database."""
        if self._ending is not None:
            return
        duration = time.monotonic() - self._started
        was_asked = self._first_token is not None or self._usage != Usage()
        recorded = {
            **self._unsaved,
            "answer": self.text,
            "shown_text": self.shown_text,
            "citations": parse_citations(self.text, self.prompt.passages),
            "withheld_facts": self._lock.withheld_facts if self._lock else [],
            "prompt_tokens": self._usage.prompt_tokens,
            "completion_tokens": self._usage.completion_tokens,
            "load_seconds": self._usage.load_seconds,
            "first_token_seconds": self._first_token,
            "duration_seconds": duration,
            "cost": cost_of(self.row, self._usage, duration) if was_asked else None,
            **values,
        }
        self._mask(recorded)
        for name, value in {**recorded, "outcome": outcome}.items():
            setattr(self.exchange, name, value)
        self._ending, self.has_unrecorded_ending = (outcome, recorded), True

    def record(self) -> None:
        """Write the ending to the database, once. If that fails, it is tried again later."""
        if self._ending is None or not self.has_unrecorded_ending:
            return
        self.has_unrecorded_ending = False
        outcome, recorded = self._ending
        is_new = True
        if self.question.is_recorded:
            is_new = record_ending(self.exchange, outcome, recorded)
        if is_new and self.question.origin == Origin.SITE:
            try:
                self._count_cost(outcome, recorded)
            except Exception:
                logger.exception("The cost of exchange %s was not counted.", self.exchange.pk)

    def _count_cost(self, outcome: Outcome, recorded: dict[str, Any]) -> None:
        cost, duration = recorded["cost"], recorded["duration_seconds"]
        left = outcome == Outcome.CANCELLED and self._is_started
        if left or (outcome in (Outcome.FAILED, Outcome.CUT_OFF) and self._first_token is not None):
            read = "".join(message["content"] for message in self.prompt.messages)
            cost = cost_at_least(self.row, cost, read, self.text, duration)
        add_cost(self.exchange.site_id or 0, cost, is_recorded=self.question.is_recorded)

    def _mask(self, recorded: dict[str, Any]) -> None:
        """Mask a visitor's contact details and card numbers in the recorded values."""
        if (masking := self.question.masking) is None:
            return
        answer, shown_text = recorded["answer"], recorded["shown_text"]
        masking.remember_repeated(answer, shown_text)
        recorded["shown_text"], _facts = masking.hide_repeated(shown_text)
        recorded["answer"], recorded["withheld_facts"] = masking.hide_repeated(
            answer, recorded["withheld_facts"]
        )

    def _done_event(self) -> DoneEvent:
        exchange = self.exchange
        return DoneEvent(
            outcome=str(exchange.outcome),
            # Without the citations of withheld sentences.
            citations=parse_citations(self.shown_text, self.prompt.passages),
            first_token_seconds=exchange.first_token_seconds,
            duration_seconds=exchange.duration_seconds or 0.0,
            load_seconds=exchange.load_seconds,
            prompt_tokens=exchange.prompt_tokens,
            completion_tokens=exchange.completion_tokens,
            cost=None if exchange.cost is None else float(exchange.cost),
        )


def _texts(passages: Sequence[Passage]) -> list[tuple[Source, str]]:
    return [(passage.source, passage.text) for passage in passages]
