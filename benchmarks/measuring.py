"""Two ways of doing a thing, measured by turns, and what their medians come to."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Comparison:
    """Medians in milliseconds. ``most`` is a ratio or, for ``"difference"``, milliseconds."""

    name: str
    without: float
    plugin: float
    runs: int
    target: str
    most: float
    note: str = ""

    @property
    def ratio(self) -> float:
        return self.plugin / self.without

    @property
    def difference(self) -> float:
        return self.plugin - self.without

    @property
    def is_met(self) -> bool:
        return (self.ratio if self.target == "ratio" else self.difference) <= self.most


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
    most: float,
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


def tell(what: str) -> None:
    """Progress, which is no part of the table."""
    print(f"==> {what}", file=sys.stderr, flush=True)
