"""Grades and preferences of many comparisons, added up for each backend and each pair."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from statistics import median
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet, prefetch_related_objects

from finetune_switch.judging.statistics import wilson_interval
from finetune_switch.models import Comparison, Exchange, Grade, Preference
from finetune_switch.search.readers import batched

from .reading import ComparisonReader, Seen, SeenAnswer


@dataclass
class BackendTally:
    name: str
    grades: Counter[str] = field(default_factory=Counter)
    tones: Counter[str] = field(default_factory=Counter)
    first_token_seconds: list[float] = field(default_factory=list)
    duration_seconds: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)

    @property
    def graded(self) -> int:
        return self.grades.total()

    @property
    def grade_counts(self) -> list[int]:
        """In the order of ``Grade.Value``."""
        return [self.grades[value] for value in Grade.Value.values]

    @property
    def grade_shares(self) -> list[tuple[float, str]]:
        """The percentage of each grade among all grades, with its label."""
        return [
            (100 * count / self.graded, str(label))
            for count, label in zip(self.grade_counts, Grade.Value.labels, strict=True)
        ]

    @property
    def tone_counts(self) -> list[int]:
        return [self.tones[tone] for tone in Grade.Tone.values]

    @property
    def median_first_token(self) -> float | None:
        return median(self.first_token_seconds) if self.first_token_seconds else None

    @property
    def median_duration(self) -> float | None:
        return median(self.duration_seconds) if self.duration_seconds else None

    @property
    def median_cost(self) -> float | None:
        return median(self.costs) if self.costs else None

    def add(self, answer: SeenAnswer) -> None:
        """Count each judge's grade once."""
        self.grades.update(word.value for word in answer.grades if word.value)
        self.tones.update(word.tone for word in answer.grades if word.tone)

    def measure(self, exchange: Exchange | None) -> None:
        if exchange is None:
            return
        if exchange.first_token_seconds is not None:
            # Without the time to load the model, as on the page of a comparison.
            loading = exchange.load_seconds or 0.0
            self.first_token_seconds.append(max(0.0, exchange.first_token_seconds - loading))
        if exchange.duration_seconds is not None:
            self.duration_seconds.append(exchange.duration_seconds)
        if exchange.cost is not None:
            self.costs.append(float(exchange.cost))


@dataclass
class PairTally:
    """How often each of two backends was preferred to the other, per judge and comparison."""

    first: str
    second: str
    wins: int = 0
    losses: int = 0
    both_good: int = 0
    both_bad: int = 0

    @property
    def decided(self) -> int:
        return self.wins + self.losses

    @property
    def share(self) -> float | None:
        """The share of the decided comparisons that the first backend won."""
        return self.wins / self.decided if self.decided else None

    @property
    def interval(self) -> tuple[float, float] | None:
        return wilson_interval(self.wins, self.decided)

    @property
    def better(self) -> str:
        """The better backend's name where the 95 % interval excludes one half; else empty."""
        low, high = self.interval or (0.0, 1.0)
        if low > 0.5:
            return self.first
        return self.second if high < 0.5 else ""


@dataclass(frozen=True)
class Tally:
    comparisons: int
    hidden_blind: int
    """How many were left out because the reader may not know who answered."""
    hidden_closed: int
    """How many were left out because the reader may not open their pages."""
    backends: Sequence[BackendTally]
    pairs: Sequence[PairTally]
    topics: Sequence[tuple[str, Sequence[BackendTally]]]


def judged(comparisons: QuerySet[Comparison]) -> QuerySet[Comparison]:
    """The comparisons with a current preference, grade or tone."""
    preferences = Preference.objects.filter(comparison=OuterRef("pk"), is_current=True)
    grades = Grade.objects.filter(
        ~Q(value="") | ~Q(tone=""), exchange__columns__comparison=OuterRef("pk"), is_current=True
    )
    return comparisons.filter(Q(Exists(preferences)) | Q(Exists(grades)))


def tally(comparisons: QuerySet[Comparison], reader: ComparisonReader) -> Tally:
    """Add up the judged comparisons of which the reader may see answers and names."""
    found = judged(comparisons)
    known = found.filter(reader.with_known_names())
    counting = _Counting()
    rows = known.select_related(None).select_related("site", "saved_question").order_by("pk")
    exchanges = Exchange.objects.only(
        "outcome", "first_token_seconds", "load_seconds", "duration_seconds", "cost"
    )
    closed = 0
    for batch in batched(rows.iterator(chunk_size=200)):
        prefetch_related_objects(batch, "saved_question__tags")
        seen = reader.see(batch, exchanges)
        closed += sum(not one.may_read for one in seen)
        counting.add(one for one in seen if one.may_read)
    return Tally(
        comparisons=counting.comparisons,
        hidden_blind=found.count() - known.count(),
        hidden_closed=closed,
        backends=_by_name(counting.backends.values()),
        pairs=sorted(counting.pairs.values(), key=lambda pair: (pair.first, pair.second)),
        topics=[
            (name, _by_name(counting.topics[name].values()))
            for name in sorted(counting.topics, key=str.casefold)
        ],
    )


class _Counting:
    def __init__(self) -> None:
        self.comparisons = 0
        self.backends: dict[Any, BackendTally] = {}
        self.pairs: dict[Any, PairTally] = {}
        self.topics: dict[str, dict[Any, BackendTally]] = defaultdict(dict)

    def add(self, seen: Iterable[Seen]) -> None:
        for one in seen:
            self.comparisons += 1
            question = one.comparison.saved_question
            topics = [tag.name for tag in question.tags.all()] if question else []
            answers = [answer for answer in one.answers if answer.is_answered]
            for answer in one.answers:
                self._of(self.backends, answer)
            for answer in answers:
                self._of(self.backends, answer).add(answer)
                self._of(self.backends, answer).measure(answer.exchange)
                for topic in topics if any(word.value for word in answer.grades) else ():
                    self._of(self.topics[topic], answer).add(answer)
            for one_answer, other in combinations(answers, 2):
                self._pair(one_answer, other, one.preferences)

    def _of(self, rows: dict[Any, BackendTally], answer: SeenAnswer) -> BackendTally:
        return rows.setdefault(_key(answer), BackendTally(answer.name))

    def _pair(self, one: SeenAnswer, other: SeenAnswer, preferences: Iterable[Preference]) -> None:
        """Preferring one column of several counts against each other column of the comparison."""
        first, second = sorted((one, other), key=lambda answer: (answer.name, str(_key(answer))))
        pair = None
        for word in preferences:
            if word.column_id is not None and word.column_id not in (
                first.column.pk,
                second.column.pk,
            ):
                continue
            pair = pair or self.pairs.setdefault(
                (_key(first), _key(second)), PairTally(first.name, second.name)
            )
            pair.wins += word.column_id == first.column.pk
            pair.losses += word.column_id == second.column.pk
            pair.both_good += word.outcome == Preference.Outcome.BOTH_GOOD
            pair.both_bad += word.outcome == Preference.Outcome.BOTH_BAD


def _key(answer: SeenAnswer) -> Any:
    """A deleted backend is identified by its former name."""
    return answer.column.backend_id or answer.column.label


def _by_name(rows: Iterable[BackendTally]) -> list[BackendTally]:
    return sorted(rows, key=lambda row: row.name.casefold())
