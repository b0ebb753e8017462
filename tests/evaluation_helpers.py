"""Question sets, and runs as they stand in the database after models and people have answered."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from finetune_switch.evaluation.grading import settle_grade
from finetune_switch.evaluation.starting import start_run
from finetune_switch.models import (
    Exchange,
    Grade,
    Origin,
    Outcome,
    Question,
    QuestionSet,
    Run,
    RunItem,
)
from finetune_switch.passages import Passage, Source

WORDS = {"c": "correct", "p": "partly_correct", "d": "dont_know", "w": "wrong"}


def make_set(*questions: str, name: str = "Ten questions", **values: Any) -> QuestionSet:
    made = QuestionSet.objects.create(name=name, **values)
    for text in questions or ("When does it open?", "What does it cost?"):
        made.questions.add(
            Question.objects.create(text=text, reference_answer=f"Reference: {text}")
        )
    return made


def passage_of(page: Any, number: int = 1) -> dict[str, Any]:
    source = Source(page.title, "/", page._meta.label_lower, str(page.pk))
    return Passage(number, f"Of {page.title}.", 0.5, source).as_dict()


def answer_item(item: RunItem, answer: str = "An answer.", **values: Any) -> RunItem:
    """As if the row's backend had answered."""
    exchange = Exchange.objects.create(
        **{
            "origin": Origin.EVALUATION,
            "question": item.question.text,
            "backend": item.contender.backend,
            "answer": answer,
            "outcome": Outcome.COMPLETE,
            "duration_seconds": 2.0,
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "cost": Decimal("0.00012"),
            "deadline_at": timezone.now() + timedelta(minutes=5),
            **values,
        }
    )
    item.exchange = exchange
    failed = exchange.outcome == Outcome.FAILED
    item.status = RunItem.Status.FAILED if failed else RunItem.Status.DONE
    item.outcome = exchange.outcome
    item.save()
    return item


def finished_run(
    question_set: QuestionSet, backends: Sequence[Any], *, pages: Sequence[Any] = (), **values: Any
) -> Run:
    """Answered by each backend, from these pages."""
    run = start_run(question_set, backends, **{"site": None, "locale": "en", **values})
    passages = [passage_of(page, number) for number, page in enumerate(pages, start=1)]
    run.questions.update(passages=passages, searched_at=timezone.now())
    for item in run.items.select_related("question", "contender__backend"):
        answer_item(item, f"Answer of {item.contender.position} to {item.question.text}")
    Run.objects.filter(pk=run.pk).update(status=Run.Status.FINISHED, finished_at=timezone.now())
    run.refresh_from_db()
    return run


def grade_item(item: RunItem, judge: Any, value: str, **values: Any) -> None:
    Grade.record(item.exchange, judge=judge, was_blind=True, value=value, **values)
    settle_grade(item)


def grade_run(run: Run, judge: Any, *grades: str) -> None:
    """One string for each contender, such as "ccdw", with a letter for each question."""
    for position, letters in enumerate(grades):
        items = run.items.filter(contender__position=position, repetition=0)
        rows = items.select_related("exchange").order_by("question__position")
        for item, letter in zip(rows, letters, strict=True):
            grade_item(item, judge, WORDS[letter])
