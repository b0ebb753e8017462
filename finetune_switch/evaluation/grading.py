"""Grade the answers of a run: one at a time, without names, by one or several people."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from typing import Any

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from finetune_switch.models import Exchange, Grade, Run, RunItem

from .rules import judge_by_rules, read_rules

# Somebody who leaves an answer open for longer gives it back.
RESERVED_FOR = timedelta(minutes=10)
MOST_GRADERS = 3


def to_grade(run: Run, user: Any) -> QuerySet[RunItem]:
    """The answers that the user may still grade, and nobody else is grading now."""
    now = timezone.now()
    own = Grade.objects.filter(
        ~Q(value=""), exchange=OuterRef("exchange_id"), judge=user, is_current=True
    )
    needs_grade = Q(graded_by__lt=run.graders) | Q(is_disputed=True)
    if run.rules_decide:
        needs_grade &= Q(grade="") | Q(graded_by__gt=0)
    free = Q(reserved_by=None) | Q(reserved_by=user) | Q(reserved_at__lt=now - RESERVED_FOR)
    return (
        run.items.filter(needs_grade & free, ~Exists(own), status=RunItem.Status.DONE)
        .select_related("question", "exchange", "run__site")
        .order_by("question__position", "shuffle")
    )


def reserve(item: RunItem, user: Any) -> bool:
    """Keep others from grading the answer for a while. Returns ``False`` if somebody else does."""
    now = timezone.now()
    free = RunItem.objects.filter(
        Q(reserved_by=None) | Q(reserved_by=user) | Q(reserved_at__lt=now - RESERVED_FOR),
        pk=item.pk,
    )
    return bool(free.update(reserved_by=user, reserved_at=now))


def give_grade(item: RunItem, user: Any, **opinion: Any) -> Grade:
    """Record the user's grade, and settle the answer's."""
    grade = Grade.record(item.exchange, judge=user, was_blind=True, **opinion)
    if item.reserved_by_id == user.pk and item.reserved_at is not None and grade.seconds is None:
        grade.seconds = (timezone.now() - item.reserved_at).total_seconds()
        grade.save(update_fields=["seconds"])
    RunItem.objects.filter(pk=item.pk, reserved_by=user).update(reserved_by=None, reserved_at=None)
    settle_grade(item)
    return grade


def undo_grade(item: RunItem, user: Any) -> None:
    Grade.undo(item.exchange, judge=user)
    settle_grade(item)


@transaction.atomic
def settle_grade(item: RunItem) -> None:
    """Write down on the row what its graders agree on."""
    row = RunItem.objects.select_for_update().get(pk=item.pk)
    every = list(Grade.objects.filter(exchange=row.exchange_id, is_current=True))
    grades = [grade for grade in every if grade.source == Grade.Source.PERSON]
    values = [grade.value for grade in grades if grade.value]
    tones = [grade.tone for grade in grades if grade.tone]
    row.grade = majority(values)
    row.tone = majority(tones)
    row.graded_by = len(values)
    row.is_disputed = bool(values) and not row.grade
    if not values and row.run.rules_decide:
        proposed = [grade.value for grade in every if grade.source == Grade.Source.RULE]
        row.grade = proposed[0] if proposed else ""
    row.save(update_fields=["grade", "tone", "graded_by", "is_disputed"])


def grade_by_rules(item: RunItem) -> None:
    """Propose the grade that the question's rules give. Replaces an earlier proposal."""
    if not item.question.rules or item.exchange_id is None:
        return
    exchange = Exchange.objects.get(pk=item.exchange_id)
    value, note = judge_by_rules(read_rules(item.question.rules), exchange)
    Grade.objects.filter(exchange=exchange, source=Grade.Source.RULE).delete()
    Grade.objects.create(
        exchange=exchange, source=Grade.Source.RULE, value=value, note=note, was_blind=True
    )
    settle_grade(item)


def majority(values: list[str]) -> str:
    """The value that more than half of the judges gave; empty without one."""
    for value, times in Counter(values).most_common(1):
        if 2 * times > len(values):
            return value
    return ""


def last_graded(run: Run, user: Any) -> RunItem | None:
    """The answer that the user graded last, to undo it."""
    latest = (
        Grade.objects.filter(exchange__run_items__run=run, judge=user, is_current=True)
        .exclude(value="")
        .order_by("-judged_at", "-pk")
        .first()
    )
    if latest is None:
        return None
    return run.items.filter(exchange_id=latest.exchange_id).select_related("exchange").first()


@dataclass(frozen=True)
class Pace:
    """How far one grader is, and how fast."""

    graded: int
    left: int
    seconds: float | None


def pace_of(run: Run, user: Any) -> Pace:
    own = Grade.objects.filter(
        ~Q(value=""), exchange__run_items__run=run, judge=user, is_current=True
    )
    seconds = [grade.seconds for grade in own if grade.seconds is not None]
    return Pace(len(own), to_grade(run, user).count(), median(seconds) if seconds else None)


def pairs_of_graders(run: Run) -> list[tuple[Grade, Grade]]:
    """The first two current grades of each answer that has two, oldest first."""
    grades = (
        Grade.objects.filter(~Q(value=""), exchange__run_items__run=run, is_current=True)
        .filter(source=Grade.Source.PERSON)
        .filter(exchange__run_items__graded_by__gt=1)
        .order_by(F("exchange"), "judged_at", "pk")
    )
    by_exchange: dict[Any, list[Grade]] = {}
    for grade in grades:
        by_exchange.setdefault(grade.exchange_id, []).append(grade)
    return [(rows[0], rows[1]) for rows in by_exchange.values() if len(rows) > 1]
