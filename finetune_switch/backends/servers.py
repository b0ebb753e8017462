"""List the models of a server, and read their details.

Uses Ollama's API (``/api/version``, ``/api/tags``, ``/api/show``, ``/api/chat``) and ``/models`` of
OpenAI and compatible servers.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from finetune_switch.connections import Connection
from finetune_switch.exceptions import BackendError

if TYPE_CHECKING:
    import ssl

    import httpx

logger = logging.getLogger("finetune_switch.servers")

LIST_SECONDS = 3.0
MAX_BODY = 16 * 1024 * 1024
# Larger Unix times are in milliseconds. In seconds, this is the year 5138.
MILLISECONDS_FROM = 100_000_000_000
OPENAI_API_BASE = "https://api.openai.com/v1"
OLLAMA_API_BASE = "http://localhost:11434"


@dataclass(frozen=True)
class ModelInfo:
    """A model of a server, with the announced date of its shutdown."""

    name: str
    shutdown_date: date | None = None


@dataclass(frozen=True)
class OllamaModel:
    """A model as described by ``/api/show``. ``context_length`` is in tokens."""

    name: str
    template: str = ""
    parameters: str = ""
    parent_model: str = ""
    context_length: int | None = None

    @property
    def has_place_for_instructions(self) -> bool:
        """Whether the template includes system messages. Otherwise Ollama drops them."""
        return ".System" in self.template or ".Messages" in self.template


@cache
def _certificates() -> ssl.SSLContext:
    """The trusted certificates. Reading them takes longer than a request to a near server."""
    import httpx

    return httpx.create_ssl_context()


class ModelServer:
    """A client for the models of a connection's server, not for questions.

    Failures are raised as :class:`~finetune_switch.exceptions.BackendError` with a remedy.
    """

    def __init__(self, connection: Connection, *, seconds: float = LIST_SECONDS) -> None:
        self.connection = connection
        self.seconds = seconds

    def models(self) -> list[ModelInfo]:
        """The chat models of the server, sorted by name."""
        if self.connection.is_ollama:
            # Newer versions list capabilities, which rule out embedding models.
            found = [
                ModelInfo(str(model.get("name") or ""))
                for model in self._listed("/api/tags", "models")
                if "completion" in (model.get("capabilities") or ["completion"])
            ]
        else:
            found = [
                ModelInfo(str(model.get("id") or ""), _as_date(model.get("shutdown_date")))
                for model in self._listed("/models", "data")
            ]
        return sorted((model for model in found if model.name), key=lambda model: model.name)

    def version(self) -> str:
        """Ollama's version. Raises ``BackendError`` for other servers."""
        version = self._json("GET", "/api/version").get("version")
        if not isinstance(version, str):
            raise self._not_what_it_should_be()
        return version

    def show(self, model: str) -> OllamaModel:
        """The details of a model of Ollama."""
        data = self._json("POST", "/api/show", json={"model": model})
        info = data.get("model_info") or {}
        lengths = [value for key, value in info.items() if key.endswith(".context_length")]
        return OllamaModel(
            name=model,
            template=str(data.get("template") or ""),
            parameters=str(data.get("parameters") or ""),
            parent_model=str((data.get("details") or {}).get("parent_model") or ""),
            context_length=lengths[0] if lengths and isinstance(lengths[0], int) else None,
        )

    def digest(self, model: str) -> str:
        """The digest of an Ollama model's manifest; empty if unknown."""
        wanted = {model, f"{model}:latest"}
        for listed in self._listed("/api/tags", "models"):
            if listed.get("name") in wanted:
                return str(listed.get("digest") or "")
        return ""

    def load(self, model: str) -> None:
        """Have Ollama load a model, by a chat without messages."""
        self._json("POST", "/api/chat", json={"model": model, "messages": [], "stream": False})

    def render(self, model: str, messages: list[dict[str, str]]) -> str | None:
        """The rendered prompt, without running the model; ``None`` if Ollama does not tell."""
        data = self._json(
            "POST",
            "/api/chat",
            json={
                "model": model,
                "messages": messages,
                "stream": False,
                "_debug_render_only": True,
            },
        )
        rendered = (data.get("_debug_info") or {}).get("rendered_template")
        return rendered if isinstance(rendered, str) else None

    def _listed(self, path: str, key: str) -> list[dict[str, Any]]:
        listed = self._json("GET", path).get(key) or []
        if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
            raise self._not_what_it_should_be()
        return listed

    def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        # Imported here because it would slow down each start by 0.1 s.
        import httpx

        base = self.connection.get_api_base() or self._default_api_base()
        headers = (
            {"Authorization": f"Bearer {self.connection.api_key}"}
            if self.connection.api_key
            else {}
        )
        try:
            with httpx.stream(
                method,
                f"{base}{path}",
                headers=headers,
                timeout=self.seconds,
                verify=_certificates(),
                **options,
            ) as response:
                body = self._read(response)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise self._unreachable(error) from error
        from .errors import REDIRECTS, redirected

        if response.status_code in REDIRECTS:
            raise redirected(response.headers.get("location", ""), self.connection.alias)
        if response.status_code >= 400:
            raise self._refused(response)
        try:
            data = json.loads(body)
        except ValueError as error:
            raise self._not_what_it_should_be() from error
        if not isinstance(data, dict):
            raise self._not_what_it_should_be()
        return data

    def _default_api_base(self) -> str:
        if self.connection.is_ollama:
            return OLLAMA_API_BASE
        if self.connection.provider == "openai":
            return OPENAI_API_BASE
        # The key of another provider must not be sent to OpenAI.
        raise BackendError(
            gettext_lazy("This provider's models cannot be listed."),
            code="not_listed",
            remedy=_("Type the model's name as its provider gives it."),
        )

    def _read(self, response: httpx.Response) -> bytes:
        """The body, within the deadline. httpx restarts its timeout with each read."""
        import httpx

        deadline = time.monotonic() + self.seconds
        body = bytearray()
        for piece in response.iter_bytes():
            body += piece
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout("the body took too long")
            if len(body) > MAX_BODY:
                raise self._not_what_it_should_be()
        return bytes(body)

    def _unreachable(self, error: Exception) -> BackendError:
        import httpx

        if isinstance(error, httpx.TimeoutException):
            return BackendError(
                gettext_lazy("The model server did not answer in time."),
                code="timeout",
                remedy=_("It was given %g seconds. It may be loading a model, or overloaded.")
                % self.seconds,
            )
        from .errors import unreachable_server

        return unreachable_server(str(error).lower(), self.connection.alias)

    def _refused(self, response: httpx.Response) -> BackendError:
        from .errors import from_status

        logger.warning(
            "The server of connection %s said %s to %s.",
            self.connection.alias,
            response.status_code,
            response.request.url.path,
        )
        if response.status_code == 404 and "json" not in response.headers.get("content-type", ""):
            return self._not_what_it_should_be()
        return from_status(response.status_code, self.connection.alias)

    def _not_what_it_should_be(self) -> BackendError:
        if self.connection.is_ollama:
            return BackendError(
                gettext_lazy("Something other than an Ollama server answered."),
                code="not_a_model_server",
                remedy=_(
                    'API_BASE of the connection "%s" must be the address of an Ollama server, '
                    "without a path; a proxy before it must pass /api/ on."
                )
                % self.connection.alias,
            )
        return BackendError(
            gettext_lazy("Something other than a model server answered."),
            code="not_a_model_server",
            remedy=_(
                'API_BASE of the connection "%s" must be the address before /models; it '
                "often ends in /v1."
            )
            % self.connection.alias,
        )


def _as_date(value: Any) -> date | None:
    """Convert a Unix time, in seconds or milliseconds, or an ISO date; else ``None``."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        seconds = value / 1000 if value >= MILLISECONDS_FROM else value
        try:
            return datetime.fromtimestamp(seconds, tz=UTC).date()
        except (ValueError, OverflowError, OSError):
            return None
    if isinstance(value, str):
        try:
            return date.fromisoformat(value[:10])
        except ValueError:
            return None
    return None
