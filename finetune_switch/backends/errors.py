"""Convert errors of litellm and model servers to messages that are safe to show.

The original messages are logged, without keys.
"""

from __future__ import annotations

import logging
import re
import socket
from typing import Any
from urllib.parse import urlsplit

from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from finetune_switch.exceptions import BackendError, DeadlineExceeded
from finetune_switch.models import Outcome
from finetune_switch.models.parameters import PARAMETERS

from .base import BackendConfig
from .clients import RedirectRefused

logger = logging.getLogger("finetune_switch.backends")

# Names with their values, the Authorization header, and keys by their prefixes.
_SECRET = re.compile(
    r"""(?ix)
    (?:key|token|secret|password) ["']? [-_\s=:]+ ["']? [\w.~+/=-]{6,}
    | \b(?:bearer|basic) [\s:=]+ ["']? [\w.~+/=-]{6,}
    | \b(?:sk|pk|rk|gsk|hf|xai|nvapi) [-_] [\w.-]{6,}
    | \bAIza [\w-]{6,}
    """
)
# As in messages of Ollama, llama-server and OpenAI.
_TOO_LONG = re.compile(r"context[ _](length|size|window)", re.IGNORECASE)
_MAX_RETRY_AFTER = 30.0
# The names of our parameters in litellm and model servers, where they differ.
_FOREIGN_NAMES = {
    "reasoning_effort": "reasoning",
    "think": "reasoning",
    "thinking": "reasoning",
    "max_completion_tokens": "max_tokens",
    "num_predict": "max_tokens",
}
_PARAMETER_NAME = re.compile(rf"\b({'|'.join([*PARAMETERS, *_FOREIGN_NAMES])})\b")
# Errors whose remedy mentions a connection, which backends of adapters do not have.
REDIRECTS = (301, 302, 303, 307, 308)
_ABOUT_A_CONNECTION = ("failed", "unauthorized", "unknown_host", "refused", "not_a_model_server")
_JSON, _PY = "json.decoder", "builtins"


def is_worth_another_try(error: BaseException) -> bool:
    return bool(getattr(error, "retryable", False))


def translate(
    error: Exception, config: BackendConfig, *, in_stream: bool = False, detail: str = ""
) -> BackendError:
    """Convert an exception of litellm or its libraries, and log it.

    ``detail`` is the server's own message. After the start of a stream (``in_stream``), the error
    is never retryable.
    """
    status = getattr(error, "status_code", None)
    text = f"{detail} {error}"
    logger.warning(
        "Backend %s failed: %s (status %s): %s",
        config.alias,
        type(error).__name__,
        status,
        _without_secrets(text, config)[:300],
    )
    if in_stream and detail:
        return failed_in_stream(detail)
    found = _by_redirect(error, config) or (_by_cause(error, config) if not in_stream else None)
    found = found or _by_parameter(error)
    found = found or _by_kind(type(error).__name__, status, text, config, in_stream=in_stream)
    if config.connection is None and found.code in _ABOUT_A_CONNECTION:
        if found.code == "not_a_model_server":
            found = from_status(None, "")
        found.remedy = _("Look at what the settings declare as “%s”, and at the log.") % (
            config.label
        )
    found.retryable = not in_stream and found.code in ("busy", "rate_limited", "load_failed")
    found.retry_after = _retry_after(error)
    return found


def _by_cause(error: BaseException, config: BackendConfig) -> BackendError | None:
    """The error for a cause of litellm's exception that is clearer than the exception itself."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        match cause:
            case socket.gaierror():
                return unreachable_server("getaddrinfo", _alias(config))
            case ConnectionRefusedError():
                return unreachable_server("refused", _alias(config))
            case ConnectionResetError():
                return cut()
            # litellm or an SDK could not parse the reply.
            case ValueError() | AttributeError() if (
                # In the class of an adapter, these may mean anything.
                config.connection is not None and type(cause).__module__ in ("json", _JSON, _PY)
            ):
                return not_a_model_server(config)
        cause = cause.__cause__ or cause.__context__
    return None


def _by_redirect(error: BaseException, config: BackendConfig) -> BackendError | None:
    """The error for a reply that names another address."""
    cause: BaseException | None = error
    for _depth in range(10):
        if cause is None:
            return None
        if isinstance(cause, RedirectRefused):
            return redirected(cause.location, _alias(config))
        response: Any = getattr(cause, "response", None)
        if response is not None and getattr(response, "status_code", None) in REDIRECTS:
            return redirected(response.headers.get("location", ""), _alias(config))
        cause = cause.__cause__ or cause.__context__
    return None


def redirected(location: str, alias: str) -> BackendError:
    """The error for a redirect, which is not followed, since it may lead to another host."""
    try:
        parts = urlsplit(location)
        # Without a path or credentials, which may be secret.
        where = f"{parts.scheme}://{parts.hostname}" if parts.hostname else parts.path[:60]
        if parts.hostname and parts.port:
            where += f":{parts.port}"
    except ValueError:
        where = ""
    return BackendError(
        gettext_lazy("The model server wants to send the question to another address."),
        code="redirected",
        remedy=_(
            "It was not sent on. The server names “%(where)s”: if that is right, set API_BASE of "
            'the connection "%(alias)s" to it.'
        )
        % {"where": where, "alias": alias},
    )


def _by_parameter(error: Exception) -> BackendError | None:
    """The error for a parameter that litellm or the server rejects."""
    said = str(error)
    told = getattr(error, "param", None)
    if type(error).__name__ != "UnsupportedParamsError" and not (
        getattr(error, "code", None) in ("unsupported_parameter", "unsupported_value")
        or "does not support thinking" in said
    ):
        return None
    # Show the name of a known parameter only, not the vendor's message.
    found = _PARAMETER_NAME.search(told if isinstance(told, str) else said)
    name = _FOREIGN_NAMES.get(found[1], found[1]) if found else ""
    return BackendError(
        gettext_lazy("The model does not take one of its parameters."),
        code="unsupported_parameter",
        remedy=_("Empty “%s” on this backend's page, and check it again.") % name
        if name
        else _("Empty the parameters of this backend one by one, and check it again."),
    )


def _by_kind(
    kind: str, status: int | None, text: str, config: BackendConfig, *, in_stream: bool
) -> BackendError:
    lowered = text.lower()
    if kind in ("Timeout", "APITimeoutError") or "timed out" in lowered:
        return first_token_deadline(config.deadlines.first_token)
    if in_stream and kind in (
        "MidStreamFallbackError",
        "ServiceUnavailableError",
        "APIConnectionError",
        "InternalServerError",
        "APIError",
        # Raised by stream readers: a lost connection, or an event that is not JSON.
        "ReadError",
        "RemoteProtocolError",
        "JSONDecodeError",
    ):
        return cut()
    by_class = {
        "AuthenticationError": 401,
        "PermissionDeniedError": 403,
        "NotFoundError": 404,
    }
    if (named := by_class.get(kind, status)) in (401, 403, 404):
        return from_status(named, _alias(config))
    if kind == "ContextWindowExceededError" or _TOO_LONG.search(text):
        return context_overflow()
    if kind == "ContentPolicyViolationError":
        return content_filter()
    if "insufficient_quota" in lowered or "exceeded your current quota" in lowered:
        return BackendError(
            gettext_lazy("The account with the model's provider has no credit left."),
            code="quota",
            remedy=_("Top up the account, or switch to another backend."),
        )
    # litellm's message for a reply that is a web page.
    if "invalid response from llm endpoint" in lowered:
        return not_a_model_server(config)
    if status == 429 or kind == "RateLimitError":
        return from_status(429, _alias(config))
    if status in (502, 503, 504) or kind == "ServiceUnavailableError":
        return from_status(503, _alias(config))
    if "disconnected" in lowered or "payload is not completed" in lowered:
        return cut()
    if (
        "cannot connect" in lowered
        or "connection error" in lowered
        or kind == ("APIConnectionError")
    ):
        return unreachable_server(lowered, _alias(config))
    if status == 500 or kind == "InternalServerError":
        return from_status(500, _alias(config))
    if kind in ("JSONDecodeError", "APIResponseValidationError") or "json" in lowered:
        return not_a_model_server(config)
    return from_status(None, _alias(config))


def from_status(status: int | None, alias: str) -> BackendError:
    """The error for an HTTP status of a model server."""
    match status:
        case 401:
            return BackendError(
                gettext_lazy("The model server did not accept our key."),
                code="unauthorized",
                remedy=_('Renew API_KEY of the connection "%s" in the settings.') % alias,
            )
        case 403:
            return BackendError(
                gettext_lazy("The model server refuses to answer us."),
                code="forbidden",
                remedy=_("The key may not use this model, or a proxy in front of it refuses."),
            )
        case 404:
            return BackendError(
                gettext_lazy("The model server has no model of this name."),
                code="model_not_found",
                remedy=_("Choose one that it has: “Show models” on the backend's page lists them."),
            )
        case 429:
            return BackendError(
                gettext_lazy("The model's provider is receiving too many requests at the moment."),
                code="rate_limited",
                remedy=_("Wait a minute, or raise the limit with the provider."),
            )
        case 502 | 503 | 504:
            return BackendError(
                gettext_lazy("The model server is busy."),
                code="busy",
                remedy=_("Wait a minute and try again."),
            )
        case 500:
            return BackendError(
                gettext_lazy("The model server could not run the model."),
                code="load_failed",
                remedy=_(
                    "Look at the server's log: memory, or a model that its version cannot load."
                ),
            )
    return BackendError(
        gettext_lazy("The model server did not answer as it should."),
        code="failed",
        remedy=_("“Check connection” on the backend's page shows more."),
    )


def unreachable_server(text: str, alias: str) -> BackendError:
    """The error for a failed connection; ``text`` is the message in lower case."""
    if re.search(r"name or service|nodename|getaddrinfo|name resolution|no address", text):
        return BackendError(
            gettext_lazy("The model server's name is not known."),
            code="unknown_host",
            remedy=_('Check API_BASE of the connection "%s" for a typo.') % alias,
        )
    return BackendError(
        gettext_lazy("The model server does not take connections."),
        code="refused",
        remedy=_("Is it running, and does API_BASE name the right address and port?"),
    )


def first_token_deadline(seconds: float) -> DeadlineExceeded:
    return DeadlineExceeded(
        format_lazy(
            gettext_lazy("The model did not begin to answer within {seconds} seconds."),
            seconds=f"{seconds:g}",
        ),
        code="first_token_timeout",
        remedy=_("It may be loading or busy: check it, or give it longer for the first word."),
    )


def idle_deadline(seconds: float) -> DeadlineExceeded:
    return DeadlineExceeded(
        gettext_lazy("The model stopped in the middle of its answer."),
        code="stalled",
        remedy=_("Nothing came for %g seconds. The server may be overloaded.") % seconds,
    )


def total_deadline(seconds: float) -> DeadlineExceeded:
    return DeadlineExceeded(
        gettext_lazy("The model took too long and was stopped."),
        code="total_timeout",
        remedy=_("An answer may take %g seconds. Shorten answers, or give it longer.") % seconds,
    )


def failed_in_stream(detail: str) -> BackendError:
    if _TOO_LONG.search(detail):
        return context_overflow()
    return BackendError(
        gettext_lazy("The model broke off in the middle of its answer."),
        code="broke_off",
        remedy=_("The server reported an error while the model was writing; its log says more."),
    )


def cut() -> BackendError:
    return BackendError(
        gettext_lazy("The connection to the model was lost in the middle of its answer."),
        code="cut",
        remedy=_("The server or a proxy closed it. If it happens again, look at their logs."),
    )


# The reasons of a normal end, as servers name them.
NORMAL_ENDS = frozenset(
    ("", "stop", "stop_sequence", "stop_token", "eos", "eos_token", "end_turn", "complete", "end")
)
# The answer is too long for the model or for the backend's limit.
LENGTH_ENDS = ("length", "max_tokens", "max_length", "max_output_tokens", "model_length")
_FILTER_ENDS = ("content_filter", "safety", "recitation", "prohibited_content", "blocklist", "spii")
_TOOL_ENDS = ("tool_calls", "function_call", "tool_use")


def unusual_end(reason: str) -> BackendError:
    """The error for a ``finish_reason`` that is not in :data:`NORMAL_ENDS`."""
    if reason in _FILTER_ENDS or reason == "refusal":
        return content_filter()
    if reason in _TOOL_ENDS:
        return BackendError(
            gettext_lazy("The model wanted to use a tool instead of answering."),
            code="tool_call",
            remedy=_("Choose a model that answers in words: it has no tools here."),
        )
    if reason in LENGTH_ENDS:
        remedy = _(
            "The answer reached the longest length: raise “max_tokens” of the backend, or its "
            "context window, or ask for shorter answers in its instructions."
        )
    else:
        remedy = _("The server stopped early (it says “%s”): look at its log.") % reason[:40]
    return BackendError(
        gettext_lazy("The answer was cut off here."), code=Outcome.CUT_OFF.value, remedy=remedy
    )


def not_a_model_server(config: BackendConfig) -> BackendError:
    return BackendError(
        gettext_lazy("Something other than a model server answered."),
        code="not_a_model_server",
        remedy=_('Look at PROVIDER and API_BASE of the connection "%s".') % _alias(config),
    )


def empty_answer() -> BackendError:
    return BackendError(
        gettext_lazy("The model gave an empty answer."),
        code="empty",
        remedy=_("Its template or a stop text may be wrong: check the backend."),
    )


def content_filter() -> BackendError:
    return BackendError(
        gettext_lazy("The model's provider withheld the answer."),
        code="content_filter",
        remedy=_("Its content filter objected to the question or to the answer."),
    )


def context_overflow() -> BackendError:
    return BackendError(
        gettext_lazy("The question and its passages are too long for this model."),
        code="context_overflow",
        remedy=_("Lower the number of passages, or set the backend's context window right."),
    )


def name_leads_elsewhere(model_name: str, word: str) -> BackendError:
    return BackendError(
        gettext_lazy("Questions to a model of this name would leave our server."),
        code="name_leads_elsewhere",
        remedy=_("Rename “%(model)s” on its server, to a name without “%(word)s”.")
        % {"model": model_name, "word": word},
    )


def cloud_model(config: BackendConfig) -> BackendError:
    return BackendError(
        gettext_lazy("This model runs in Ollama's cloud, not on our own server."),
        code="cloud_model",
        remedy=_("Choose a model whose name does not end in “cloud”: %s.") % config.model_name,
    )


def _alias(config: BackendConfig) -> str:
    return config.connection.alias if config.connection else config.alias


def _retry_after(error: Exception) -> float | None:
    headers: Any = getattr(error, "litellm_response_headers", None) or getattr(
        getattr(error, "response", None), "headers", None
    )
    try:
        seconds = float((headers or {})["retry-after"])
    except (KeyError, TypeError, ValueError):
        return None
    return min(max(seconds, 0.0), _MAX_RETRY_AFTER)


def _without_secrets(text: str, config: BackendConfig) -> str:
    if config.connection is not None and (key := config.connection.api_key):
        text = text.replace(key, "[removed]")
    return _SECRET.sub("[removed]", text)
