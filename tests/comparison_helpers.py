"""Comparisons as they stand in the database after people have asked and judged."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone
from wagtail.models import Site

from finetune_switch.models import (
    ChatBackend,
    Column,
    Comparison,
    Exchange,
    Grade,
    Origin,
    Outcome,
    Preference,
    Reveal,
)
from finetune_switch.passages import Passage, Source


def make_comparison(
    question: str,
    backends: Sequence[ChatBackend],
    *,
    site: Site | None,
    pages: Sequence[Any] = (),
    answers: Sequence[str] = (),
    is_blind: bool = False,
    asked_at: datetime | None = None,
    **values: Any,
) -> Comparison:
    """Answered by each backend, from these pages."""
    passages = [
        Passage(
            number=number,
            text=f"Of {page.title}.",
            score=0.5,
            source=Source(page.title, "/", page._meta.label_lower, str(page.pk)),
        ).as_dict()
        for number, page in enumerate(pages, start=1)
    ]
    comparison = Comparison.objects.create(
        site=site, question=question, passages=passages, is_blind=is_blind, **values
    )
    if asked_at:
        Comparison.objects.filter(pk=comparison.pk).update(asked_at=asked_at)
    for position, backend in enumerate(backends):
        answer = answers[position] if answers else f"Answer {position}"
        column = Column.objects.create(
            comparison=comparison, position=position, backend=backend, label=str(backend)
        )
        answer_column(column, answer)
    return comparison


def answer_column(column: Column, answer: str, **values: Any) -> Exchange:
    return Exchange.objects.create(
        id=column.exchange_id,
        origin=Origin.COMPARE,
        question=column.comparison.question,
        backend=column.backend,
        backend_state=column.backend.snapshot() if column.backend else {},
        deadline_at=timezone.now() + timedelta(minutes=5),
        **{
            "answer": answer,
            "outcome": Outcome.COMPLETE,
            "first_token_seconds": 0.5,
            "duration_seconds": 2.0,
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "cost": Decimal("0.00012"),
            **values,
        },
    )


def column_of(comparison: Comparison, letter: str) -> Column:
    return comparison.columns.get(position="ABCD".index(letter))


def grade(comparison: Comparison, letter: str, judge: Any, value: str = "", **values: Any) -> Grade:
    exchange = Exchange.objects.get(pk=column_of(comparison, letter).exchange_id)
    return Grade.record(exchange, judge=judge, was_blind=comparison.is_blind, value=value, **values)


def prefer(comparison: Comparison, what: str, judge: Any) -> Preference:
    """A letter, ``both_good`` or ``both_bad``."""
    column = column_of(comparison, what) if len(what) == 1 else None
    return Preference.record(
        comparison,
        judge=judge,
        was_blind=comparison.is_blind,
        outcome=Preference.Outcome.COLUMN if column else what,
        column=column,
    )


def show_names(comparison: Comparison, judge: Any) -> None:
    Reveal.objects.create(comparison=comparison, judge=judge)


def bar(page: Any, group: Any = None) -> None:
    """From now on only this group's members may open the page; without one only superusers."""
    from wagtail.models import PageViewRestriction

    restriction = PageViewRestriction.objects.create(
        page=page, restriction_type=PageViewRestriction.GROUPS
    )
    if group is not None:
        restriction.groups.add(group)
