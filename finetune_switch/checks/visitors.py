"""What `manage.py check` says of the options for visitors, and of options that nobody knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks

from finetune_switch import conf

COUNTS = (
    "QUESTIONS_A_MINUTE",
    "QUESTIONS_A_DAY",
    "SITE_QUESTIONS_A_DAY",
    "STREAMS",
    "MAX_QUESTION_LENGTH",
)
DEFAULT_PORTS = {"http": 80, "https": 443}
# Each process has one of its own, or there is none.
UNSHARED_CACHES = ("LocMemCache", "DummyCache")


def unknown_options(
    path: str, given: Mapping[str, Any], known: Iterable[str], check_id: str
) -> list[checks.CheckMessage]:
    return [
        checks.Error(
            f'{path} has an unknown option "{option}".',
            hint=f"It takes: {', '.join(known)}.",
            id=check_id,
        )
        for option in given
        if option not in known
    ]


def check_visitors(path: str, visitors: Any) -> list[checks.CheckMessage]:
    if not visitors:
        return []
    if not isinstance(visitors, Mapping):
        return [checks.Error(f"{path} must be a dictionary.", id="finetune_switch.E001")]
    found = unknown_options(path, visitors, conf.VISITORS_OPTIONS, "finetune_switch.E004")
    found += [
        checks.Error(
            f'{path}["{option}"] must be a whole number above 0, or None for no limit, '
            f"not {visitors[option]!r}.",
            id="finetune_switch.E003",
        )
        for option in COUNTS
        if visitors.get(option) is not None and not _is_count(visitors[option], least=1)
    ]
    dollars = visitors.get("SITE_DOLLARS_A_MONTH")
    if dollars is not None and not _is_amount(dollars):
        found.append(
            checks.Error(
                f'{path}["SITE_DOLLARS_A_MONTH"] must be a number above 0, or None for no limit, '
                f"not {dollars!r}.",
                id="finetune_switch.E003",
            )
        )
    if not _is_count(visitors.get("TRUSTED_PROXIES", 0), least=0):
        found.append(
            checks.Error(
                f'{path}["TRUSTED_PROXIES"] must be the number of your proxies, 0 or more, '
                f"not {visitors['TRUSTED_PROXIES']!r}.",
                id="finetune_switch.E003",
            )
        )
    if visitors.get("WHEN_USED_UP", conf.WHEN_USED_UP[0]) not in conf.WHEN_USED_UP:
        found.append(
            checks.Error(
                f'{path}["WHEN_USED_UP"] must be one of {", ".join(conf.WHEN_USED_UP)}, '
                f"not {visitors['WHEN_USED_UP']!r}.",
                id="finetune_switch.E010",
            )
        )
    alias = visitors.get("CACHE", "default")
    if alias not in settings.CACHES:
        found.append(
            checks.Error(
                f'{path}["CACHE"] names {alias!r}, which CACHES does not declare.',
                id="finetune_switch.E010",
            )
        )
    return found + _check_origins(f'{path}["ALLOWED_ORIGINS"]', visitors.get("ALLOWED_ORIGINS"))


def _check_origins(path: str, origins: Any) -> list[checks.CheckMessage]:
    if not origins:
        return []
    if not isinstance(origins, list | tuple):
        return [checks.Error(f"{path} must be a list.", id="finetune_switch.E001")]
    return [
        checks.Error(
            f"{path} must hold origins as browsers write them, not {origin!r}.",
            hint="In small letters, with http:// or https://, without a path, and with a port only "
            "where it is not the usual one: https://shop.example.org",
            id="finetune_switch.E010",
        )
        for origin in origins
        if not _is_origin(origin)
    ]


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


def _is_count(value: Any, *, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_amount(value: Any) -> bool:
    try:
        return not isinstance(value, bool | str) and float(value) > 0
    except (TypeError, ValueError):
        return False


def check_limits_are_shared(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """Only with ``check --deploy``: while a site is developed, it has one process."""
    declared = getattr(settings, conf.SETTING, None)
    visitors = declared.get("VISITORS") if isinstance(declared, Mapping) else None
    alias = visitors.get("CACHE", "default") if isinstance(visitors, Mapping) else "default"
    cache = settings.CACHES.get(alias, {}).get("BACKEND", "").rsplit(".", 1)[-1]
    if cache not in UNSHARED_CACHES:
        return []
    return [
        checks.Warning(
            f'The cache "{alias}" is not shared ({cache}): each process counts the questions of '
            "visitors for itself, and lets as many pass as all of them should together.",
            hint="Use a cache that all processes share, such as Redis or Memcached, in "
            f'CACHES["{alias}"], or name one in {conf.SETTING}["VISITORS"]["CACHE"].',
            id="finetune_switch.W007",
        )
    ]
