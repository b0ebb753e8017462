"""Visitors as locust plays them: each asks, reads the stream to its end, and asks again.

``locust -f benchmarks/readers.py`` runs it in a process and an environment of its own, which knows
nothing of the site but its address. What is measured begins when all of them are there, and is
written to ``--report`` as JSON.
"""

from __future__ import annotations

import http.client
import json
import random
import statistics
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gevent
import psutil
from locust import User, events, task

READ_BYTES = 65536
SAMPLE_SECONDS = 0.5
PERCENTILES = {50: 9, 95: 18}


@dataclass(frozen=True)
class Wire:
    """What stands in a stream where a piece of text comes, and where it ends."""

    text: bytes
    end: bytes
    sources: bytes = b""


WIRES = {
    "plugin": Wire(b"event: text\n", b"event: done\n", b"event: sources\n"),
    "openai": Wire(b'"delta":{"content":', b"data: [DONE]"),
    "ollama": Wire(b'"done":false', b'"done":true'),
}
"""``openai`` and ``ollama`` as the stand-in writes them."""


@dataclass
class Window:
    """What happened between two moments, in seconds, bytes and pieces of text."""

    seconds: float = 0.0
    processor_seconds: float = 0.0
    idle_bytes: int = 0
    most_bytes: int = 0
    pieces: int = 0
    streams: int = 0
    most_open: int = 0
    gaps: list[float] = field(default_factory=list)
    first_words: list[float] = field(default_factory=list)
    sources: list[float] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)


class Watch:
    """The server's process, and what its readers met while they were all there."""

    def __init__(self, pid: int) -> None:
        self.process = psutil.Process(pid)
        self.window = Window(idle_bytes=self.memory())
        self.open_streams = 0
        self.is_on = False

    def memory(self) -> int:
        """What the process has to itself."""
        return self.process.memory_full_info().uss

    def processor_seconds(self) -> float:
        times = self.process.cpu_times()
        return times.user + times.system

    def begin(self, seconds: float) -> None:
        self.is_on = True
        started, worked = time.perf_counter(), self.processor_seconds()
        while (elapsed := time.perf_counter() - started) < seconds:
            self.window.most_open = max(self.window.most_open, self.open_streams)
            self.window.most_bytes = max(self.window.most_bytes, self.memory())
            gevent.sleep(min(SAMPLE_SECONDS, seconds - elapsed))
        self.window.processor_seconds = self.processor_seconds() - worked
        self.window.seconds = time.perf_counter() - started
        self.is_on = False

    def report(self) -> dict[str, Any]:
        found = asdict(self.window)
        for name in ("gaps", "first_words", "sources"):
            found[name] = _percentiles(found[name])
        return found


def _percentiles(seconds: list[float]) -> dict[str, float]:
    """In milliseconds, by their number."""
    if len(seconds) < 2:
        return {}
    cuts = statistics.quantiles(seconds, n=20)
    return {str(number): cuts[index] * 1000 for number, index in PERCENTILES.items()}


@events.init_command_line_parser.add_listener
def add_options(parser: Any) -> None:
    parser.add_argument(
        "--request", help="a file of JSON: url, headers, bodies, wire, pieces and settle"
    )
    parser.add_argument("--watched", type=int, help="the process id of the server")
    parser.add_argument("--seconds", type=float, default=20, help="how long to measure")
    parser.add_argument("--report", help="where to write what was measured")


@events.init.add_listener
def prepare(environment: Any, **_more: Any) -> None:
    options = environment.parsed_options
    environment.asked = json.loads(Path(options.request).read_text())
    environment.watch = Watch(options.watched)

    def measure() -> None:
        # Until the last one has had a first word.
        gevent.sleep(environment.asked["settle"])
        environment.watch.begin(options.seconds)
        Path(options.report).write_text(json.dumps(environment.watch.report()))
        environment.runner.quit()

    environment.events.spawning_complete.add_listener(lambda **_more: gevent.spawn(measure))


class Reader(User):
    """A visitor."""

    def on_start(self) -> None:
        self.asked = self.environment.asked
        self.wire = WIRES[self.asked["wire"]]
        self.watch: Watch = self.environment.watch

    @task
    def ask(self) -> None:
        started = time.perf_counter()
        fault = None
        self.watch.open_streams += 1
        try:
            self._read(started)
        except (OSError, http.client.HTTPException, RuntimeError) as error:
            fault = error
            self.watch.window.faults[repr(error)[:200]] += 1
            gevent.sleep(1)
        finally:
            self.watch.open_streams -= 1
        self._tell("stream", started, time.perf_counter(), fault)
        if self.watch.is_on:
            self.watch.window.streams += 1

    def _read(self, started: float) -> None:
        url = urlsplit(self.asked["url"])
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=120)
        try:
            body = random.choice(self.asked["bodies"]).encode()
            connection.request("POST", url.path, body, self.asked["headers"])
            response = connection.getresponse()
            if response.status != 200:
                raise RuntimeError(f"status {response.status}: {response.read(200)!r}")
            self._listen(response, started)
        finally:
            connection.close()

    def _listen(self, response: http.client.HTTPResponse, started: float) -> None:
        window, wire = self.watch.window, self.wire
        last, tail, pieces = started, b"", 0
        longest = max(len(wire.text), len(wire.end), len(wire.sources)) - 1
        while data := response.read1(READ_BYTES):
            now = time.perf_counter()
            data = tail + data
            if wire.sources and wire.sources in data:
                self._tell("sources", started, now)
                if self.watch.is_on:
                    window.sources.append(now - started)
            for _piece in range(data.count(wire.text)):
                self._tell("gap" if pieces else "first word", last, now)
                if self.watch.is_on:
                    (window.gaps if pieces else window.first_words).append(now - last)
                    window.pieces += 1
                pieces += 1
                last = now
            if wire.end in data:
                break
            # A mark that came in two parts, and none that was counted already.
            tail = data[-longest:]
            for mark in (wire.text, wire.sources):
                if mark and mark in tail:
                    tail = tail[tail.rindex(mark) + len(mark) :]
        else:
            raise RuntimeError(f"no end after {pieces} pieces: {tail!r}")
        if pieces < self.asked["pieces"]:
            raise RuntimeError(f"{pieces} pieces instead of {self.asked['pieces']}")

    def _tell(self, name: str, started: float, now: float, fault: Exception | None = None) -> None:
        self.environment.events.request.fire(
            request_type="SSE",
            name=name,
            response_time=(now - started) * 1000,
            response_length=0,
            exception=fault,
            context={},
        )
