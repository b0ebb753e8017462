"""Time to the first token through ``answer()``, beside litellm called directly.

Both send the same messages to the same server, which is a process of its own and answers at once:
what is measured is our own work, down to the exchange that is written before the model is asked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from .measuring import Comparison, alternate, compare, tell
from .site import migrated_site, standin_process

MOST_MILLISECONDS = 3.0
RUNS = 200
WARM_UP = 20
TINY = {"RUNS": 2, "WARM_UP": 1}
# litellm goes on in threads of its own after the last token: its logging, and a cost.
REST_SECONDS = 0.02
QUESTION = "When does the harbour open, and what does a mooring cost?"
TEXTS = (
    "The harbour opens at nine in the morning on every day of the year but Christmas, and it "
    "closes at dusk. In winter the gate on the east quay stays shut in a northerly gale.",
    "A mooring costs £18 a night for a boat of up to eight metres, and £2.50 for each metre more. "
    "Pay at the harbour office or leave the money in the box by its door.",
    "The café on the quay sells kipper soup, bread and tea. It opens at eight, an hour before the "
    "harbour does, for those who are waiting for the tide.",
    "Boats can be hired by the hour at the slipway. Children under twelve wear a life jacket, "
    "which comes with the boat and costs nothing.",
    "The harbour master is to be found in the white house. Outside opening hours, ring the bell, "
    "or call the coastguard where somebody is in danger.",
)
MODELS = {"openai": "standin-hosted", "ollama": "standin-finetuned"}


def measure() -> list[Comparison]:
    with standin_process() as url:
        variables = {
            "OLLAMA_API_BASE": url,
            "OPENAI_API_BASE": f"{url}/v1",
            "OPENAI_API_KEY": "a-key",
        }
        with migrated_site(**variables) as (_site, _engine):
            return [
                comparison
                for connection in MODELS
                for comparison in (_measure_sync(connection), _measure_async(connection))
            ]


def _measure_sync(connection: str) -> Comparison:
    tell(f"first_token: {RUNS} questions each to the stand-in for {connection}, without a loop")
    passages, arguments = _prepare(connection)
    times = alternate(
        partial(_litellm, arguments),
        partial(_answer, passages),
        runs=RUNS,
        warm_up=WARM_UP,
        rest=REST_SECONDS,
    )
    return _compare(connection, "sync", times)


def _measure_async(connection: str) -> Comparison:
    tell(f"first_token: {RUNS} questions each to the stand-in for {connection}, on a loop")
    passages, arguments = _prepare(connection)
    with asyncio.Runner() as runner:

        def on_loop(ask: Callable[..., Coroutine[Any, Any, float]], *given: Any) -> float:
            return runner.run(ask(*given))

        times = alternate(
            partial(on_loop, _alitellm, arguments),
            partial(on_loop, _aanswer, passages),
            runs=RUNS,
            warm_up=WARM_UP,
            rest=REST_SECONDS,
        )
    return _compare(connection, "async", times)


def _compare(connection: str, way: str, times: tuple[list[float], list[float]]) -> Comparison:
    return compare(
        f"First token, {connection}, {way}",
        times,
        target="difference",
        most=MOST_MILLISECONDS,
        note="exchange recorded on SQLite",
    )


def _prepare(connection: str) -> tuple[list[Any], dict[str, Any]]:
    """An active backend, passages, and what the plugin will give litellm for them."""
    from wagtail.models import Site

    from finetune_switch.access import Asker
    from finetune_switch.answers.opening import open_exchange
    from finetune_switch.answers.question import AskedQuestion
    from finetune_switch.backends.calls import import_litellm
    from finetune_switch.models import ChatBackend, Exchange, Origin, Switch
    from finetune_switch.passages import Passage, Source

    row, is_new = ChatBackend.objects.get_or_create(
        alias=connection,
        defaults={
            "label": connection,
            "connection": connection,
            "model_name": MODELS[connection],
        },
    )
    if is_new:
        switch, _created = Switch.objects.get_or_create(site=Site.objects.get(is_default_site=True))
        switch.activate(row, expected=switch.active_id)
    passages = [
        Passage(number, text, 1 - number / 10, Source(f"Page {number}", "/", "", str(number)))
        for number, text in enumerate(TEXTS, 1)
    ]
    asked = open_exchange(
        AskedQuestion(QUESTION, "en", Asker.anonymous(), Origin.SITE, passages=passages)
    )
    Exchange.objects.all().delete()
    assert asked.backend is not None
    assert len(asked.prompt.passages) == len(TEXTS)
    messages = asked.prompt.messages
    address = asked.backend.connection.get_api_base()
    return passages, asked.backend._arguments(import_litellm(), messages, address, stream=True)


def _answer(passages: list[Any]) -> float:
    from finetune_switch.answers import answer
    from finetune_switch.answers.events import TextEvent

    started, taken = time.perf_counter(), 0.0
    events = answer(QUESTION, passages=passages)
    for event in events:
        if not taken and isinstance(event, TextEvent):
            taken = (time.perf_counter() - started) * 1000
    events.raise_failure()
    return taken


async def _aanswer(passages: list[Any]) -> float:
    from finetune_switch.answers import aanswer
    from finetune_switch.answers.events import TextEvent

    started, taken = time.perf_counter(), 0.0
    events = aanswer(QUESTION, passages=passages)
    async for event in events:
        if not taken and isinstance(event, TextEvent):
            taken = (time.perf_counter() - started) * 1000
    events.raise_failure()
    return taken


def _litellm(arguments: dict[str, Any]) -> float:
    import litellm

    started, taken = time.perf_counter(), 0.0
    for chunk in litellm.completion(**arguments):
        if not taken and _text(chunk):
            taken = (time.perf_counter() - started) * 1000
    return taken


async def _alitellm(arguments: dict[str, Any]) -> float:
    import litellm

    started, taken = time.perf_counter(), 0.0
    async for chunk in await litellm.acompletion(**arguments):
        if not taken and _text(chunk):
            taken = (time.perf_counter() - started) * 1000
    return taken


def _text(chunk: Any) -> str:
    return "".join(choice.delta.content or "" for choice in chunk.choices)
