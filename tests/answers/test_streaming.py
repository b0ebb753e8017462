"""Streaming of events under ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncRequestFactory

from finetune_switch.answers import streaming
from tests.helpers import make_backend, make_passages

pytestmark = pytest.mark.django_db

ANSWER = "The harbour opens at nine on every day of the week. [1]"


@pytest.fixture
def reading(site, connections, standin):
    """A reader of what a model of the stand-in says; leaves with the block."""

    @asynccontextmanager
    async def read(**behaviour) -> AsyncIterator[AsyncIterator[bytes]]:
        standin.add_model("streaming", **behaviour)
        backend = await sync_to_async(make_backend)("openai", "streaming")
        request = AsyncRequestFactory().post("/")
        response = streaming.stream_answer(
            request, "When?", backend=backend, passages=make_passages()
        )
        pieces = aiter(response.streaming_content)
        try:
            yield pieces
        finally:
            await pieces.aclose()
            await sync_to_async(response.close)()

    return read


async def test_events_for_a_slow_reader_are_sent_together(reading, standin):
    async with reading(answer=ANSWER) as pieces:
        received = [await anext(pieces), await anext(pieces)]
        await standin.await_for(lambda: standin.active_streams == 0, timeout=5)
        await asyncio.sleep(0.3)
        received += [piece async for piece in pieces]

    whole = b"".join(received)
    assert (whole.count(b"event: sources\n"), whole.count(b"event: done\n")) == (1, 1)
    assert whole.count(b"event: text\n") > 10
    assert len(received) < 8


async def test_a_silence_is_filled_with_comments_and_left_at_once(reading, standin, monkeypatch):
    monkeypatch.setattr(streaming, "ASGI_HEARTBEAT_SECONDS", 0.1)
    async with reading(answer=ANSWER, fault="silence") as pieces:
        received = b""
        while received.count(b"event: text\n") < 2:
            received += await anext(pieces)
        async with asyncio.timeout(5):
            comments = [await anext(pieces) for _ in range(3)]
        assert comments == [b": \n\n"] * 3
        assert standin.active_streams == 1

    assert await standin.await_for(lambda: standin.disconnects, timeout=1)
