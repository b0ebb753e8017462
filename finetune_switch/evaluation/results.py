"""What a run has shown: figures for each contender, and the verdict on each pair."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any

from django.db.models import Count

from finetune_switch.judging.statistics import cohen_kappa, wilson_interval
from finetune_switch.judging.verdict import Side, Verdict
from finetune_switch.models import Contender, Grade, Question, Run, RunItem

from .grading import pairs_of_graders

Interval = tuple[float, float]


@dataclass
class Figures:
    """The figures of one contender. Repeated questions are counted only in ``repeated``."""

    contender: Contender
    grades: Counter[str] = field(default_factory=Counter)
    tones: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    right: int = 0
    disputed: int = 0
    repeated: int = 0
    """Questions of which both answers are graded."""
    changed: int = 0
    """Those of them whose grades differ."""
    seconds: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)
    prompt_tokens: list[int] = field(default_factory=list)
    completion_tokens: list[int] = field(default_factory=list)

    @property
    def name(self) -> str:
        return str(self.contender)

    @property
    def graded(self) -> int:
        return self.grades.total()

    @property
    def answered(self) -> int:
        return self.statuses[RunItem.Status.DONE]

    @property
    def failed(self) -> int:
        return self.statuses[RunItem.Status.FAILED]

    @property
    def ungraded(self) -> int:
        return self.answered - self.graded

    @property
    def shares(self) -> list[tuple[str, int, float | None, Interval | None]]:
        """Each grade with its label, its count, its share of all grades and Wilson's interval."""
        return [
            (
                str(label),
                self.grades[value],
                self.grades[value] / self.graded if self.graded else None,
                wilson_interval(self.grades[value], self.graded),
            )
            for value, label in Grade.Value.choices
        ]

    @property
    def right_interval(self) -> Interval | None:
        return wilson_interval(self.right, self.graded)

    @property
    def tone_counts(self) -> list[int]:
        return [self.tones[tone] for tone in Grade.Tone.values]

    @property
    def median_seconds(self) -> float | None:
        return median(self.seconds) if self.seconds else None

    @property
    def slow_seconds(self) -> float | None:
        """The 95th percentile."""
        if len(self.seconds) < 2:
            return self.median_seconds
        return quantiles(self.seconds, n=20, method="inclusive")[-1]

    @property
    def total_cost(self) -> float | None:
        return sum(self.costs) if self.costs else None

    @property
    def mean_cost(self) -> float | None:
        return sum(self.costs) / len(self.costs) if self.costs else None

    @property
    def median_tokens(self) -> tuple[int, int] | None:
        if not self.prompt_tokens or not self.completion_tokens:
            return None
        return round(median(self.prompt_tokens)), round(median(self.completion_tokens))

    def share_of(self, name: str) -> float | None:
        """The share of a grade by its value, ``correct`` meaning :func:`is_right`."""
        if not self.graded:
            return None
        count = self.right if name == Grade.Value.CORRECT else self.grades[name]
        return count / self.graded


@dataclass(frozen=True)
class Agreement:
    """How far two graders of the same answers agree."""

    answers: int
    same: int
    wrong: int
    """Answers that at least one of the two called wrong."""
    both_wrong: int
    kappa: float | None

    @property
    def caught(self) -> Interval | None:
        return wilson_interval(self.both_wrong, self.wrong)


@dataclass(frozen=True)
class Results:
    run: Run
    figures: Sequence[Figures]
    verdicts: Sequence[Verdict]
    agreement: Agreement | None
    by_tag: Sequence[tuple[str, Sequence[Figures]]]
    questions: int

    @property
    def failed(self) -> int:
        return sum(row.failed for row in self.figures)

    @property
    def answered(self) -> int:
        return sum(row.answered for row in self.figures)

    @property
    def ungraded(self) -> int:
        return sum(row.ungraded for row in self.figures)


@dataclass(frozen=True)
class _Row:
    question: int
    contender: int
    repetition: int
    status: str
    grade: str
    tone: str
    expects: str
    tags: list[str]
    is_disputed: bool

    @property
    def is_right(self) -> bool:
        return is_right(self.grade, self.expects)


def is_right(grade: str, expects: str) -> bool:
    """Whether an answer is right. "I don't know" is, where the pages hold no answer."""
    if expects != Question.Expects.ANSWER and grade == Grade.Value.DONT_KNOW:
        return True
    return grade == Grade.Value.CORRECT


def results_of(run: Run) -> Results:
    """Everything that the page of results shows, but the answers."""
    contenders = list(run.contenders.all())
    figures = {contender.pk: Figures(contender) for contender in contenders}
    rows = [
        _Row(*values)
        for values in run.items.order_by().values_list(
            "question_id",
            "contender_id",
            "repetition",
            "status",
            "grade",
            "tone",
            "question__expects",
            "question__tags",
            "is_disputed",
        )
    ]
    tags: dict[str, dict[int, Figures]] = defaultdict(
        lambda: {contender.pk: Figures(contender) for contender in contenders}
    )
    for row in rows:
        if row.repetition:
            continue
        _count(figures[row.contender], row)
        for tag in row.tags:
            _count(tags[tag][row.contender], row)
    _count_repetitions(figures, rows)
    _measure(run, figures)
    return Results(
        run=run,
        figures=list(figures.values()),
        verdicts=list(_verdicts(run, contenders, rows)),
        agreement=_agreement(run),
        by_tag=[
            (tag, list(tags[tag].values()))
            for tag in sorted(tags, key=str.casefold)
            if any(row.graded for row in tags[tag].values())
        ],
        questions=run.questions.count(),
    )


def _count(figures: Figures, row: _Row) -> None:
    figures.statuses[row.status] += 1
    figures.disputed += row.is_disputed
    if row.grade:
        figures.grades[row.grade] += 1
        figures.right += row.is_right
    if row.tone:
        figures.tones[row.tone] += 1


def _count_repetitions(figures: dict[int, Figures], rows: Iterable[_Row]) -> None:
    graded: dict[tuple[int, int], list[str]] = defaultdict(list)
    for row in rows:
        if row.grade:
            graded[row.question, row.contender].append(row.grade)
    for (_question, contender), grades in graded.items():
        if len(grades) > 1:
            figures[contender].repeated += 1
            figures[contender].changed += len(set(grades)) > 1


def _measure(run: Run, figures: dict[int, Figures]) -> None:
    measured = run.items.filter(status=RunItem.Status.DONE).order_by()
    for contender, seconds, cost, read, written in measured.values_list(
        "contender_id",
        "exchange__duration_seconds",
        "exchange__cost",
        "exchange__prompt_tokens",
        "exchange__completion_tokens",
    ):
        row = figures[contender]
        if seconds is not None:
            row.seconds.append(seconds)
        if cost is not None:
            row.costs.append(float(cost))
        if read is not None:
            row.prompt_tokens.append(read)
        if written is not None:
            row.completion_tokens.append(written)


def _verdicts(run: Run, contenders: Sequence[Contender], rows: Iterable[_Row]) -> Iterable[Verdict]:
    by_position = {contender.position: contender for contender in contenders}
    found: dict[int, dict[int, _Row]] = defaultdict(dict)
    for row in rows:
        if not row.repetition:
            found[row.question][row.contender] = row
    for one, other in run.pairs:
        first, second = by_position[one], by_position[other]
        both = [
            (answers[first.pk], answers[second.pk])
            for answers in found.values()
            if first.pk in answers and second.pk in answers
        ]
        graded = [(a, b) for a, b in both if a.grade and b.grade]
        failed = [RunItem.Status.FAILED in (a.status, b.status) for a, b in both]
        wrong = Grade.Value.WRONG
        yield Verdict(
            str(first),
            str(second),
            wrong=Side.of((a.grade == wrong, b.grade == wrong) for a, b in graded),
            right=Side.of((a.is_right, b.is_right) for a, b in graded),
            pairs=len(run.pairs),
            failed=sum(failed),
        )


def _agreement(run: Run) -> Agreement | None:
    pairs = [(one.value, other.value) for one, other in pairs_of_graders(run)]
    if not pairs:
        return None
    wrong = Grade.Value.WRONG.value
    return Agreement(
        answers=len(pairs),
        same=sum(one == other for one, other in pairs),
        wrong=sum(wrong in pair for pair in pairs),
        both_wrong=sum(pair == (wrong, wrong) for pair in pairs),
        kappa=cohen_kappa(pairs),
    )


def progress_counts(run: Run) -> dict[str, int]:
    """How many rows have each status."""
    counted: Any = run.items.order_by().values_list("status").annotate(rows=Count("pk"))
    return {**dict.fromkeys(RunItem.Status.values, 0), **dict(counted)}
