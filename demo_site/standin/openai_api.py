"""OpenAI's API, and Ollama's compatible one.

Sources: OpenAI's API reference (chat completions, models, embeddings, error codes) and deprecations
page (``shutdown_date``); Ollama's ``openai/openai.go`` and ``middleware/openai.go``.
"""

from __future__ import annotations

import base64
import json
import struct
import time
import uuid
from typing import TYPE_CHECKING, Any

from aiohttp import web

from .behaviours import Model
from .embeddings import embed_all
from .ollama_errors import MID_STREAM
from .openai_errors import (
    NO_KEY_MESSAGE,
    SERVER_ERROR,
    WRONG_KEY_MESSAGE,
    error,
    no_such_model,
    ollama_error,
    refusal,
    refusal_of_ollama,
    request_headers,
    respond,
)
from .playing import ActiveAnswer, Wire, play
from .script import Say, count

if TYPE_CHECKING:
    from .server import StandIn

CREATED = 1_762_070_400
OWNER = "stand-in"
WRONG_KEY = "wrong-key"


class OpenAIWire(Wire):
    """``POST /v1/chat/completions``: server-sent events that end with ``[DONE]``."""

    stream_type = "text/event-stream; charset=utf-8"
    fingerprint = "fp_standin"
    thought_key = "reasoning_content"

    def __init__(self, active_answer: ActiveAnswer, *, include_usage: bool) -> None:
        super().__init__(active_answer)
        self.include_usage = include_usage
        self.id = f"chatcmpl-{uuid.uuid4().hex[:29]}"
        self.created = int(time.time())
        self.headers = request_headers()

    def opening(self) -> bytes:
        return self._delta({"role": "assistant", "content": "", "refusal": None})

    def piece(self, step: Say) -> bytes:
        return self._delta({self.thought_key if step.thought else "content": step.text})

    def noise(self, kind: str) -> bytes:
        if kind == "no-choices":
            return self._chunk([])
        if kind == "bad-line":
            return self._delta({"content": " lost"}).rstrip()[:-20] + b"\n\n"
        return self._delta({"content": ""})

    def failure(self) -> bytes:
        detail = {"message": SERVER_ERROR, "type": "server_error", "param": None, "code": None}
        return _event({"error": detail})

    def finish(self, reason: str) -> bytes:
        end = self._delta({}, reason)
        if self.include_usage and self.active_answer.model.usage:
            end += self._chunk([], self._usage())
        return end + b"data: [DONE]\n\n"

    def whole(self, reason: str | None) -> bytes:
        filtered = reason == "content_filter"
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if filtered else "".join(self.active_answer.text),
            "refusal": None,
            "annotations": [],
        }
        if self.active_answer.thoughts:
            message[self.thought_key] = "".join(self.active_answer.thoughts)
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}
        answer = self._head("chat.completion") | {"choices": [choice]}
        if self.active_answer.model.usage:
            answer["usage"] = self._usage()
        return json.dumps(answer, ensure_ascii=False).encode()

    def refusal(self, name: str) -> web.Response:
        return refusal(name, self.active_answer.asked_name)

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.active_answer.asked_name,
            "system_fingerprint": self.fingerprint,
        }

    def _delta(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        return self._chunk(
            [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]
        )

    def _chunk(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> bytes:
        chunk = self._head("chat.completion.chunk") | {"choices": choices}
        if self.include_usage:
            chunk["usage"] = usage
        return _event(chunk)

    def _usage(self) -> dict[str, Any]:
        prompt, completion = self.active_answer.prompt_tokens, self.active_answer.completion_tokens
        if self.active_answer.model.fault == "impossible-usage":
            prompt, completion = -1, 10**30
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": len(self.active_answer.thoughts),
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }


class OllamaV1Wire(OpenAIWire):
    """Ollama's ``/v1``: thoughts are ``reasoning``, and mid-stream errors are lost."""

    stream_type = "text/event-stream"
    fingerprint = "fp_ollama"
    thought_key = "reasoning"

    def __init__(self, active_answer: ActiveAnswer, *, include_usage: bool) -> None:
        super().__init__(active_answer, include_usage=include_usage)
        self.id = "chatcmpl-123"
        self.headers = {}

    def opening(self) -> bytes:
        return b""

    def piece(self, step: Say) -> bytes:
        if step.thought:
            return self._delta({"role": "assistant", "content": "", self.thought_key: step.text})
        return self._delta({"role": "assistant", "content": step.text})

    def failure(self) -> bytes:
        # middleware/openai.go decodes the error as an empty answer (176-183).
        return self._delta({"role": "assistant", "content": ""})

    def refusal(self, name: str) -> web.Response:
        if name == "runner-died" and self.active_answer.text:
            return ollama_error(500, MID_STREAM)
        return refusal_of_ollama(name, self.active_answer.asked_name)


class OpenAIVectors(Wire):
    """``POST /v1/embeddings``."""

    def __init__(
        self, active_answer: ActiveAnswer, texts: list[str], dimensions: int | None, packed: bool
    ) -> None:
        super().__init__(active_answer)
        self.texts = texts
        self.dimensions = dimensions
        self.packed = packed
        self.headers = request_headers()

    def whole(self, reason: str | None) -> bytes:
        vectors = embed_all(self.texts, self.dimensions, self.active_answer.model.fault)
        tokens = sum(count(text) for text in self.texts)
        data = [
            {
                "object": "embedding",
                "index": index,
                "embedding": _base64(vector) if self.packed else vector,
            }
            for index, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        answer = {"object": "list", "data": data, "model": self.active_answer.asked_name}
        return json.dumps(answer | {"usage": usage}).encode()

    def refusal(self, name: str) -> web.Response:
        return refusal(name, self.active_answer.asked_name)


class OllamaV1Vectors(OpenAIVectors):
    def refusal(self, name: str) -> web.Response:
        return refusal_of_ollama(name, self.active_answer.asked_name)


class OpenAIAPI:
    """The routes under ``/v1``. With ``as_ollama``, Ollama's version, which needs no key."""

    def __init__(self, server: StandIn, *, as_ollama: bool) -> None:
        self.server = server
        self.as_ollama = as_ollama

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.get("/v1/models", self.models),
            web.get("/v1/models/{name}", self.model),
            web.post("/v1/chat/completions", self.chat),
            web.post("/v1/embeddings", self.embeddings),
        ]

    async def models(self, request: web.Request) -> web.Response:
        if (refused := self._key_error(request)) is not None:
            return refused
        listed = self.server.listed("ollama" if self.as_ollama else "openai")
        # Go writes an empty list as null (openai.go:450-470).
        data = [self._entry(model) for model in listed] or (None if self.as_ollama else [])
        return respond({"object": "list", "data": data})

    async def model(self, request: web.Request) -> web.Response:
        if (refused := self._key_error(request)) is not None:
            return refused
        name = request.match_info["name"]
        model = self.server.find(name)
        if model is None or model.fault == "notfound":
            if self.as_ollama:
                return ollama_error(404, f"model '{name}' not found")
            message = f"The model '{name}' does not exist"
            return error(404, message, param="model", code="model_not_found")
        return respond(self._entry(model))

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await self._read(request)
        if isinstance(body, web.Response):
            return body
        name, messages = body.get("model"), body.get("messages")
        if not name:
            return self._bad_request("you must provide a model parameter")
        model = self.server.find(name)
        if model is None:
            return self._no_such_model(name)
        if not isinstance(messages, list) or not messages:
            if self.as_ollama:
                return self._bad_request("[] is too short - 'messages'")
            return error(
                400,
                "Missing required parameter: 'messages'.",
                param="messages",
                code="missing_required_parameter",
            )
        limit = body.get("max_tokens")
        if not self.as_ollama:
            limit = body.get("max_completion_tokens") or limit
        active_answer = self.server.start_answer(
            model,
            asked_name=name,
            messages=messages,
            stream=bool(body.get("stream")),
            max_tokens=limit,
        )
        include_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        wire = (OllamaV1Wire if self.as_ollama else OpenAIWire)(
            active_answer, include_usage=include_usage
        )
        async with self.server.record_answer(request, active_answer) as script:
            return await play(request, wire, script)

    async def embeddings(self, request: web.Request) -> web.StreamResponse:
        body = await self._read(request)
        if isinstance(body, web.Response):
            return body
        name, texts = body.get("model"), body.get("input")
        model = self.server.find(name)
        if model is None:
            return self._no_such_model(name)
        texts = [texts] if isinstance(texts, str) else texts
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            return self._bad_request("'$.input' is invalid.")
        active_answer = ActiveAnswer(model, name, [], stream=False)
        wire = (OllamaV1Vectors if self.as_ollama else OpenAIVectors)(
            active_answer, texts, body.get("dimensions"), body.get("encoding_format") == "base64"
        )
        async with self.server.record_answer(request, active_answer) as script:
            return await play(request, wire, script)

    async def _read(self, request: web.Request) -> dict[str, Any] | web.Response:
        if (refused := self._key_error(request)) is not None:
            return refused
        try:
            body = json.loads(await request.read())
        except ValueError:
            body = None
        if not isinstance(body, dict):
            return self._bad_request("We could not parse the JSON body of your request.")
        return body

    def _key_error(self, request: web.Request) -> web.Response | None:
        if self.as_ollama:
            return None
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key:
            return error(401, NO_KEY_MESSAGE)
        if key == WRONG_KEY:
            return error(401, WRONG_KEY_MESSAGE.format(key=key), code="invalid_api_key")
        return None

    def _no_such_model(self, name: Any) -> web.Response:
        if self.as_ollama:
            return ollama_error(404, f"model '{name}' not found")
        return no_such_model(name)

    def _bad_request(self, message: str) -> web.Response:
        return ollama_error(400, message) if self.as_ollama else error(400, message)

    def _entry(self, model: Model) -> dict[str, Any]:
        name = model.tag_name if self.as_ollama else model.name
        entry = {"id": name, "object": "model", "created": CREATED, "owned_by": OWNER}
        return entry if self.as_ollama else entry | {"shutdown_date": model.shutdown_date}


def _event(value: Any) -> bytes:
    return f"data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
