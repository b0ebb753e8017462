"""The subcommands init and doctor."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import ENVIRONMENT_VARIABLE, settings
from django.core import checks
from django.core.cache import cache
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from wagtail.models import Site

from finetune_switch import conf
from finetune_switch.backends.preflight import run_check
from finetune_switch.backends.stream_readers import unread_providers
from finetune_switch.checks import missing_sqlite_options
from finetune_switch.connections import connections as model_servers
from finetune_switch.exceptions import BackendError
from finetune_switch.index import upkeep
from finetune_switch.index.overview import embedding_notes
from finetune_switch.models import ChatBackend, Exchange, Switch

from .base import Subcommand
from .findings import ADAPTER, INDEX_COMMAND, Finding, examine_index

MIDDLEWARE = "finetune_switch.middleware.CurrentSiteMiddleware"
SWITCH_CLASS = f"{ADAPTER}.SwitchedChatBackend"
REMOVAL = """\
To remove the plugin: restore the previous CHAT_BACKENDS["default"] of WAGTAIL_VECTOR_INDEX,
run `manage.py migrate finetune_switch zero`, remove its lines from INSTALLED_APPS and MIDDLEWARE,
remove FINETUNE_SWITCH, and uninstall wagtail-finetune-switch. The README lists all steps."""


class Init(Subcommand):
    name = "init"
    help = "Print the lines missing from this project's settings. Exit code 1 if any are missing."

    def handle(self, options: dict[str, Any]) -> int:
        lines = list(missing_lines())
        others = list(_further_findings(lines))
        if options["json"]:
            self.write_json([{"where": where, "lines": text} for where, text in lines])
            return 1 if lines or others else 0
        if not lines and not others:
            self.stdout.write(self.style.SUCCESS("The settings are complete."))
        elif lines:
            self.stdout.write(f"Add to {_settings_file()}:\n\n")
        for where, text in lines:
            self.stdout.write(self.style.MIGRATE_HEADING(f"# {where}"))
            self.stdout.write(f"{text}\n")
        for message in others:
            self.stdout.write(f"{message.msg} {message.hint or ''}".strip())
        if lines:
            self.stdout.write("Then run manage.py migrate and manage.py finetune_switch doctor.")
        for note in embedding_notes():
            self.stdout.write(note)
        return 1 if lines or others else 0


def _settings_file() -> str:
    """The path of the settings module, relative to the current folder if it is below it."""
    name = os.environ.get(ENVIRONMENT_VARIABLE, "")
    path = getattr(sys.modules.get(name), "__file__", None)
    if not path:
        return "the settings"
    here = Path.cwd()
    return str(Path(path).relative_to(here) if Path(path).is_relative_to(here) else path)


def _messages() -> list[checks.CheckMessage]:
    """What ``manage.py check`` says of the plugin."""
    found = checks.run_checks(tags=["finetune_switch"])
    return [message for message in found if not message.is_silenced()]


def _further_findings(lines: Iterable[tuple[str, str]]) -> Iterator[checks.CheckMessage]:
    """The messages that ask for none of these lines."""
    named = [_options_in(text) for _where, text in lines]
    for message in _messages():
        if not any(all(one in (message.hint or "") for one in options) for options in named):
            yield message


def _options_in(lines: str) -> list[str]:
    return [line.strip().strip('",') for line in lines.splitlines()]


def missing_lines() -> Iterator[tuple[str, str]]:
    """The missing lines, in the order of a settings file, each with the place where it belongs."""
    if not apps.is_installed("wagtail.contrib.settings"):
        yield "settings: INSTALLED_APPS", '"wagtail.contrib.settings",'
    if apps.is_installed("wagtail_vector_index") and not apps.is_installed(ADAPTER):
        yield "settings: INSTALLED_APPS, after finetune_switch", f'"{ADAPTER}",'
    if MIDDLEWARE not in settings.MIDDLEWARE:
        yield "settings: MIDDLEWARE, at the end", f'"{MIDDLEWARE}",'
    for alias, options in missing_sqlite_options():
        lines = "\n".join(f"{option}," for option in options)
        yield f'settings: DATABASES["{alias}"]["OPTIONS"]', lines
    if not conf.connection_aliases():
        yield "settings (import environ; env = environ.Env())", _CONNECTION_LINES
    if apps.is_installed("wagtail_vector_index") and not _query_follows_the_switch():
        yield 'settings: WAGTAIL_VECTOR_INDEX["CHAT_BACKENDS"]', _SWITCH_LINES


_CONNECTION_LINES = """\
FINETUNE_SWITCH = {
    "CONNECTIONS": {
        "openai": {
            "PROVIDER": "openai",
            "API_KEY": env.str("OPENAI_API_KEY", default=""),
            "DATA_DESTINATION": "OpenAI, United States",
        },
        "ollama": {
            "PROVIDER": "ollama_chat",
            "API_BASE": env.str("OLLAMA_API_BASE", default="http://localhost:11434"),
            "DATA_DESTINATION": "our own server",
        },
    },
}"""
_SWITCH_LINES = f"""\
"default": {{
    "CLASS": "{SWITCH_CLASS}",
    "CONFIG": {{"MODEL_ID": "switch"}},
}},
# Keep the previous "default", if any, under another alias: editors can switch to it."""


def _query_follows_the_switch() -> bool:
    declared = (getattr(settings, "WAGTAIL_VECTOR_INDEX", None) or {}).get("CHAT_BACKENDS") or {}
    return str(declared.get("default", {}).get("CLASS", "")).startswith(
        "finetune_switch.vector_index."
    )


class Doctor(Subcommand):
    name = "doctor"
    help = "Check the installation and list what to fix. Exit code 1 if there is a problem."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--offline",
            action="store_true",
            help="Do not contact the active backends and the embedding model.",
        )

    def handle(self, options: dict[str, Any]) -> int:
        findings = []
        for finding in examine(ask_backends=not options["offline"]):
            findings.append(finding)
            if not options["json"]:
                mark = self.style.SUCCESS("✓") if finding.passed else self.style.ERROR("✗")
                self.stdout.write(f"{mark} {finding.area:<12} {finding.message}")
        to_fix = [finding for finding in findings if not finding.passed]
        if options["json"]:
            self.write_json([asdict(finding) for finding in findings])
        else:
            self._write_end(to_fix)
        return 1 if to_fix else 0

    def _write_end(self, to_fix: list[Finding]) -> None:
        if to_fix:
            self.stdout.write(self.style.MIGRATE_HEADING("\nTo fix:"))
            for number, finding in enumerate(to_fix, 1):
                self.stdout.write(f"{number}. {finding.remedy or finding.message}")
        else:
            self.stdout.write(self.style.SUCCESS("\nNothing to fix."))
        self.stdout.write(f"\n{REMOVAL}")


def examine(*, ask_backends: bool) -> Iterator[Finding]:
    """Yield a finding for each requirement of an installation."""
    yield from _examine_install()
    pending = _pending_migrations()
    yield Finding(
        "database",
        not pending,
        f"{len(pending)} migrations are not applied." if pending else "All migrations are applied.",
        "Run manage.py migrate." if pending else "",
    )
    if pending:
        return
    yield from _examine_settings()
    yield from examine_index(ask=ask_backends)
    yield from _examine_switches(ask_backends)
    yield from _examine_stream_readers()
    yield _examine_workers()
    yield _examine_cache()
    overdue = Exchange.objects.overdue().count()
    yield Finding(
        "exchanges",
        True,
        f"{Exchange.objects.count()} kept, {overdue} interrupted: their ending was not recorded, "
        "since a process or the database failed. The log names them.",
    )


def _examine_install() -> Iterator[Finding]:
    for name in ("wagtail-finetune-switch", "wagtail", "django", "litellm"):
        try:
            yield Finding("install", True, f"{name} {version(name)}")
        except PackageNotFoundError:
            known = name == "wagtail-finetune-switch"  # run from a checkout
            yield Finding(
                "install",
                known,
                f"{name} runs from a source checkout." if known else f"{name} is not installed.",
                "" if known else f"pip install {name}",
            )
    try:
        yield Finding("install", True, f"wagtail-vector-index {version('wagtail-vector-index')}")
    except PackageNotFoundError:
        yield Finding(
            "install", True, "wagtail-vector-index is not installed. Only its adapter needs it."
        )


def _examine_settings() -> Iterator[Finding]:
    messages = _messages()
    for message in messages:
        yield Finding("settings", False, message.msg, message.hint or message.msg)
    hints = " ".join(message.hint or "" for message in messages)
    for where, lines in missing_lines():
        # A check may have reported it already.
        if not all(option in hints for option in _options_in(lines)):
            place = where.removeprefix("settings: ")
            yield Finding(
                "settings", False, f"A line is missing from {place}.", f"{place}:\n{lines}"
            )
    if not messages:
        yield Finding("settings", True, f"Connections: {', '.join(model_servers()) or 'none'}.")


def _examine_switches(ask_backends: bool) -> Iterator[Finding]:
    for site in Site.objects.all():
        backend: ChatBackend = Switch.for_question(site).backend
        if backend.unavailable_reason:
            yield Finding(
                "connections", False, backend.unavailable_reason, "Switch to another backend."
            )
            continue
        if not ask_backends:
            yield Finding("connections", True, f"{site}: “{backend}” (not contacted).")
            continue
        try:
            failed = next((step for step in run_check(backend) if not step.passed), None)
        except BackendError as error:
            yield Finding("connections", False, f"{site}: {error}", error.remedy)
            continue
        yield Finding(
            "connections",
            failed is None,
            f"{site}: “{backend}” answers." if failed is None else f"{site}: {failed.message}",
            failed.remedy if failed else "",
        )


def _examine_stream_readers() -> Iterator[Finding]:
    """Whether the streams of the backends that were just asked could be read directly."""
    if unread_providers:
        yield Finding(
            "streams",
            False,
            f"litellm {version('litellm')} hides the responses of {', '.join(unread_providers)}: "
            "answers that were cut may look complete.",
            f'pip install "{_allowed("litellm")}"',
        )


def _allowed(name: str) -> str:
    """The requirement of this package on another one."""
    try:
        declared = requires("wagtail-finetune-switch") or []
    except PackageNotFoundError:  # run from a checkout
        declared = []
    return next((one for one in declared if one.startswith(name)), name)


def _examine_workers() -> Finding:
    backend = (getattr(settings, "TASKS", None) or {}).get("default", {}).get("BACKEND", "")
    return Finding(
        "workers",
        True,
        "There is no task worker (see TASKS). Changed pages are not indexed until "
        f"{INDEX_COMMAND} --changed is run."
        if upkeep.runs_inside_the_request()
        else f"Task backend: {backend}.",
    )


def _examine_cache() -> Finding:
    try:
        cache.set("finetune_switch:doctor", "1", 5)
        works = cache.get("finetune_switch:doctor") == "1"
    except Exception:  # whatever the client raises
        works = False
    return Finding(
        "cache",
        works,
        "The default cache works." if works else "The default cache does not work.",
        "" if works else "Check CACHES in the settings, and the cache server.",
    )


def _pending_migrations() -> list[Any]:
    executor = MigrationExecutor(connections["default"])
    targets = [node for node in executor.loader.graph.leaf_nodes() if node[0] == "finetune_switch"]
    return executor.migration_plan(targets)
