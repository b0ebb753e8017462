"""What a run will cost, how long it takes and where its questions go, from past exchanges."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from django.template.defaultfilters import floatformat
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_switch.models import ChatBackend, Exchange, Outcome, Run, RunItem

from .running import slots_of
from .starting import lane_of

SAMPLE_SIZE = 50
# In US dollars. A run that costs more asks for a confirmation.
EXPENSIVE = 50


@dataclass(frozen=True)
class Estimate:
    """``seconds`` and ``cost`` leave out the backends named in ``unknown_*``."""

    asked: int
    seconds: float
    cost: float
    destinations: Sequence[tuple[str, int]]
    unknown_times: Sequence[str]
    unknown_costs: Sequence[str]

    @property
    def is_expensive(self) -> bool:
        return self.cost > EXPENSIVE

    def sentences(self) -> list[str]:
        said = [
            _("About %(cost)s and %(time)s.")
            % {"cost": dollars(self.cost), "time": duration(self.seconds)}
        ]
        for destination, count in self.destinations:
            text = ngettext(
                "%(count)d question goes to: %(destination)s.",
                "%(count)d questions go to: %(destination)s.",
                count,
            )
            said.append(text % {"count": count, "destination": destination})
        if self.unknown_costs:
            said.append(
                _("Without the cost of %s: no past answer tells it, or no price is set.")
                % ", ".join(self.unknown_costs)
            )
        if self.unknown_times:
            said.append(
                _("Without the time of %s, which has not answered yet.")
                % ", ".join(self.unknown_times)
            )
        return said


def estimate(backends: Sequence[ChatBackend], times: int) -> Estimate:
    """The estimate for putting ``times`` questions to each backend."""
    cost = 0.0
    seconds: dict[str, float] = defaultdict(float)
    destinations: Counter[str] = Counter()
    unknown_times, unknown_costs = [], []
    for backend in backends:
        destinations[backend.data_destination] += times
        duration, price = usual(backend)
        if backend.kind == ChatBackend.Kind.EXTRACTIVE:
            duration, price = duration or 0.0, 0.0
        if duration is None:
            unknown_times.append(str(backend))
        if price is None:
            unknown_costs.append(str(backend))
        lane = lane_of(backend)
        seconds[lane] += times * (duration or 0.0) / slots_of(lane)
        cost += times * (price or 0.0)
    return Estimate(
        asked=times * len(backends),
        seconds=max(seconds.values(), default=0.0),
        cost=cost,
        destinations=destinations.most_common(),
        unknown_times=unknown_times,
        unknown_costs=unknown_costs,
    )


def usual(backend: ChatBackend) -> tuple[float | None, float | None]:
    """The median seconds and US dollars of the backend's latest answers, where known."""
    latest = Exchange.objects.filter(
        backend=backend,
        backend_state__model=backend.model_name,
        outcome__in=(Outcome.COMPLETE, Outcome.NO_ANSWER),
        duration_seconds__isnull=False,
    ).order_by("-opened_at")
    rows = latest.values_list("duration_seconds", "cost")[:SAMPLE_SIZE]
    durations = [duration for duration, _cost in rows if duration is not None]
    costs = [float(cost) for _duration, cost in rows if cost is not None]
    return _median(durations), _median(costs)


def _median(values: Iterable[float]) -> float | None:
    found = list(values)
    return median(found) if found else None


def seconds_left(run: Run) -> float | None:
    """How long the rest of the run takes, from its own answers; ``None`` before there are any."""
    waiting: Counter[str] = Counter()
    durations: dict[str, list[float]] = defaultdict(list)
    rows = run.items.order_by().values_list(
        "contender__lane", "status", "exchange__duration_seconds"
    )
    for lane, status, seconds in rows:
        if status in (RunItem.Status.WAITING, RunItem.Status.CLAIMED):
            waiting[lane] += 1
        elif seconds is not None:
            durations[lane].append(seconds)
    if any(lane not in durations for lane in waiting):
        return None
    lefts = [
        count * sum(durations[lane]) / len(durations[lane]) / slots_of(lane)
        for lane, count in waiting.items()
    ]
    return max(lefts, default=0.0)


def dollars(amount: float) -> str:
    return f"$ {floatformat(amount, 2)}"


def duration(seconds: float) -> str:
    """A rough duration in words."""
    if seconds < 60:
        return _("less than a minute")
    minutes = round(seconds / 60)
    if minutes < 120:
        return ngettext("%d minute", "%d minutes", minutes) % minutes
    hours = round(minutes / 60)
    return ngettext("%d hour", "%d hours", hours) % hours
