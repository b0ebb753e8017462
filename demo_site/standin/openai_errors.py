"""Error responses of OpenAI, and of Ollama's OpenAI-compatible API.

Sources: OpenAI's guide to error codes; Ollama's ``openai/openai.go`` (21-30, 225-237).
"""

from __future__ import annotations

import json
import uuid
from typing import Any, cast

from aiohttp import web

from .ollama_errors import LEAK
from .ollama_errors import refusal as ollama_refusal

NO_KEY_MESSAGE = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header "
    "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
)
WRONG_KEY_MESSAGE = (
    "Incorrect API key provided: {key}. You can find your API key at "
    "https://platform.openai.com/account/api-keys."
)
SERVER_ERROR = "The server had an error while processing your request. Sorry about that!"

ERRORS: dict[str, tuple[int, str, str, str | None, str | None]] = {
    # name: status, message, type, param, code
    "unauthorized": (
        401,
        WRONG_KEY_MESSAGE.format(key="sk-sta**********d-in"),
        "invalid_request_error",
        None,
        "invalid_api_key",
    ),
    "forbidden": (
        403,
        "You are not allowed to sample from this model.",
        "invalid_request_error",
        None,
        None,
    ),
    "ratelimit": (
        429,
        "Rate limit reached for {model} in organization org-standin on requests per min (RPM): "
        "Limit 3, Used 3, Requested 1. Please try again in 1s.",
        "requests",
        None,
        "rate_limit_exceeded",
    ),
    "insufficient-quota": (
        429,
        "You exceeded your current quota, please check your plan and billing details. For more "
        "information on this error, read the docs: "
        "https://platform.openai.com/docs/guides/error-codes/api-errors.",
        "insufficient_quota",
        None,
        "insufficient_quota",
    ),
    "busy": (
        503,
        "The engine is currently overloaded, please try again later",
        "server_error",
        None,
        None,
    ),
    "load-failure": (500, SERVER_ERROR, "server_error", None, None),
    "runner-died": (500, SERVER_ERROR, "server_error", None, None),
    "context-overflow": (
        400,
        "This model's maximum context length is 4096 tokens. However, your messages resulted in "
        "5210 tokens. Please reduce the length of the messages.",
        "invalid_request_error",
        "messages",
        "context_length_exceeded",
    ),
    "leaky-error": (500, LEAK, "server_error", None, None),
    "unsupported-parameter": (
        400,
        "Unsupported parameter: 'temperature' is not supported with this model.",
        "invalid_request_error",
        "temperature",
        "unsupported_parameter",
    ),
}
ERRORS["context-overflow-native"] = ERRORS["context-overflow"]


def respond(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    body = json.dumps(value, ensure_ascii=False).encode()
    return web.Response(
        body=body,
        status=status,
        headers={"Content-Type": "application/json", **request_headers(), **(headers or {})},
    )


def request_headers() -> dict[str, str]:
    return {"x-request-id": f"req_{uuid.uuid4().hex}", "openai-version": "2020-10-01"}


def error(
    status: int,
    message: str,
    kind: str = "invalid_request_error",
    param: str | None = None,
    code: str | None = None,
    headers: dict[str, str] | None = None,
) -> web.Response:
    """An error in OpenAI's format."""
    detail = {"message": message, "type": kind, "param": param, "code": code}
    return respond({"error": detail}, status, headers)


def refusal(name: str, model_name: str) -> web.Response:
    if name == "notfound":
        return no_such_model(model_name)
    status, message, kind, param, code = ERRORS[name]
    headers = {"Retry-After": "1"} if name == "ratelimit" else None
    return error(status, message.replace("{model}", model_name), kind, param, code, headers)


def no_such_model(name: Any) -> web.Response:
    return error(
        404,
        f"The model `{name}` does not exist or you do not have access to it.",
        code="model_not_found",
    )


def refusal_of_ollama(name: str, model_name: str) -> web.Response:
    """Ollama's error in OpenAI's format. A proxy's error is not converted."""
    native = ollama_refusal(name, model_name)
    if not native.body or "json" not in native.content_type:
        return native
    return ollama_error(native.status, json.loads(cast(bytes, native.body))["error"])


def ollama_error(status: int, text: str) -> web.Response:
    kinds = {400: "invalid_request_error", 404: "not_found_error"}
    return error(status, text, kinds.get(status, "api_error"))
