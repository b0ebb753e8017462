"""Typed access to ``settings.FINETUNE_SWITCH``, read at call time.

No other module reads the setting, except the checks. Addresses and keys of model servers are only
in the settings: never in the database, on a page or in a log line. ``connections`` makes objects of
them. ``checks.options`` says which values an option takes; here a value of the wrong kind counts as
left out where that is possible, so that a site goes on answering.
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
        """A copy with every value that is given and not ``None``."""
        return replace(self, **{key: value for key, value in seconds.items() if value is not None})

    def with_options(self, options: Any) -> Deadlines:
        """A copy with the seconds of a ``DEADLINES`` setting."""
        given = _given(self, options).items()
        return replace(self, **{name: float(value) for name, value in given if value is not None})


AUTO, ENGLISH, MULTILINGUAL = EMBEDDED_MODELS = ("auto", "english", "multilingual")
EMBEDDING_BATCH_SIZE = 64
EMBEDDING_MAX_TOKENS = 512


@dataclass(frozen=True)
class EmbeddingSettings:
    """Which model on a server makes the vectors of the index.

    ``dimensions`` asks the model for vectors of that size; ``batch_size`` is in texts a request.
    """

    connection: str = ""
    model_name: str = ""
    dimensions: int | None = None
    batch_size: int = EMBEDDING_BATCH_SIZE
    max_tokens: int = EMBEDDING_MAX_TOKENS
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class VisitorSettings:
    """What visitors may ask, ``FINETUNE_SWITCH["VISITORS"]``. ``None`` turns a limit off.

    ``questions_a_minute`` and ``questions_a_day`` hold for each visitor, the other limits for all
    visitors of a site together. ``streams`` is how many answers may be under way at once,
    ``max_question_length`` is in characters, and ``trusted_proxies`` is how many entries of
    ``X-Forwarded-For``, from the last, are believed.
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


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _given(options_of: Any, values: Any) -> dict[str, Any]:
    """The values of a dictionary that a dataclass has a field for, by the field's name."""
    names = [(option.name, option.name.upper()) for option in fields(options_of)]
    return {name: values[option] for name, option in names if option in _mapping(values)}


def declared() -> Mapping[str, Any]:
    """The options as they are written in the settings; empty where that is no dictionary."""
    return _mapping(getattr(settings, SETTING, None))


def default_deadlines() -> Deadlines:
    return Deadlines().with_options(declared().get("DEADLINES"))


def declared_connections() -> Mapping[str, Any]:
    """The options of each connection by its alias, as they are written in the settings."""
    return _mapping(declared().get("CONNECTIONS"))


def connection_aliases() -> list[str]:
    return list(declared_connections())


def seed_backend() -> Mapping[str, Any] | None:
    """What the first backend row is made from, or ``None`` without a model name or connection."""
    seed = _mapping(declared().get("SEED_BACKEND"))
    return seed if seed.get("MODEL_NAME") and seed.get("CONNECTION") else None


def record_visitor_questions() -> bool:
    return bool(declared().get("RECORD_VISITOR_QUESTIONS", True))


def retention_days() -> int | None:
    """Days a visitor's exchange is kept, or ``None`` for ever."""
    days = declared().get("RETENTION_DAYS", 90)
    return None if days is None else int(days)


def _index() -> Mapping[str, Any]:
    return _mapping(declared().get("INDEX"))


def embedded_model() -> str:
    """Which of the package's embedding models the settings ask for; ``auto`` to choose one."""
    value = _index().get("EMBEDDINGS")
    return value if isinstance(value, str) and value else AUTO


def embedding_settings() -> EmbeddingSettings | None:
    """Which embedding model on a server the settings ask for; ``None`` for one in this process."""
    values = _index().get("EMBEDDINGS")
    if not isinstance(values, Mapping) or not values:
        return None
    given = {name: value for name, value in _given(EmbeddingSettings, values).items() if value}
    for name in given.keys() & {"dimensions", "batch_size", "max_tokens"}:
        given[name] = int(given[name])
    return EmbeddingSettings(**given)


def index_store() -> str | None:
    """The store that the settings name, or ``None`` to let the database decide."""
    return _index().get("STORE") or None


def indexed_model_labels() -> list[str]:
    """Models beside pages that are indexed, as ``app_label.ModelName``."""
    return list(_index().get("MODELS") or [])


def excluded_page_types() -> list[str]:
    """Page types that are left out of the index, as ``app_label.ModelName``."""
    return list(_index().get("EXCLUDE_PAGE_TYPES") or [])


def excluded_fields() -> list[str]:
    return list(_index().get("EXCLUDE_FIELDS") or [])


def included_fields() -> list[str]:
    """Fields that are indexed beside ``search_fields``, as ``app_label.ModelName.field``."""
    return list(_index().get("INCLUDE_FIELDS") or [])


def block_anchor() -> str:
    """The anchor of a StreamField's block on its page, such as ``block-{id}``; empty for none."""
    return str(_index().get("BLOCK_ANCHOR") or "")


def visitors() -> VisitorSettings:
    return VisitorSettings(**_given(VisitorSettings, declared().get("VISITORS")))


def fact_lock() -> bool:
    """Whether visitors are told only such details as stand in a passage."""
    return visitors().fact_lock is not False
