"""The only reader of ``settings.FINETUNE_SWITCH``: typed, and read at call time.

Addresses and keys of model servers are in the settings alone: never in the database, in a page or
in a log line. ``connections`` makes objects of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from django.conf import settings

SETTING = "FINETUNE_SWITCH"


@dataclass(frozen=True)
class Deadlines:
    """Seconds a question may take: until its first token, between two tokens, and in all."""

    first_token: float = 30.0
    idle: float = 20.0
    total: float = 120.0

    def override(self, **seconds: float | None) -> Deadlines:
        """A copy in which every value that is given (not ``None``) takes the place of ours."""
        return replace(self, **{key: value for key, value in seconds.items() if value is not None})

    def with_options(self, options: Mapping[str, float] | None) -> Deadlines:
        """A copy with the seconds that a ``DEADLINES`` setting names."""
        return self.override(**{key.lower(): float(s) for key, s in (options or {}).items()})


EMBEDDING_BATCH_SIZE = 64
EMBEDDING_MAX_TOKENS = 512


@dataclass(frozen=True)
class EmbeddingSettings:
    """Which model makes the vectors of the index, where it is not the embedded one.

    ``dimensions`` asks the model for vectors of that size; ``batch_size`` is in texts a request.
    """

    connection: str
    model_name: str
    dimensions: int | None = None
    batch_size: int = EMBEDDING_BATCH_SIZE
    max_tokens: int = EMBEDDING_MAX_TOKENS
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class VisitorSettings:
    """What visitors may ask, ``FINETUNE_SWITCH["VISITORS"]``. A limit that is ``None`` is off.

    ``questions_a_minute`` and ``questions_a_day`` hold for each visitor; the others for all
    visitors of a site. ``streams`` are answers under way at once; the length is in characters.
    ``trusted_proxies`` is how many entries of ``X-Forwarded-For``, from the last, are believed.
    """

    fact_lock: bool = True
    questions_a_minute: int | None = 10
    questions_a_day: int | None = 100
    site_questions_a_day: int | None = 5000
    site_dollars_a_month: float | None = None
    when_used_up: str = "extractive"
    streams: int | None = 100
    max_question_length: int | None = 1000
    allowed_origins: Sequence[str] = ()
    trusted_proxies: int = 0
    cache: str = "default"


CONNECTION_OPTIONS: Mapping[str, str] = {
    "PROVIDER": "the provider as litellm names it: openai, ollama_chat, …",
    "LABEL": "a name for people",
    "API_BASE": "the server's address: a string, or a callable that returns one",
    "API_KEY": "the key to sign in with",
    "DATA_DESTINATION": 'in words, where a question goes: "our own server, London"',
    "DEADLINES": "seconds: FIRST_TOKEN, IDLE, TOTAL",
}
REQUIRED_CONNECTION_OPTIONS = ("PROVIDER", "DATA_DESTINATION")
DEADLINE_OPTIONS = ("FIRST_TOKEN", "IDLE", "TOTAL")

OPTIONS: Mapping[str, Any] = {
    "CONNECTIONS": {},
    "DEADLINES": {},
    "SEED_BACKEND": None,
    "RECORD_VISITOR_QUESTIONS": True,
    "RETENTION_DAYS": 90,
    "INDEX": {},
    "VISITORS": {},
}
SEED_OPTIONS = ("CONNECTION", "MODEL_NAME", "ALIAS", "LABEL", "CONTEXT_WINDOW")
INDEX_OPTIONS = (
    "EMBEDDINGS",
    "STORE",
    "MODELS",
    "EXCLUDE_PAGE_TYPES",
    "EXCLUDE_FIELDS",
    "BLOCK_ANCHOR",
)
VISITORS_OPTIONS = tuple(option.name.upper() for option in fields(VisitorSettings))
WHEN_USED_UP = ("extractive", "search")
EMBEDDING_OPTIONS = (
    "CONNECTION",
    "MODEL_NAME",
    "DIMENSIONS",
    "BATCH_SIZE",
    "MAX_TOKENS",
    "PARAMETERS",
)
REQUIRED_EMBEDDING_OPTIONS = ("CONNECTION", "MODEL_NAME")


def _get(option: str) -> Any:
    return getattr(settings, SETTING, {}).get(option, OPTIONS[option])


def default_deadlines() -> Deadlines:
    return Deadlines().with_options(_get("DEADLINES"))


def declared_connections() -> Mapping[str, Any]:
    """The options of each connection by its alias, as they are written in the settings."""
    return _get("CONNECTIONS") or {}


def connection_aliases() -> list[str]:
    return list(declared_connections())


def seed_backend() -> Mapping[str, Any] | None:
    """What the first backend row is made from (``MODEL_NAME`` in the environment), or nothing."""
    seed = _get("SEED_BACKEND")
    return seed if seed and seed.get("MODEL_NAME") and seed.get("CONNECTION") else None


def record_visitor_questions() -> bool:
    return bool(_get("RECORD_VISITOR_QUESTIONS"))


def retention_days() -> int | None:
    """Days a visitor's exchange is kept, or ``None`` for ever."""
    days = _get("RETENTION_DAYS")
    return None if days is None else int(days)


def _index(option: str) -> Any:
    return (_get("INDEX") or {}).get(option)


def embedding_settings() -> EmbeddingSettings | None:
    """Which embedding model the settings ask for; ``None`` is the embedded one."""
    values = _index("EMBEDDINGS")
    if not values:
        return None
    dimensions = values.get("DIMENSIONS")
    return EmbeddingSettings(
        connection=str(values.get("CONNECTION") or ""),
        model_name=str(values.get("MODEL_NAME") or ""),
        dimensions=int(dimensions) if dimensions else None,
        batch_size=int(values.get("BATCH_SIZE") or EMBEDDING_BATCH_SIZE),
        max_tokens=int(values.get("MAX_TOKENS") or EMBEDDING_MAX_TOKENS),
        parameters=values.get("PARAMETERS") or {},
    )


def index_store() -> str | None:
    """The store that the settings name, or ``None`` to let the database decide."""
    return _index("STORE") or None


def indexed_model_labels() -> list[str]:
    """Models beside pages that are indexed, as ``app_label.ModelName``."""
    return list(_index("MODELS") or [])


def excluded_page_types() -> list[str]:
    """Page types that are left out of the index, as ``app_label.ModelName``."""
    return list(_index("EXCLUDE_PAGE_TYPES") or [])


def excluded_fields() -> list[str]:
    return list(_index("EXCLUDE_FIELDS") or [])


def block_anchor() -> str:
    """The anchor of a StreamField's block on its page, such as ``block-{id}``; empty for none."""
    return str(_index("BLOCK_ANCHOR") or "")


def visitors() -> VisitorSettings:
    given = _get("VISITORS") or {}
    return VisitorSettings(
        **{option.lower(): given[option] for option in VISITORS_OPTIONS if option in given}
    )


def fact_lock() -> bool:
    """Whether visitors are told only such details as stand in a passage."""
    return visitors().fact_lock is not False
