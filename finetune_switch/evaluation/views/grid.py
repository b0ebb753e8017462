"""Questions × contenders: the grid on the page of a run, and its spreadsheet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext as _

from finetune_switch.evaluation.reading import RunReader
from finetune_switch.evaluation.results import is_right
from finetune_switch.models import Contender, Grade, Outcome, Question, Run, RunItem, RunQuestion
from finetune_switch.search.readers import batched

GRADES = dict(Grade.Value.choices)
SYMBOLS = {
    Grade.Value.CORRECT: "check",
    Grade.Value.PARTLY_CORRECT: "minus",
    Grade.Value.DONT_KNOW: "help",
    Grade.Value.WRONG: "cross",
}


@dataclass(frozen=True)
class Cell:
    contender: Contender
    label: str
    kind: str
    """The grade, or why there is none: ``failed``, ``waiting``, ``disputed`` or ``ungraded``."""
    is_right: bool
    cause: str
    item: RunItem | None

    @property
    def icon(self) -> str:
        return SYMBOLS.get(self.kind, "")  # type: ignore[call-overload]


@dataclass(frozen=True)
class GridRow:
    question: RunQuestion
    cells: Sequence[Cell]
    may_read: bool


def grid_questions(run: Run, *, only_different: bool = False) -> QuerySet[RunQuestion]:
    """The questions of a run; with ``only_different`` those on which grades differ."""
    questions = run.questions.order_by("position")
    if not only_different:
        return questions
    graded = Q(items__repetition=0) & ~Q(items__grade="")
    return questions.annotate(kinds=Count("items__grade", filter=graded, distinct=True)).filter(
        kinds__gt=1
    )


def grid_rows(run: Run, questions: Sequence[RunQuestion], reader: RunReader) -> list[GridRow]:
    contenders = list(run.contenders.order_by("position"))
    items: dict[int, dict[int, RunItem]] = defaultdict(dict)
    rows = RunItem.objects.filter(question__in=questions, repetition=0)
    for item in rows.select_related("contender"):
        items[item.question_id][item.contender_id] = item
    readable = reader.may_read(questions)
    return [
        GridRow(
            question,
            [cell_of(question, one, items[question.pk].get(one.pk)) for one in contenders],
            question.pk in readable,
        )
        for question in questions
    ]


def cell_of(question: RunQuestion, contender: Contender, item: RunItem | None) -> Cell:
    if item is None or item.status in (RunItem.Status.WAITING, RunItem.Status.CLAIMED):
        return Cell(contender, _("Waiting"), "waiting", False, "", item)
    if item.status == RunItem.Status.FAILED:
        return Cell(contender, _("Failed"), "failed", False, item.error, item)
    if item.is_disputed:
        return Cell(contender, _("Graders disagree"), "disputed", False, "", item)
    if not item.grade:
        return Cell(contender, _("Not graded"), "ungraded", False, "", item)
    right = is_right(item.grade, question.expects)
    cause = "" if right else cause_of(question, item)
    return Cell(contender, str(GRADES[Grade.Value(item.grade)]), item.grade, right, cause, item)


def cause_of(question: RunQuestion, item: RunItem) -> str:
    """Why an answer is not right, as far as the record tells; empty where it does not."""
    if item.contender.condition == Contender.Condition.NO_RETRIEVAL:
        return ""
    found = {passage.source.object_id for passage in question.frozen_passages}
    holding = {str(pk) for pk in question.page_ids}
    if not question.passages:
        return _("nothing was found")
    if question.expects != Question.Expects.ANSWER:
        return _("invented: no page has it") if item.grade == Grade.Value.WRONG else ""
    if holding and not holding & found:
        return _("its page was not found")
    if holding and item.outcome == Outcome.NO_ANSWER:
        return _("found, but ignored")
    return ""


def export_rows(run: Run, reader: RunReader) -> Iterator[dict[str, Any]]:
    """A line for each row of the run."""
    for questions in batched(run.questions.order_by("position").iterator(chunk_size=200)):
        readable = reader.may_read(questions)
        by_id = {question.pk: question for question in questions}
        rows: Iterable[RunItem] = (
            RunItem.objects.filter(question__in=questions)
            .select_related("exchange", "contender")
            .order_by("question__position", "repetition", "contender__position")
        )
        for item in rows:
            yield _export_row(by_id[item.question_id], item, item.question_id in readable)


def _export_row(question: RunQuestion, item: RunItem, may_read: bool) -> dict[str, Any]:
    exchange = item.exchange if item.status == RunItem.Status.DONE else None
    row = {
        "number": question.position + 1,
        "question": question.text,
        "tags": ", ".join(question.tags),
        "expects": question.get_expects_display(),
        "backend": str(item.contender),
        "model": item.contender.state.get("model", ""),
        "repetition": item.repetition + 1,
        "status": item.get_status_display(),
        "error": item.error,
        "grade": item.get_grade_display() if item.grade else "",
        "tone": item.get_tone_display() if item.tone else "",
        "graded_by": item.graded_by,
    }
    if exchange is not None:
        row |= {
            "duration_seconds": exchange.duration_seconds,
            "prompt_tokens": exchange.prompt_tokens,
            "completion_tokens": exchange.completion_tokens,
            "cost": exchange.cost,
        }
    if not may_read:
        return {**row, "answer": _("You may not open every page that the answers rest on.")}
    return {
        **row,
        "reference": question.reference_answer,
        "answer": exchange.answer if exchange is not None else "",
    }
