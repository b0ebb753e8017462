"""What tests ask with: rows, passages, and one question asked either way."""

from __future__ import annotations

import asyncio
import contextvars
import io
import itertools
import json
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.core.management import call_command
from django.core.management.base import CommandError

from demo_site.standin import StandIn
from finetune_switch.answers import Answer, AskedQuestion, AsyncAnswer
from finetune_switch.answers.events import DoneEvent, Event, FailedEvent, SourcesEvent, TextEvent
from finetune_switch.conf import Deadlines
from finetune_switch.connections import Connection
from finetune_switch.models import ChatBackend, Exchange
from finetune_switch.passages import Passage, Source
from tests.conftest import API_KEY

T = TypeVar("T")

QUESTION = "When does the harbour open?"
OPENING = "The harbour opens at nine on every day but Christmas."

_runner = asyncio.Runner()
_numbers = itertools.count(1)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The coroutine's result, on one loop for all tests: a server's process has one as well."""
    # In the language of the moment, not in that of the moment when the loop was first used.
    return _runner.run(coroutine, context=contextvars.copy_context())


def server_connection(alias: str, server: StandIn) -> Connection:
    """A connection to a stand-in, as the settings of the ``connections`` fixture declare it."""
    is_ollama = alias == "ollama"
    return Connection(
        alias=alias,
        provider="ollama_chat" if is_ollama else "openai",
        label=alias,
        data_destination="a test",
        deadlines=Deadlines(10, 10, 20),
        api_base=server.url if is_ollama else server.openai_url,
        api_key=None if is_ollama else API_KEY,
    )


def make_backend(connection: str = "openai", model: str = "test-model", **values: Any):
    """A saved backend on a connection of the ``connections`` fixture."""
    number = next(_numbers)
    row = ChatBackend(
        **{
            "alias": f"backend-{number}",
            "label": f"Backend {number}",
            "connection": connection,
            "model_name": model,
            **values,
        }
    )
    row.save()
    return row


def make_passages(*texts: str, scores: Sequence[float] = ()) -> list[Passage]:
    return [
        Passage(
            number=number,
            text=text,
            score=score,
            source=Source(f"Page {number}", f"/page-{number}/", "demo_site.articlepage", "1"),
        )
        for number, (text, score) in enumerate(
            itertools.zip_longest(texts or (OPENING,), scores, fillvalue=0.9), 1
        )
    ]


@dataclass
class Asked:
    """One question that was asked to its end, and what it left behind."""

    answer: Answer | AsyncAnswer
    events: list[Event]
    seconds: float

    @property
    def sources(self) -> SourcesEvent:
        assert isinstance(self.events[0], SourcesEvent)
        return self.events[0]

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TextEvent))

    @property
    def done(self) -> DoneEvent:
        assert isinstance(self.events[-1], DoneEvent), self.events[-1]
        return self.events[-1]

    @property
    def failure(self) -> FailedEvent:
        assert isinstance(self.events[-1], FailedEvent), self.events[-1]
        return self.events[-1]

    @property
    def exchange(self) -> Exchange:
        return Exchange.objects.get(pk=self.answer.exchange_id)


Ask = Callable[..., Asked]


def ask_sync(question: str = QUESTION, **options: Any) -> Asked:
    started = time.monotonic()
    pending = Answer(AskedQuestion(question, **options))
    events = list(pending)
    return Asked(pending, events, time.monotonic() - started)


def ask_async(question: str = QUESTION, **options: Any) -> Asked:
    started = time.monotonic()
    pending = AsyncAnswer(AskedQuestion(question, **options))

    async def read() -> list[Event]:
        return [event async for event in pending]

    return Asked(pending, run(read()), time.monotonic() - started)


class Ran:
    """A command that was run: its exit code as the shell sees it, and what it wrote where."""

    def __init__(self, *arguments: str) -> None:
        out, err = io.StringIO(), io.StringIO()
        self.code: Any = 0
        try:
            call_command("finetune_switch", *arguments, stdout=out, stderr=err, no_color=True)
        except SystemExit as end:
            self.code = end.code
        except CommandError as error:
            self.code = error.returncode
            err.write(str(error))
        self.out, self.err = out.getvalue(), err.getvalue()
        assert API_KEY not in self.out + self.err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


manage = Ran
