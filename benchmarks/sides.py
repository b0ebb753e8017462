"""The ways to a model's words that are compared under load: processes, and what readers send them.

Beside the plugin stand the model server itself, an HTTP client that hands its bytes on, and litellm
alone. Each way is started anew for each measurement, on the demo's database.
"""

from __future__ import annotations

import json
import os
import resource
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil

from tests.servers import processes

from .site import ROOT, database_url

MODEL = "standin-talkative"
FIRST_TOKEN_SECONDS = 0.4
# Two of the worker's for each stream.
OPEN_FILES = 8192
HEADERS = {"Authorization": "Bearer a-key", "Content-Type": "application/json"}
# Whoever measures sends all questions from one address.
NO_LIMITS = dict.fromkeys(
    ("STREAMS", "QUESTIONS_A_MINUTE", "QUESTIONS_A_DAY", "SITE_QUESTIONS_A_DAY")
)
SIDES = {
    "server": "the model server itself",
    "raw": "raw HTTP",
    "litellm": "litellm alone",
    "plugin": "the plugin",
    "locked": "the plugin, fact lock on",
}
PROTOCOLS = {
    "openai": ("v1/chat/completions", "openai"),
    "ollama": ("api/chat", "ollama_chat"),
}
"""The path that a protocol is spoken at, and litellm's name for it."""


@dataclass(frozen=True)
class Site:
    """The demo on a database of its own, and questions that it has passages for."""

    folder: Path
    environment: Mapping[str, str]
    engine: str
    questions: Sequence[str]
    prompts: Sequence[Any]
    """What the plugin itself would send the model server for each question."""


@contextmanager
def demo_site(*, postgresql: bool = False) -> Iterator[Site]:
    """Django is set up here as well, on the same database. Once a process."""
    _allow_open_files()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="finetune-visitors-")))
        url = stack.enter_context(database_url(postgresql=postgresql))
        environment = {"DATABASE_URL": url}
        if postgresql:
            pool = {"max_size": 20, "timeout": 30}
            environment["TEST_DATABASE_POOL"] = json.dumps(pool)
        set_up_demo(url)
        os.environ.update(processes.site_environment(environment))
        import django

        django.setup()
        from django.db import connection, connections

        from finetune_switch.models import ChatBackend

        stack.callback(connections.close_all)
        for name in PROTOCOLS:
            ChatBackend.objects.create(alias=name, label=name, connection=name, model_name=MODEL)
        found = {question: _messages(question) for question in _questions()}
        asked = {question: messages for question, messages in found.items() if messages}
        yield Site(folder, environment, connection.display_name, [*asked], [*asked.values()])


def set_up_demo(url: str) -> None:
    """Load the demo's pages, backends and index into this database.

    That is done already where tests give it: ``BENCHMARK_IS_SET_UP``.
    """
    if not os.environ.get("BENCHMARK_IS_SET_UP"):
        processes.manage({"DATABASE_URL": url, "DEBUG": "1"}, "run_demo", "--setup-only")


def _allow_open_files() -> None:
    """As many as this process may have, and with it those that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def _questions() -> list[str]:
    file = ROOT / "demo_site" / "content" / "questions.toml"
    return [entry["question"] for entry in tomllib.loads(file.read_text("utf-8"))["questions"]]


def _messages(question: str) -> Any:
    from finetune_switch.access import Asker
    from finetune_switch.answers.opening import open_exchange
    from finetune_switch.answers.question import AskedQuestion
    from finetune_switch.models import ChatBackend, Origin

    backend = ChatBackend.objects.get(alias="openai")
    opened = open_exchange(
        AskedQuestion(question, "en-gb", Asker.anonymous(), Origin.SITE, backend=backend)
    )
    opened.exchange.delete()
    return opened.prompt.messages


def switch_to(alias: str, **values: Any) -> None:
    """Have the site's visitors answered by this backend, changed as the values say."""
    from wagtail.models import Site as Row

    from finetune_switch.models import ChatBackend, Switch

    backend = ChatBackend.objects.get(alias=alias)
    for name, value in values.items():
        setattr(backend, name, value)
    backend.save()
    switch, _created = Switch.objects.get_or_create(site=Row.objects.get(is_default_site=True))
    if switch.active_id != backend.pk:
        switch.activate(backend, expected=switch.active_id)


@contextmanager
def opened(
    site: Site, side: str, protocol: str, *, pace: float, tokens: int
) -> Iterator[tuple[dict[str, Any], int]]:
    """What readers of this side send and where, and the id of the process that serves them.

    The model says ``tokens`` words, ``pace`` of them in a second.
    """
    with ExitStack() as stack:
        standin = stack.enter_context(_standin(site.folder, pace))
        path, _provider = PROTOCOLS[protocol]
        limit = {"max_tokens": tokens, "options": {"num_predict": tokens}}
        asked = {
            "url": f"{standin.url}/{path}",
            "headers": HEADERS,
            "wire": protocol,
            "bodies": [
                json.dumps({"model": MODEL, "stream": True, "messages": messages, **limit})
                for messages in site.prompts
            ],
        }
        if side == "server":
            yield asked, standin.pid
            return
        if side in ("raw", "litellm"):
            server = _start_relay(site, standin.url, protocol, tokens)
            asked |= {"url": f"{server.url}/{side}"}
            asked |= {"wire": "plugin"} if side == "litellm" else {}
        else:
            switch_to(protocol, parameters={"max_tokens": tokens})
            server = start_plugin(site, standin.url, is_locked=side == "locked")
            asked |= visitors_request(server.url, site.questions)
        stack.callback(server.stop)
        yield asked, server.process.pid


def visitors_request(url: str, questions: Sequence[str]) -> dict[str, Any]:
    """What the widget sends."""
    return {
        "url": f"{url}/answers/ask/",
        "headers": {"Origin": url, "Content-Type": "application/x-www-form-urlencoded"},
        "wire": "plugin",
        "bodies": [urlencode({"q": question}) for question in questions],
    }


@dataclass(frozen=True)
class _StandIn:
    url: str
    pid: int


@contextmanager
def _standin(folder: Path, pace: float) -> Iterator[_StandIn]:
    options = ("--tokens-per-second", str(pace), "--first-token-seconds", str(FIRST_TOKEN_SECONDS))
    with processes.standin_process(folder, *options) as url:
        (child,) = [
            child for child in psutil.Process().children() if "demo_site.standin" in child.cmdline()
        ]
        yield _StandIn(url, child.pid)


def start_plugin(site: Site, standin: str, *, is_locked: bool = False) -> processes.Server:
    """The demo on one worker, where a visitor may ask as often as they like."""
    variables = {
        **site.environment,
        "TEST_OPENAI_BASE": f"{standin}/v1",
        "TEST_OLLAMA_BASE": standin,
        "TEST_VISITORS": json.dumps({**NO_LIMITS, "FACT_LOCK": is_locked}),
    }
    server = processes.start("uvicorn", variables, site.folder)
    server.wait_until_healthy()
    return server


def _start_relay(site: Site, standin: str, protocol: str, tokens: int) -> processes.Server:
    path, provider = PROTOCOLS[protocol]
    arguments = {
        "model": f"{provider}/{MODEL}",
        "api_base": standin if protocol == "ollama" else f"{standin}/v1",
        "api_key": "a-key",
        "max_tokens": tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    variables = {
        "RELAY_URL": f"{standin}/{path}",
        "RELAY_HEADERS": json.dumps(HEADERS),
        "RELAY_ARGUMENTS": json.dumps(arguments),
    }
    server = processes.start("relay", variables, site.folder)
    processes.wait_for(lambda: processes.answers(server.url), seconds=processes.START_SECONDS)
    return server
