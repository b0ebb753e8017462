"""Visitors who read answers at the same time, on one worker process under ASGI.

``python -m benchmarks.visitors`` measures the streams that a target is set for; ``--large`` makes
the whole table. The readers are locust's, in a process of their own, and so is the model server.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from .measuring import Comparison, markdown, tell
from .sides import PROTOCOLS, SIDES, Site, demo_site, opened
from .site import ROOT

SIZES = (50, 200, 500)
PACES = (4, 20)
"""Streams at once, and tokens a second of each."""
WANTED = (200, 4)
STREAM_SECONDS = 20
MEASURED_SECONDS = 20
SETTLE_SECONDS = 3
MOST_RATIO = 1.5
MOST_MEGABYTES = 1.5
# Where a machine is so busy that locust's users do not all come.
PATIENCE_SECONDS = 180
LOCUST = Path(os.environ.get("LOCUST", ROOT / ".venvs" / "load" / "bin" / "locust"))
PAGE = ROOT / "docs" / "benchmarks.md"
BLOCK = re.compile(r"(<!-- visitors -->\n).*?(<!-- /visitors -->)", re.DOTALL)


@dataclass(frozen=True)
class Cell:
    """One side with so many streams at such a pace, and what locust and the process said of it."""

    side: str
    protocol: str
    streams: int
    pace: int
    found: Mapping[str, Any]

    @property
    def gap(self) -> float:
        """The 95th percentile between two pieces of text at the reader, in milliseconds."""
        return self.found["gaps"].get("95", math.nan)

    @property
    def megabytes(self) -> float:
        """What a stream takes in the worker."""
        used = self.found["most_bytes"] - self.found["idle_bytes"]
        return used / max(self.found["most_open"], 1) / 1e6

    @property
    def busy(self) -> float:
        """Processors that the worker took."""
        return self.found["processor_seconds"] / self.found["seconds"]

    @property
    def processor_milliseconds(self) -> float:
        """Of the worker, for each piece of text: beginnings and ends of streams included."""
        return self.found["processor_seconds"] * 1000 / max(self.found["pieces"], 1)

    @property
    def faults(self) -> int:
        return sum(self.found["faults"].values())


def measure(*, postgresql: bool = False) -> list[Comparison]:
    """The figures that are held to a target: 200 streams of 4 tokens a second."""
    streams, pace = WANTED
    with demo_site(postgresql=postgresql) as site:
        server, litellm, plugin = (
            measure_cell(site, side, "openai", streams, pace)
            for side in ("server", "litellm", "plugin")
        )
    who = f"{streams} visitors × {pace} tokens a second, {site.engine}"
    return [
        Comparison(
            f"Gap between tokens, 95th percentile, {who}",
            server.gap,
            plugin.gap,
            1,
            "ratio",
            MOST_RATIO if not plugin.faults else 0,
            f"without: the model server itself; {plugin.faults or 'no'} error in "
            f"{plugin.found['streams']} streams, the worker busy for {plugin.busy:.0%} of the time",
        ),
        Comparison(
            f"Memory a stream, {who}",
            litellm.megabytes,
            plugin.megabytes,
            1,
            "most",
            MOST_MEGABYTES,
            "without: litellm alone",
            "MB",
        ),
        Comparison(
            f"Processor time a token, {who}",
            litellm.processor_milliseconds,
            plugin.processor_milliseconds,
            1,
            "none",
            0,
            "without: litellm alone",
        ),
    ]


def measure_cell(site: Site, side: str, protocol: str, streams: int, pace: int) -> Cell:
    tell(f"visitors: {SIDES[side]}, {protocol}, {streams} streams of {pace} tokens a second")
    tokens = STREAM_SECONDS * pace
    with opened(site, side, protocol, pace=pace, tokens=tokens) as (asked, pid):
        # With the fact lock on, a piece is a sentence of nine words.
        asked |= {"settle": SETTLE_SECONDS, "pieces": tokens // 10 if side == "locked" else tokens}
        _warm_up(asked)
        found = _read(site.folder, asked, pid, streams)
    cell = Cell(side, protocol, streams, pace, found)
    tell(f"visitors: {' | '.join(_row(cell))} {dict(found['faults'])}")
    return cell


def _warm_up(asked: Mapping[str, Any]) -> None:
    """A few readers who leave with the first word: the process imports litellm with the first of
    them, and starts its threads with the others."""
    with httpx.Client(timeout=60, trust_env=False) as client, ExitStack() as stack:
        for body in asked["bodies"][:1] + asked["bodies"] * 2:
            response = stack.enter_context(
                client.stream("POST", asked["url"], content=body, headers=asked["headers"])
            )
            text = b""
            for piece in response.iter_raw():
                text += piece
                if b"text" in text or b"content" in text:
                    break


def _read(folder: Path, asked: Mapping[str, Any], pid: int, streams: int) -> Mapping[str, Any]:
    """Have locust's users read: they come one after the other, so that ends are spread as well."""
    request, report = folder / "request.json", folder / "report.json"
    request.write_text(json.dumps(asked), "utf-8")
    report.unlink(missing_ok=True)
    command = [LOCUST, "-f", ROOT / "benchmarks" / "readers.py", "--headless", "--only-summary"]
    command += ["--users", str(streams), "--spawn-rate", str(streams / STREAM_SECONDS)]
    command += ["--request", request, "--report", report, "--watched", str(pid)]
    command += ["--seconds", str(MEASURED_SECONDS), "--loglevel", "ERROR"]
    finished = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    if not report.exists():
        raise RuntimeError(f"locust ended with {finished.returncode}: {finished.stderr[-2000:]}")
    return json.loads(report.read_text("utf-8"))


def table(cells: Sequence[Cell]) -> str:
    head = ("streams", "tokens a second", "", "protocol", "gap, median", "gap, 95th percentile")
    head += ("to the server's", "first word", "memory a stream")
    head += ("processor time a token", "worker busy", "errors")
    servers = {(c.streams, c.pace, c.protocol): c.gap for c in cells if c.side == "server"}
    rows = [_row(c, servers.get((c.streams, c.pace, c.protocol))) for c in cells]
    return markdown(head, rows, left={2, 3})


def _row(cell: Cell, server_gap: float | None = None) -> tuple[str, ...]:
    is_worker = cell.side != "server"
    return (
        str(cell.streams),
        str(cell.pace),
        SIDES[cell.side],
        cell.protocol,
        f"{cell.found['gaps'].get('50', math.nan):,.0f} ms",
        f"{cell.gap:,.0f} ms",
        f"{cell.gap / server_gap:.2f}" if server_gap and cell.side != "locked" else "–",
        f"{cell.found['first_words'].get('95', 0):,.0f} ms",
        f"{cell.megabytes:.2f} MB" if is_worker else "–",
        f"{cell.processor_milliseconds:.2f} ms" if is_worker and cell.side != "locked" else "–",
        f"{cell.busy:.0%}",
        str(cell.faults),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.visitors", description=__doc__)
    parser.add_argument("--large", action="store_true", help="the whole table")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--protocols", nargs="+", choices=PROTOCOLS, default=["openai"])
    parser.add_argument("--postgres", action="store_true", help="on a private PostgreSQL")
    parser.add_argument("--write", action="store_true", help="put it into docs/benchmarks.md")
    options = parser.parse_args(arguments)
    wanted = [(size, pace) for size in SIZES for pace in PACES] if options.large else [WANTED]
    with demo_site(postgresql=options.postgres) as site:
        cells = [
            measure_cell(site, side, protocol, streams, pace)
            for streams, pace in wanted
            for protocol in options.protocols
            for side in options.sides
            # What the lock adds is the same whatever the crowd.
            if side != "locked" or (streams, pace) == WANTED
        ]
    text = f"{table(cells)}\n\n{site.engine}.\n"
    print(text)
    if options.write:
        page = PAGE.read_text("utf-8")
        PAGE.write_text(BLOCK.sub(lambda block: f"{block[1]}{text}{block[2]}", page), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
