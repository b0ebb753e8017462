"""Check of ``FINETUNE_SWITCH``: its options and their allowed values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks
from django.utils.functional import Promise

from finetune_switch import conf
from finetune_switch.connections import is_web_address

DEFAULT_PORTS = {"http": 80, "https": 443}
NUMBER, KIND, CHOICE = "E003", "E001", "E010"


@dataclass(frozen=True)
class Rule:
    """What a value must be, in words and as a function. ``items`` applies to a list's items."""

    words: str
    is_met: Callable[[Any], bool]
    id: str
    hint: str | None = None
    items: Rule | None = None
    is_shown: bool = True
    """Whether the error shows the value. False if the value may be a key."""

    def or_none(self, words: str = "") -> Rule:
        """The same rule, but ``None`` is allowed; ``words`` say what it means."""
        return replace(
            self, words=self.words + words, is_met=lambda value: value is None or self.is_met(value)
        )

    def check(self, path: str, value: Any) -> Iterator[checks.CheckMessage]:
        if not self.is_met(value):
            shown = f", not {_without_credentials(value)}" if self.is_shown else ""
            yield _error(self.id, f"{path} must be {self.words}{shown}.", self.hint)
        elif self.items:
            for number, item in enumerate(value or ()):
                yield from self.items.check(f"{path}[{number}]", item)


@dataclass(frozen=True)
class Options:
    """A dictionary: the rules of its known keys, and of ``others`` if they are allowed.

    ``required`` maps each required key to its meaning.
    """

    known: Mapping[str, Rule | Options]
    others: Options | None = None
    required: Mapping[str, str] = field(default_factory=dict)
    hint: str | None = None
    unknown_id: str = "E004"

    def check(self, path: str, value: Any) -> Iterator[checks.CheckMessage]:
        if not isinstance(value, Mapping):
            yield _error(KIND, f"{path} must be a dictionary.")
            return
        for name, given in value.items():
            place = f'{path}["{name}"]'
            rule = self.known.get(name, self.others)
            if rule is None:
                near = get_close_matches(str(name).upper(), self.known, 1)
                hint = f'Did you mean "{near[0]}"? ' if near else ""
                hint += f"The options are: {', '.join(self.known)}."
                yield _error(self.unknown_id, f"{place} is an unknown option.", hint)
            # Empty options count as left out, but a connection that is declared must be complete.
            elif given or rule is self.others or isinstance(rule, Rule):
                yield from rule.check(place, given)
        for name, meaning in self.required.items():
            if not value.get(name):
                yield _error("E005", f'{path} requires the option "{name}" ({meaning}).', self.hint)


@dataclass(frozen=True)
class Embeddings(Options):
    """The name of a model that comes with the package, or the options of one on a server."""

    def check(self, path: str, value: Any) -> Iterator[checks.CheckMessage]:
        return _MODEL.check(path, value) if isinstance(value, str) else super().check(path, value)


def check_options(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    return list(SETTINGS.check(conf.SETTING, getattr(settings, conf.SETTING, {})))


def _error(check_id: str, message: str, hint: str | None = None) -> checks.CheckMessage:
    return checks.Error(message, hint=hint, id=f"finetune_switch.{check_id}")


def _without_credentials(value: Any) -> str:
    return re.sub(r"//[^/\s]*@", "//…@", repr(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_origin(origin: Any) -> bool:
    if not isinstance(origin, str) or origin != origin.lower():
        return False
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return False
    return (
        parts.scheme in DEFAULT_PORTS
        and bool(parts.hostname)
        and port != DEFAULT_PORTS[parts.scheme]
        and "@" not in parts.netloc
        and "*" not in parts.netloc
        and origin == f"{parts.scheme}://{parts.netloc}"
    )


def _one_of(*choices: str) -> Rule:
    return Rule(f"one of {', '.join(choices)}", lambda value: value in choices, CHOICE)


_MODEL = _one_of(*conf.EMBEDDED_MODELS)
TEXT = Rule("a string", lambda value: isinstance(value, str | Promise), KIND, is_shown=False)
OPTIONAL_TEXT = TEXT.or_none()
TEXTS = Rule("a list", lambda value: isinstance(value, list | tuple), KIND, items=TEXT).or_none()
BOOLEAN = Rule("True or False", lambda value: isinstance(value, bool), KIND)
DICTIONARY = Rule("a dictionary", lambda value: isinstance(value, Mapping), KIND, is_shown=False)
COUNT = Rule("a whole number above 0", lambda value: _is_whole(value) and value > 0, NUMBER)
LIMIT = COUNT.or_none(", or None for no limit")
AMOUNT = Rule("a number above 0", lambda value: _is_number(value) and float(value) > 0, NUMBER)
SECONDS = replace(AMOUNT, words="a number of seconds above 0")
ADDRESS = Rule(
    "an address that begins with http:// or https://, or a callable that returns one",
    lambda value: not value or callable(value) or is_web_address(str(value)),
    "E007",
    is_shown=False,
)
CONNECTION = Rule(
    "an alias of CONNECTIONS",
    lambda alias: not alias or alias in conf.connection_aliases(),
    "E006",
)
ORIGIN = Rule(
    "an origin as sent by browsers",
    _is_origin,
    CHOICE,
    "In lower case, with http:// or https://, without a path, and with a port only if it is not "
    "the default: https://shop.example.org",
)

DEADLINES = Options(dict.fromkeys(("FIRST_TOKEN", "IDLE", "TOTAL"), SECONDS))
SETTINGS = Options(
    {
        "CONNECTIONS": Options(
            {},
            others=Options(
                {
                    "PROVIDER": OPTIONAL_TEXT,
                    "LABEL": OPTIONAL_TEXT,
                    "API_BASE": ADDRESS,
                    "API_KEY": OPTIONAL_TEXT,
                    "DATA_DESTINATION": OPTIONAL_TEXT,
                    "DEADLINES": DEADLINES,
                },
                required={
                    "PROVIDER": "the provider as litellm names it: openai, ollama_chat, …",
                    "DATA_DESTINATION": 'where questions go, such as "our own server, London"',
                },
            ),
        ),
        "DEADLINES": DEADLINES,
        "SEED_BACKEND": Options(
            {
                "CONNECTION": CONNECTION,
                "MODEL_NAME": OPTIONAL_TEXT,
                "ALIAS": OPTIONAL_TEXT,
                "LABEL": OPTIONAL_TEXT,
                "CONTEXT_WINDOW": COUNT.or_none(),
            },
            required={"CONNECTION": "an alias of CONNECTIONS"},
            unknown_id="E002",
        ),
        "RECORD_VISITOR_QUESTIONS": BOOLEAN,
        "RETENTION_DAYS": replace(COUNT, words="a number of days above 0").or_none(
            ", or None to keep visitors' questions indefinitely"
        ),
        "INDEX": Options(
            {
                "EMBEDDINGS": Embeddings(
                    {
                        "CONNECTION": CONNECTION,
                        "MODEL_NAME": OPTIONAL_TEXT,
                        "DIMENSIONS": COUNT.or_none(),
                        "BATCH_SIZE": COUNT.or_none(),
                        "MAX_TOKENS": COUNT.or_none(),
                        "PARAMETERS": DICTIONARY.or_none(),
                    },
                    required={
                        "CONNECTION": "an alias of CONNECTIONS",
                        "MODEL_NAME": "the embedding model's name on its server",
                    },
                    hint='Without EMBEDDINGS, a model in this process is used: "auto".',
                ),
                "STORE": _one_of("memory", "pgvector").or_none(),
                "MODELS": TEXTS,
                "EXCLUDE_PAGE_TYPES": TEXTS,
                "EXCLUDE_FIELDS": TEXTS,
                "INCLUDE_FIELDS": TEXTS,
                "BLOCK_ANCHOR": OPTIONAL_TEXT,
            }
        ),
        "VISITORS": Options(
            {
                "FACT_LOCK": BOOLEAN,
                "QUESTIONS_A_MINUTE": LIMIT,
                "QUESTIONS_A_DAY": LIMIT,
                "SITE_QUESTIONS_A_DAY": LIMIT,
                "SITE_DOLLARS_A_MONTH": AMOUNT.or_none(", or None for no limit"),
                "WHEN_USED_UP": _one_of("extractive", "search"),
                "STREAMS": LIMIT,
                "MAX_QUESTION_LENGTH": LIMIT,
                "ALLOWED_ORIGINS": replace(TEXTS, items=ORIGIN),
                "TRUSTED_PROXIES": Rule(
                    "the number of your proxies, 0 or more",
                    lambda value: _is_whole(value) and value >= 0,
                    NUMBER,
                ),
                "CACHE": Rule(
                    "an alias of CACHES", lambda alias: alias in list(settings.CACHES), CHOICE
                ),
            }
        ),
    },
    unknown_id="E002",
)
