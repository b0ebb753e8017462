"""What a site would do without the plugin: hand the model server's stream on.

An ASGI application. ``/raw`` gives an HTTP client's bytes as they come; ``/litellm`` each chunk
of litellm's as an event. Neither retrieves, records, checks or ends anything. ``RELAY_URL``,
``RELAY_HEADERS`` and ``RELAY_ARGUMENTS`` (litellm's) come from the environment.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx

ASGI = Callable[[dict[str, Any]], Awaitable[None]]

_client: httpx.AsyncClient | None = None
_known: set[str] = set()


async def application(
    scope: dict[str, Any], receive: Callable[[], Awaitable[dict[str, Any]]], send: ASGI
) -> None:
    body = b""
    while (message := await receive()).get("more_body"):
        body += message["body"]
    body += message.get("body", b"")
    pieces = _litellm if scope["path"] == "/litellm" else _raw
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if scope["path"] != "/":
        async for piece in pieces(body):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _raw(body: bytes) -> AsyncIterator[bytes]:
    global _client
    if _client is None:
        limits = httpx.Limits(max_connections=None)
        _client = httpx.AsyncClient(timeout=None, limits=limits, trust_env=False)
    headers = json.loads(os.environ["RELAY_HEADERS"])
    async with _client.stream(
        "POST", os.environ["RELAY_URL"], content=body, headers=headers
    ) as response:
        async for piece in response.aiter_raw():
            yield piece


async def _litellm(body: bytes) -> AsyncIterator[bytes]:
    import litellm

    arguments = json.loads(os.environ["RELAY_ARGUMENTS"])
    if arguments["model"].startswith("ollama_chat/") and arguments["model"] not in _known:
        # Or it asks Ollama about the model at each call, as the plugin keeps it from doing.
        _known.add(arguments["model"])
        litellm.register_model({arguments["model"]: {"litellm_provider": "ollama_chat"}})
    asked = json.loads(body)
    async for chunk in await litellm.acompletion(messages=asked["messages"], **arguments):
        for choice in chunk.choices:
            if text := choice.delta.content:
                yield f"event: text\ndata: {json.dumps({'text': text})}\n\n".encode()
    yield b"event: done\ndata: {}\n\n"
