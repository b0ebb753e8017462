"""HTTP clients for litellm that do not follow redirects.

litellm's own clients do, and would send a question to whatever host a server names.
"""

from __future__ import annotations

import asyncio
import atexit
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

# Of each event loop, since a client belongs to the loop that it was first used on.
_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[Any, ...], Any]] = (
    WeakKeyDictionary()
)
CLOSE_SECONDS = 1.0
# Addresses and keys may come from a callable, and change.
MAX_CLIENTS = 16


def client_arguments(provider: str, api_base: str | None, api_key: str | None) -> dict[str, Any]:
    """``client`` for litellm; nothing for a provider whose client litellm has to make."""
    if provider not in ("openai", "ollama_chat"):
        return {}
    clients = _clients.setdefault(asyncio.get_running_loop(), {})
    key = (provider, api_base, api_key) if provider == "openai" else (provider,)
    if (client := clients.get(key)) is None:
        if len(clients) >= MAX_CLIENTS:
            del clients[next(iter(clients))]
        client = clients[key] = _make(provider, api_base, api_key)
    return {"client": client}


class RedirectRefused(Exception):
    """The server named another address for the request."""

    def __init__(self, location: str) -> None:
        super().__init__("A redirect was refused.")
        self.location = location


async def _refuse_redirect(response: Any) -> None:
    # Raised here, since litellm's exceptions do not have the server's headers.
    if response.has_redirect_location:
        raise RedirectRefused(response.headers.get("location", ""))


def _make(provider: str, api_base: str | None, api_key: str | None) -> Any:
    # Of litellm, for its connection pool, proxies and certificates.
    from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler

    handler = AsyncHTTPHandler(event_hooks={"response": [_refuse_redirect]})
    handler.client.follow_redirects = False
    if provider == "ollama_chat":
        return handler
    from openai import AsyncOpenAI

    return AsyncOpenAI(
        base_url=api_base, api_key=api_key, http_client=handler.client, max_retries=0
    )


@atexit.register
def _close_all() -> None:
    """Clients that are collected while Python ends write tracebacks."""
    for loop, clients in list(_clients.items()):
        for client in clients.values():
            with suppress(Exception):
                if loop.is_running():
                    closing = asyncio.run_coroutine_threadsafe(client.close(), loop)
                    closing.result(CLOSE_SECONDS)
                else:
                    asyncio.run(client.close())
