"""Two ways of doing a thing, measured by turns, and what their medians come to."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

TARGETS = {
    "ratio": "ratio ≤ {most:g}",
    "difference": "difference ≤ {most:g} {unit}",
    "most": "with ≤ {most:g} {unit}",
    "least": "with ≥ {most:g} {unit}",
    "faster": "≥ {most:g} × faster",
    "none": "–",
}
"""What a comparison is held to, and how that reads."""


@dataclass(frozen=True)
class Comparison:
    """Medians, in milliseconds unless ``unit`` says otherwise.

    ``most`` goes with ``target``: a ratio, a difference, a value that the plugin's side stays
    below (``"most"``) or above (``"least"``), or how many times faster it is (``"faster"``).
    """

    name: str
    without: float
    plugin: float
    runs: int
    target: str
    most: float
    note: str = ""
    unit: str = "ms"

    @property
    def ratio(self) -> float:
        return self.plugin / self.without

    @property
    def difference(self) -> float:
        return self.plugin - self.without

    @property
    def is_met(self) -> bool:
        met = {
            "ratio": self.ratio <= self.most,
            "difference": self.difference <= self.most,
            "most": self.plugin <= self.most,
            "least": self.plugin >= self.most,
            "faster": self.without >= self.most * self.plugin,
            "none": True,
        }
        return met[self.target]

    @property
    def wanted(self) -> str:
        return TARGETS[self.target].format(most=self.most, unit=self.unit).strip()


def alternate(
    without: Callable[[], float],
    plugin: Callable[[], float],
    *,
    runs: int,
    warm_up: int,
    rest: float = 0,
) -> tuple[list[float], list[float]]:
    """Milliseconds of each run. They take turns, and turns at being first, so that whatever else
    the machine does meets both alike. ``rest`` is seconds before each, for what the one before
    left to be done in other threads."""
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(warm_up + runs):
        for which in (0, 1) if number % 2 else (1, 0):
            time.sleep(rest)
            taken = (without, plugin)[which]()
            if number >= warm_up:
                times[which].append(taken)
    return times


def milliseconds(work: Callable[[], object]) -> Callable[[], float]:
    """The work as something that tells how long it took."""

    def measured() -> float:
        started = time.perf_counter()
        work()
        return (time.perf_counter() - started) * 1000

    return measured


def compare(
    name: str,
    times: tuple[Sequence[float], Sequence[float]],
    *,
    target: str,
    most: float = 0,
    note: str = "",
) -> Comparison:
    without, plugin = times
    return Comparison(
        name,
        statistics.median(without),
        statistics.median(plugin),
        len(plugin),
        target,
        most,
        note,
    )


def markdown(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, left: Collection[int] = ()
) -> str:
    """A Markdown table; numbers stand at the right, the columns ``left`` at the left."""
    rule = ["---" if number in left else "---:" for number in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def tell(what: str) -> None:
    """Progress, which is no part of the table."""
    print(f"==> {what}", file=sys.stderr, flush=True)
