"""Fifty editors who compare two backends at the same moment, on one worker process under ASGI.

Their hundred streams are read beside a hundred of the model server's own, asked the same and read
by the same client: what is measured is how evenly the words of a model reach those who wait.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from bs4 import BeautifulSoup

from tests.servers import processes

from .listening import OLLAMA, OPENAI, PLUGIN, Heard, Request, listen, percentile_95
from .measuring import Comparison, compare, tell
from .sides import set_up_demo
from .site import database_url

EDITORS = 50
TOKENS_PER_SECOND = 4
FIRST_TOKEN_SECONDS = 0.4
ROUNDS = 4
TINY = {"EDITORS": 2, "TOKENS_PER_SECOND": 80, "FIRST_TOKEN_SECONDS": 0.05, "ROUNDS": 1}
MOST_RATIO = 1.5
QUESTION = "What does a family ticket cost?"
# Of the demo: one of a hosted model, one of a model of its own.
BACKENDS = ("hosted", "fine-tune")
COLLEAGUE = "lead"
# As docs/deployment.md has it for sites on PostgreSQL.
POOL = {"max_size": 20, "timeout": 30}
PARTIAL = {"X-Requested-With": "XMLHttpRequest"}


@dataclass
class Side:
    """What the readers of one side waited for, in milliseconds: a 95th percentile each round."""

    gaps: list[float] = field(default_factory=list)
    first_tokens: list[float] = field(default_factory=list)
    texts: set[str] = field(default_factory=set)

    def add(self, heard: Sequence[Heard]) -> None:
        self.gaps.append(percentile_95([gap for one in heard for gap in one.gaps]))
        self.first_tokens.append(percentile_95([one.times[0] for one in heard]))
        self.texts |= {"".join(one.pieces) for one in heard}


def measure(*, postgresql: bool = False) -> list[Comparison]:
    with _site(postgresql=postgresql) as (server, standin, engine):
        tell(f"editors: {ROUNDS} rounds of {EDITORS} with two columns each on {engine}")
        return _measure(server, standin, engine)


@contextmanager
def _site(*, postgresql: bool) -> Iterator[tuple[processes.Server, str, str]]:
    """The demo site on one worker, the address of its models, and the name of its database.

    Django is set up here as well, on the same database. Once a process.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="finetune-editors-")))
        url = stack.enter_context(database_url(postgresql=postgresql))
        environment = {"DATABASE_URL": url}
        pool = {"TEST_DATABASE_POOL": json.dumps(POOL)} if postgresql else {}
        set_up_demo(url)
        standin = stack.enter_context(
            processes.standin_process(
                folder,
                *("--tokens-per-second", str(TOKENS_PER_SECOND)),
                *("--first-token-seconds", str(FIRST_TOKEN_SECONDS)),
            )
        )
        environment |= {"TEST_OPENAI_BASE": f"{standin}/v1", "TEST_OLLAMA_BASE": standin}
        server = processes.start("uvicorn", {**environment, **pool}, folder)
        stack.callback(server.stop)
        os.environ.update(processes.site_environment(environment))
        import django

        django.setup()
        from django.db import connection, connections

        stack.callback(connections.close_all)
        server.wait_until_healthy()
        yield server, standin, connection.display_name


def _measure(server: processes.Server, standin: str, engine: str) -> list[Comparison]:
    from finetune_switch.models import ChatBackend

    backends = [ChatBackend.objects.get(alias=alias) for alias in BACKENDS]
    without, plugin, busy = Side(), Side(), []
    with ExitStack() as stack:
        editors = [
            stack.enter_context(Editor(server.url, number, backends)) for number in range(EDITORS)
        ]
        # With its first question the process imports litellm.
        _checked(listen(editors[0].compare()))
        bare = _bare_requests(standin, backends) * EDITORS
        for number in range(ROUNDS):
            asked = [request for editor in editors for request in editor.compare()]
            if number % 2:
                without.add(_checked(listen(bare)))
            with _watched(server, busy):
                plugin.add(_checked(listen(asked)))
            if not number % 2:
                without.add(_checked(listen(bare)))
    if plugin.texts != without.texts:
        # Nobody may miss a word, or be given two at once.
        raise RuntimeError(f"{plugin.texts} is not what the model said: {without.texts}")
    return _compared(without, plugin, statistics.median(busy), engine)


@contextmanager
def _watched(server: processes.Server, busy: list[float]) -> Iterator[None]:
    """Note the share of this time that the worker has worked, in processors."""
    process, started = psutil.Process(server.process.pid), time.perf_counter()
    before = process.cpu_times()
    yield
    after = process.cpu_times()
    worked = after.user + after.system - before.user - before.system
    busy.append(worked / (time.perf_counter() - started))


class Editor:
    """Somebody who is signed in, and compares."""

    def __init__(self, url: str, number: int, backends: Sequence[Any]) -> None:
        self._backends = [str(backend.pk) for backend in backends]
        self._browser = httpx.Client(
            base_url=url, follow_redirects=True, timeout=30, trust_env=False
        )
        self._browser.cookies.update(_session_of(f"editor-{number}"))

    def __enter__(self) -> Editor:
        return self

    def __exit__(self, *exc: object) -> None:
        self._browser.close()

    def compare(self) -> list[Request]:
        """Send the form, and what the page that it leads to asks for: a stream for each column."""
        from django.urls import reverse

        form = reverse("finetune_compare:index")
        self._browser.get(form).raise_for_status()
        token = self._browser.cookies["csrftoken"]
        asked = {"csrfmiddlewaretoken": token, "question": QUESTION, "backends": self._backends}
        page = self._browser.post(form, data={**asked, "is_blind": "on", "retrieval": "on"})
        columns = BeautifulSoup(page.text, "html.parser").select(
            "[data-controller=finetune-column]"
        )
        if len(columns) != len(self._backends):
            raise RuntimeError(f"The form led to no comparison: {page.status_code} {page.url}")
        return [self._stream_of(column) for column in columns]

    def _stream_of(self, column: Any) -> Request:
        cookies = "; ".join(f"{name}={value}" for name, value in self._browser.cookies.items())
        token = column["data-finetune-column-token-value"]
        shown = str(self._browser.base_url.join(column["data-finetune-column-url-value"]))
        headers = {**PARTIAL, "X-CSRFToken": token, "Cookie": cookies}
        return Request(f"{shown}stream/", PLUGIN, headers, then=shown)


def _session_of(username: str) -> dict[str, str]:
    """The cookie of a new colleague of the content lead."""
    from django.contrib.auth import get_user_model
    from django.test import Client

    users = get_user_model().objects
    user = users.create(username=username)
    user.groups.set(users.get(username=COLLEAGUE).groups.all())
    client = Client()
    client.force_login(user)
    return {name: cookie.value for name, cookie in client.cookies.items()}


def _bare_requests(standin: str, backends: Sequence[Any]) -> list[Request]:
    """The same question for the model server itself, in the messages that the plugin makes."""
    from finetune_switch.access import Asker
    from finetune_switch.answers.opening import open_exchange
    from finetune_switch.answers.question import AskedQuestion
    from finetune_switch.models import Comparison as Row
    from finetune_switch.models import Origin

    row = Row.objects.latest("asked_at")
    found = []
    for backend in backends:
        asked = open_exchange(
            AskedQuestion(
                row.question,
                row.locale,
                Asker.anonymous(),
                Origin.COMPARE,
                site=row.site,
                backend=backend,
                passages=row.frozen_passages,
            )
        )
        asked.exchange.delete()
        path, wire = (
            ("api/chat", OLLAMA)
            if backend.connection == "ollama"
            else ("v1/chat/completions", OPENAI)
        )
        body = {"model": backend.model_name, "messages": asked.prompt.messages, "stream": True}
        found.append(Request(f"{standin}/{path}", wire, {"Authorization": "Bearer a-key"}, body))
    return found


def _checked(heard: list[Heard]) -> list[Heard]:
    """The same where nothing was wrong: how fast it went says nothing otherwise."""
    faults = [one.fault for one in heard if one.fault]
    if faults:
        raise RuntimeError(f"{len(faults)} of {len(heard)} streams failed: {faults[:5]}")
    return heard


def _compared(without: Side, plugin: Side, busy: float, engine: str) -> list[Comparison]:
    who = f"{EDITORS} editors × {len(BACKENDS)} columns, {engine}"
    streams = EDITORS * len(BACKENDS)
    return [
        compare(
            f"Gap between tokens, 95th percentile, {who}",
            (without.gaps, plugin.gaps),
            target="ratio",
            most=MOST_RATIO,
            note=f"without: the model server itself; no error in {ROUNDS * streams} streams, "
            f"the worker busy for {busy:.0%} of the time",
        ),
        compare(
            f"First token, 95th percentile, {who}",
            (without.first_tokens, plugin.first_tokens),
            target="none",
            note=f"without: the same; all {streams} begin at the same moment",
        ),
    ]
