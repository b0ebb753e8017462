"""Embeddings through litellm, with the same deadlines and retries as chat backends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from finetune_switch.backends import errors
from finetune_switch.backends.background import run
from finetune_switch.backends.base import BackendConfig
from finetune_switch.backends.calls import (
    DeadlineTimer,
    address_of,
    aimport_litellm,
    call_with_retries,
    import_litellm,
    key_for,
)
from finetune_switch.backends.clients import client_arguments
from finetune_switch.conf import EMBEDDING_BATCH_SIZE, EMBEDDING_MAX_TOKENS
from finetune_switch.connections import Connection
from finetune_switch.exceptions import BackendError, DeadlineExceeded, EmbeddingError
from finetune_switch.models.parameters import is_cloud_model

from .base import Thresholds, Vectors, WrongDimensions, check_vectors, clean_texts

# OpenAI takes 300,000 tokens in one request.
MAX_REQUEST_TOKENS = 250_000
OLLAMA_ADDRESS = "http://localhost:11434"
# The exceptions of httpx for a connection that is lost within a reply.
BROKEN_OFF = ("ReadError", "RemoteProtocolError")


class _Zero(int):
    """A 0 that is true. litellm takes a false ``max_retries`` of embeddings for the default, 2."""

    def __bool__(self) -> bool:
        return True


NO_RETRIES = _Zero()

_shortened: set[tuple[str, str, int]] = set()
"""Models (alias, name, dimensions) that return shortened vectors on request."""


class LiteLLMEmbedder:
    """An embedder for every provider of litellm.

    ``dimensions`` requests vectors of that size, which not every model supports. ``expected`` is
    the required size, which is not requested. A single text is taken for a question, with the
    deadline for a first token; several texts have the total deadline. ``parameters`` are passed on
    unchanged.
    """

    title_share = 0.0
    thresholds = Thresholds()

    def __init__(
        self,
        connection: Connection,
        model_name: str,
        *,
        dimensions: int | None = None,
        expected: int | None = None,
        batch_size: int = EMBEDDING_BATCH_SIZE,
        max_tokens: int = EMBEDDING_MAX_TOKENS,
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        self.connection = connection.alias
        self.model_name = model_name
        self.dimensions = expected or dimensions
        self.max_tokens = max_tokens
        self.batch_size = max(1, min(batch_size, MAX_REQUEST_TOKENS // max_tokens))
        self._server = connection
        self._parameters = dict(parameters or {})
        self._asks_for_size = dimensions is not None or self._identity in _shortened

    @property
    def _identity(self) -> tuple[str, str, int]:
        return self.connection, self.model_name, self.dimensions or 0

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See :class:`~.base.Embedder`. Sends batches of ``batch_size`` one after another."""
        return run(self.aembed(texts))

    async def aembed(self, texts: Sequence[str]) -> Vectors:
        texts = clean_texts(texts)
        if not texts:
            return check_vectors([], 0, self.dimensions)
        litellm = await aimport_litellm()
        vectors = [await self._embed_batch(litellm, batch) for batch in self._batches(texts)]
        return np.concatenate(vectors) if len(vectors) > 1 else vectors[0]

    def count_tokens(self, text: str) -> int:
        """Count by OpenAI's tokenizer. Counts of other models differ by some percent."""
        return import_litellm().token_counter(model="", text=text)

    def _batches(self, texts: list[str]) -> Iterator[list[str]]:
        for start in range(0, len(texts), self.batch_size):
            yield texts[start : start + self.batch_size]

    async def _embed_batch(self, litellm: Any, texts: list[str]) -> Vectors:
        try:
            vectors = await self._ask(litellm, texts)
        except WrongDimensions as error:
            if self._asks_for_size or error.found < (self.dimensions or 0):
                raise
            # The index has shortened vectors, which an earlier setting requested.
            self._asks_for_size = True
            try:
                vectors = await self._ask(litellm, texts)
            except EmbeddingError:
                self._asks_for_size = False
                raise error from None
            _shortened.add(self._identity)
        self.dimensions = vectors.shape[1]
        return vectors

    async def _ask(self, litellm: Any, texts: list[str]) -> Vectors:
        """Embed one batch, with retries within one deadline."""
        config = self._config(is_question=len(texts) == 1)
        clock = DeadlineTimer(config)

        async def call() -> Vectors:
            arguments = self._arguments(texts, config, await address_of(self._server, clock))
            if self._server.provider == "openai":
                key, base = arguments.get("api_key"), arguments.get("api_base")
                arguments |= client_arguments("openai", base, key)
            response = await clock.wait(litellm.aembedding(**arguments))
            return check_vectors(_rows(response, config), len(texts), self.dimensions)

        try:
            return await call_with_retries(
                call, clock, lambda error: _as_ours(_translate(error, config))
            )
        except DeadlineExceeded as error:
            raise _too_slow(config) from error
        except EmbeddingError:
            raise
        except BackendError as error:
            raise _as_ours(error) from error

    def _config(self, *, is_question: bool) -> BackendConfig:
        deadlines = self._server.deadlines
        if not is_question:
            deadlines = deadlines.override(first_token=deadlines.total)
        return BackendConfig(
            alias="embeddings",
            label=self._server.label,
            model_name=self.model_name,
            connection=self._server,
            deadlines=deadlines,
        )

    def _arguments(
        self, texts: list[str], config: BackendConfig, api_base: str | None
    ) -> dict[str, Any]:
        if is_cloud_model(self._server.provider, self.model_name):
            raise errors.cloud_model(config)
        provider = self._server.provider
        if self._server.is_ollama:
            provider = "ollama"
            if self._server.api_key:
                # litellm sends a key to the OpenAI-compatible path of Ollama only.
                provider, api_base = "openai", f"{api_base or OLLAMA_ADDRESS}/v1"
        arguments: dict[str, Any] = {
            **self._parameters,
            "model": f"{provider}/{self.model_name}",
            "input": texts,
            "api_base": api_base,
            "api_key": key_for(self._server, api_base),
            # Our deadlines pass first. This one ends abandoned reads.
            "timeout": config.deadlines.total + 5,
            "max_retries": NO_RETRIES,
        }
        if self._asks_for_size:
            # By default, litellm allows it for OpenAI's newest models only.
            arguments |= {"dimensions": self.dimensions, "allowed_openai_params": ["dimensions"]}
        return {name: value for name, value in arguments.items() if value is not None}


def _rows(response: Any, config: BackendConfig) -> list[Any]:
    """The vectors of a response, in the order of the texts."""
    try:
        items = sorted(response.data, key=lambda item: item["index"] or 0)
        return [item["embedding"] for item in items]
    except (AttributeError, KeyError, TypeError) as error:
        raise _as_ours(errors.not_a_model_server(config)) from error


def _translate(error: Exception, config: BackendConfig) -> BackendError:
    found, causes = errors.translate(error, config), _causes(error)
    # litellm reports all of these as a connection error; the causes are more specific.
    if found.code == "refused":
        if any(type(cause).__name__ in BROKEN_OFF for cause in causes):
            found = errors.cut()
        elif any(isinstance(cause, KeyError | TypeError) for cause in causes):
            found = errors.not_a_model_server(config)
    # A retry is safe, because it gives the same vectors.
    found.retryable = found.retryable or found.code == "cut"
    return found


def _causes(error: BaseException) -> list[BaseException]:
    """The exception and its causes."""
    found = [error]
    while (cause := error.__cause__ or error.__context__) is not None and cause not in found:
        found.append(cause)
        error = cause
    return found


def _too_slow(config: BackendConfig) -> EmbeddingError:
    return EmbeddingError(
        format_lazy(
            gettext_lazy("Embeddings: the model did not answer within {seconds} seconds."),
            seconds=f"{min(config.deadlines.first_token, config.deadlines.total):g}",
        ),
        code="timeout",
        remedy=_(
            'It may be loading or busy. Send fewer texts at once (BATCH_SIZE), or give "%s" longer '
            "DEADLINES."
        )
        % (config.connection.alias if config.connection else config.alias),
    )


def _as_ours(error: BackendError) -> EmbeddingError:
    """Convert an error of chat backends, with a remedy for embeddings."""
    remedies = {
        "model_not_found": _("Look at MODEL_NAME; with Ollama, pull the model first."),
        "unsupported_parameter": _("Remove PARAMETERS and DIMENSIONS one by one."),
        "quota": _("Top up the account with the provider."),
        "context_overflow": _("Lower MAX_TOKENS, and rebuild the index."),
        "failed": _("The log of this site and that of the server say more."),
    }
    reason: Any = error.args[0]
    if error.code == "context_overflow":
        reason = gettext_lazy("A text is too long for this model.")
    found = EmbeddingError(
        format_lazy(gettext_lazy("Embeddings: {reason}"), reason=reason),
        code=error.code,
        remedy=remedies.get(error.code, error.remedy),
    )
    found.retryable, found.retry_after = error.retryable, error.retry_after
    return found
