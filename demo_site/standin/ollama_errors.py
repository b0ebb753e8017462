"""Error responses of Ollama, and of a proxy in front of it.

Sources: Ollama at fb307609, ``server/routes.go``, ``server/sched.go`` and
``llm/llama_server.go``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

TOO_LONG = (
    "the prompt is longer than the context length currently available to the model; shorten the "
    "prompt, adjust the context length in settings, or use a model with a longer context length"
)
TOO_LONG_NATIVE = json.dumps(
    {
        "error": {
            "code": 400,
            "message": "request (5210 tokens) exceeds the available context size (4096 tokens), "
            "try increasing it",
            "type": "exceed_context_size_error",
            "n_prompt_tokens": 5210,
            "n_ctx": 4096,
        }
    },
    separators=(",", ":"),
)
LEAK = (
    "Traceback (most recent call last):\n"
    '  File "/srv/proxy/app.py", line 41, in forward\n'
    '    headers={"Authorization": "Bearer sk-leaked-secret-123"}\n'
    "RuntimeError: upstream failed with api_key=sk-leaked-secret-123"
)
RUNNER_DIED = (
    "model runner has unexpectedly stopped, this may be due to resource limitations or an internal "
    "error, check ollama server logs for details"
)
MID_STREAM = "an error was encountered while running the model: CUDA error: out of memory"

# Status and text of Ollama's own errors.
ERRORS: dict[str, tuple[int, str]] = {
    "insufficient-quota": (429, "you have reached your weekly usage limit, upgrade for more"),
    "busy": (503, "server busy, please try again.  maximum pending requests exceeded"),
    "load-failure": (
        500,
        "llama-server process has terminated: exit status 2: this model may be incompatible with "
        "your version of Ollama. If you previously pulled it, try updating it by running `ollama "
        "pull`",
    ),
    "runner-died": (500, RUNNER_DIED),
    "context-overflow": (400, TOO_LONG),
    "context-overflow-native": (400, TOO_LONG_NATIVE),
    "leaky-error": (500, LEAK),
    "unsupported-parameter": (400, '"stand-in" does not support thinking'),
}

# Ollama has neither keys nor limits, so these are plain text from a proxy.
PROXY_ERRORS: dict[str, tuple[int, str, dict[str, str]]] = {
    "unauthorized": (401, "Unauthorized\n", {"WWW-Authenticate": 'Bearer realm="ollama"'}),
    "forbidden": (403, "", {}),
    "ratelimit": (429, "Too Many Requests\n", {"Retry-After": "1"}),
}


def dumps(value: Any) -> bytes:
    """JSON as Go writes it: compact, UTF-8, with ``<``, ``>`` and ``&`` escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026").encode()


def respond(value: Any, status: int = 200) -> web.Response:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    return web.Response(body=dumps(value), status=status, headers=headers)


def error(status: int, text: str) -> web.Response:
    return respond({"error": text}, status)


def plain(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(text=text, status=status, headers=headers)


def refusal(name: str, model_name: str) -> web.Response:
    """The error response of Ollama, or of the proxy."""
    if name == "notfound":
        return error(404, f"model '{model_name}' not found")
    if name in PROXY_ERRORS:
        status, text, headers = PROXY_ERRORS[name]
        return plain(text, status, headers)
    return error(*ERRORS[name])


async def read_json(request: web.Request) -> dict[str, Any] | web.Response:
    """The parsed body, or Ollama's error for an invalid one (routes.go:2444-2450)."""
    raw = (await request.read()).strip()
    if not raw:
        return error(400, "missing request body")
    try:
        body = json.loads(raw)
    except ValueError as problem:
        position = min(getattr(problem, "pos", 0), len(raw) - 1)
        return error(
            400, f"invalid character {chr(raw[position])!r} looking for beginning of value"
        )
    if not isinstance(body, dict):
        return error(400, "json: cannot unmarshal array into Go value of type api.ChatRequest")
    return body
