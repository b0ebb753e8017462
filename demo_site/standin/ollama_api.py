"""Ollama's native API.

Errors are ``{"error": "<text>"}``, durations are in nanoseconds, and streams are newline-delimited
JSON. Sources: Ollama at fb307609 (v0.33.0-rc2), ``server/routes.go`` and ``api/types.go``.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aiohttp import web

from . import ollama_cards as cards
from .behaviours import Model
from .embeddings import embed_all
from .ollama_errors import MID_STREAM, dumps, error, plain, read_json, refusal, respond
from .playing import ActiveAnswer, Wire, play
from .script import Refuse, Say, Wait, count

if TYPE_CHECKING:
    from .server import StandIn

VERSION = "0.33.0-standin"
KEEP_ALIVE_SECONDS = 300
# A proxy's faults apply to all paths, not only to chat.
PROXY_FAULTS = ("unauthorized", "forbidden")

# The options that Ollama validates (api/types.go:536-568). It ignores others.
_INTEGERS = {
    "num_ctx",
    "num_batch",
    "num_gpu",
    "num_predict",
    "num_keep",
    "num_thread",
    "seed",
    "top_k",
}
_FLOATS = {"temperature", "top_p", "min_p", "typical_p", "repeat_penalty", "presence_penalty"}
_FLOATS |= {"frequency_penalty"}
_PART = re.compile(r"(\d+(?:\.\d*)?)(ms|s|m|h)")
_DURATION = re.compile(rf"[-+]?(?:{_PART.pattern})+")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
FOREVER_SECONDS = 1e9


class OllamaWire(Wire):
    """``POST /api/chat``: one JSON object per line (routes.go:2097-2144)."""

    stream_type = "application/x-ndjson"

    def piece(self, step: Say) -> bytes:
        if step.thought:
            return self._line({"role": "assistant", "content": "", "thinking": step.text})
        return self._line({"role": "assistant", "content": step.text})

    def noise(self, kind: str) -> bytes:
        if kind == "bad-line":
            return self._line({"role": "assistant", "content": " lost"})[:-20] + b"\n"
        return self._line({"role": "assistant", "content": ""})

    def failure(self) -> bytes:
        return dumps({"error": MID_STREAM}) + b"\n"

    def finish(self, reason: str) -> bytes:
        return self._line({"role": "assistant", "content": ""}, **self._ending(reason))

    def whole(self, reason: str | None) -> bytes:
        message = {"role": "assistant", "content": "".join(self.active_answer.text)}
        if self.active_answer.thoughts:
            message["thinking"] = "".join(self.active_answer.thoughts)
        return self._line(message, **(self._ending(reason) if reason else {})).rstrip(b"\n")

    def refusal(self, name: str) -> web.Response:
        return refusal(name, self.active_answer.asked_name)

    def _line(self, message: dict[str, str], **end: Any) -> bytes:
        line = {
            "model": self.active_answer.asked_name,
            "created_at": _timestamp(),
            "message": message,
            "done": False,
            **end,
        }
        return dumps(line) + b"\n"

    def _ending(self, reason: str) -> dict[str, Any]:
        active_answer = self.active_answer
        now = time.monotonic()
        first = active_answer.first_token or now
        loading = 0.8 * (first - active_answer.started)
        ending: dict[str, Any] = {
            "done": True,
            # Ollama has no content filter.
            "done_reason": "length" if reason == "length" else "stop",
            "total_duration": _nanoseconds(now - active_answer.started),
            "load_duration": _nanoseconds(loading),
        }
        if active_answer.model.usage:
            ending |= {
                "prompt_eval_count": active_answer.prompt_tokens,
                "prompt_eval_duration": _nanoseconds(first - active_answer.started - loading),
                "eval_count": active_answer.completion_tokens + 1,
                "eval_duration": _nanoseconds(now - first),
            }
        if active_answer.model.fault == "impossible-usage":
            ending |= {"prompt_eval_count": -1, "eval_count": 10**30, "load_duration": -1}
        return ending


class OllamaVectors(Wire):
    """``POST /api/embed``. Empty texts get no vector."""

    def __init__(
        self, active_answer: ActiveAnswer, texts: list[str], dimensions: int | None
    ) -> None:
        super().__init__(active_answer)
        self.texts = [text for text in texts if text]
        self.dimensions = dimensions

    def whole(self, reason: str | None) -> bytes:
        return dumps(
            {
                "model": self.active_answer.asked_name,
                "embeddings": embed_all(
                    self.texts, self.dimensions, self.active_answer.model.fault
                ),
                "total_duration": 2_000_000,
                "load_duration": 1_000_000,
                "prompt_eval_count": sum(count(text) for text in self.texts),
            }
        )

    def refusal(self, name: str) -> web.Response:
        return refusal(name, self.active_answer.asked_name)


class OllamaAPI:
    """The routes under ``/api``, and ``/``."""

    def __init__(self, server: StandIn) -> None:
        self.server = server
        # Loaded models and their expiry, in seconds since the epoch.
        self.loaded: dict[str, float] = {}

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.get("/", self.root),
            web.get("/api/version", self.version),
            web.get("/api/tags", self.tags),
            web.get("/api/ps", self.ps),
            web.post("/api/show", self.show),
            web.post("/api/chat", self.chat),
            web.post("/api/embed", self.embed),
        ]

    async def root(self, request: web.Request) -> web.Response:
        return plain("Ollama is running")

    async def version(self, request: web.Request) -> web.Response:
        return respond({"version": VERSION})

    async def tags(self, request: web.Request) -> web.Response:
        return respond({"models": [cards.entry(model) for model in self.server.listed("ollama")]})

    async def ps(self, request: web.Request) -> web.Response:
        now = time.time()
        entries = []
        for name, expires in self.loaded.items():
            model = self.server.find(name)
            if model is None or expires < now:
                continue
            entry = cards.entry(model)
            for key in ("modified_at", "capabilities"):
                del entry[key]
            entries.append(
                entry
                | {
                    "expires_at": _rfc3339(datetime.fromtimestamp(expires, UTC)),
                    "size_vram": entry["size"],
                    "context_length": model.context_length,
                }
            )
        return respond({"models": entries})

    async def show(self, request: web.Request) -> web.Response:
        body = await read_json(request)
        if isinstance(body, web.Response):
            return body
        name = body.get("model") or body.get("name")
        if not name:
            return error(400, "model is required")
        if not _is_name(name):
            return error(400, "invalid model name")
        model = self.server.find(name)
        if model is None or model.fault == "notfound":
            return error(404, f"model '{name.removesuffix(':latest')}' not found")
        if model.fault in PROXY_FAULTS:
            return refusal(model.fault, name)
        return respond(cards.details(model))

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await read_json(request)
        if isinstance(body, web.Response):
            return body
        name, messages = body.get("model"), body.get("messages") or []
        if problem := _duration_error(body.get("keep_alive")):
            return error(400, problem)
        if not name:
            return error(400, "model is required")
        if not _is_name(name):
            return error(400, "invalid model name")
        model = self.server.find(name)
        if model is None or model.fault == "content-filter":
            return error(404, f"model '{name}' not found")
        if problem := _option_error(body.get("options") or {}):
            return error(500, problem)
        if "completion" not in model.capabilities:
            return error(400, f'"{name}" does not support chat')
        if body.get("think") and "thinking" not in model.capabilities:
            return error(400, f'"{name}" does not support thinking')
        if not messages:
            return await self._load(model, name, body.get("keep_alive"))
        if body.get("_debug_render_only") and model.renders:
            return respond(
                {
                    "model": name,
                    "created_at": _timestamp(),
                    "message": {"role": "", "content": ""},
                    "done": False,
                    "_debug_info": {"rendered_template": model.render(messages)},
                }
            )
        self._keep(model, body.get("keep_alive"))
        limit = (body.get("options") or {}).get("num_predict")
        active_answer = self.server.start_answer(
            model,
            asked_name=name,
            messages=messages,
            stream=body.get("stream", True) is not False,
            max_tokens=limit if limit and limit > 0 else None,
        )
        async with self.server.record_answer(request, active_answer) as script:
            if body.get("think") is False:
                script = (step for step in script if not (isinstance(step, Say) and step.thought))
            return await play(request, OllamaWire(active_answer), script)

    async def _load(self, model: Model, name: str, keep_alive: Any) -> web.Response:
        """Empty messages load a model, or unload it with a ``keep_alive`` of 0."""
        match next(iter(model.script([])), None):
            case Refuse(fault):
                return refusal(fault, name)
            case Wait(seconds):
                await asyncio.sleep(FOREVER_SECONDS if seconds is None else seconds)
        self._keep(model, keep_alive)
        return respond(
            {
                "model": name,
                "created_at": _timestamp(),
                "message": {"role": "assistant", "content": ""},
                "done": True,
                "done_reason": "load" if model.tag_name in self.loaded else "unload",
            }
        )

    def _keep(self, model: Model, keep_alive: Any) -> None:
        seconds = _seconds(keep_alive)
        if seconds:
            self.loaded[model.tag_name] = time.time() + seconds
        else:
            self.loaded.pop(model.tag_name, None)

    async def embed(self, request: web.Request) -> web.StreamResponse:
        body = await read_json(request)
        if isinstance(body, web.Response):
            return body
        name, texts = body.get("model") or "", body.get("input")
        model = self.server.find(name)
        if model is None:
            if not name:
                return error(404, "model '' not found")
            return error(404, f'model "{name}" not found, try pulling it first')
        if texts is not None and not isinstance(texts, (str, list)):
            return error(400, "invalid input type")
        if isinstance(texts, list) and not all(isinstance(text, str) for text in texts):
            return error(400, "invalid input type")
        texts = [texts] if isinstance(texts, str) else texts or []
        active_answer = ActiveAnswer(model, name, [], stream=False)
        wire = OllamaVectors(active_answer, texts, body.get("dimensions"))
        async with self.server.record_answer(request, active_answer) as script:
            return await play(request, wire, script)


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and re.fullmatch(r"[\w.-][\w./:-]*", name) is not None


def _option_error(options: Mapping[str, Any]) -> str:
    for key, value in options.items():
        if key in _INTEGERS and not _is_number(value):
            return f'option "{key}" must be of type integer'
        if key in _FLOATS and not _is_number(value):
            return f'option "{key}" must be of type float32'
        if key == "stop":
            if not isinstance(value, list):
                return f'option "{key}" must be of type array'
            if not all(isinstance(item, str) for item in value):
                return f'option "{key}" must be of an array of strings'
    return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _nanoseconds(seconds: float) -> int:
    return max(int(seconds * 1e9), 1)


def _rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "001Z"


def _timestamp() -> str:
    return _rfc3339(datetime.now(UTC))


def _duration_error(keep_alive: Any) -> str:
    # Checked before everything else, by ``Duration.UnmarshalJSON`` in api/types.go.
    if keep_alive is None or _is_number(keep_alive):
        return ""
    if not isinstance(keep_alive, str):
        kinds = {bool: "bool", list: "[]interface {}", dict: "map[string]interface {}"}
        return f"Unsupported type: '{kinds[type(keep_alive)]}'"
    if keep_alive in ("0", "+0", "-0") or _DURATION.fullmatch(keep_alive):
        return ""
    unit = "missing unit in" if re.fullmatch(r"[-+]?\d+(\.\d*)?", keep_alive) else "invalid"
    return f"time: {unit} duration {json.dumps(keep_alive)}"


def _seconds(keep_alive: Any) -> float:
    """``keep_alive`` in seconds, from a number or a Go duration. Negative means forever."""
    if keep_alive is None:
        return KEEP_ALIVE_SECONDS
    if isinstance(keep_alive, str):
        parts = _PART.findall(keep_alive)
        size = sum(float(number) * _UNITS[unit] for number, unit in parts)
        keep_alive = -size if keep_alive.startswith("-") else size
    return keep_alive if keep_alive >= 0 else FOREVER_SECONDS
