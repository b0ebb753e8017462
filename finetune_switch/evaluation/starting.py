"""Start a run: check what was asked for, and freeze its questions, references and backends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import prefetch_related_objects
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from wagtail.models import Site

from finetune_switch.access.sites import site_language
from finetune_switch.exceptions import FinetuneSwitchError
from finetune_switch.models import (
    ChatBackend,
    Contender,
    Question,
    QuestionSet,
    Run,
    RunItem,
    RunQuestion,
)

FEWEST, MOST = 2, 4
MOST_CONTENDERS = 12


class InvalidRun(FinetuneSwitchError):
    """The run cannot be started. The message says what to change."""


@dataclass(frozen=True)
class Setup:
    """One condition under which each backend is asked."""

    condition: str = Contender.Condition.SITE
    instructions: str = ""


def start_run(
    question_set: QuestionSet,
    backends: Sequence[ChatBackend],
    *,
    site: Site | None,
    locale: str = "",
    user: Any = None,
    setups: Sequence[Setup] = (Setup(),),
    repeat_percent: int = 0,
    graders: int = 1,
    rules_decide: bool = False,
    baseline: ChatBackend | None = None,
) -> Run:
    """Create a queued run with a row for each question, backend and condition. Asks no model.

    The verdict compares ``baseline``, by default the first backend, with each other contender;
    with two contenders there is one pair. Raises :class:`InvalidRun`.
    """
    chosen = list({backend.pk: backend for backend in backends}.values())
    _check(question_set, chosen, setups)
    questions = list(question_set.questions.order_by("created_at", "pk"))
    prefetch_related_objects(questions, "tags")
    with transaction.atomic():
        run = Run.objects.create(
            question_set=question_set,
            name=question_set.name,
            site=site,
            locale=site_language(locale) if locale else "",
            started_by=user,
            repeat_percent=repeat_percent,
            graders=graders,
            rules_decide=rules_decide,
        )
        contenders = Contender.objects.bulk_create(
            Contender(
                run=run,
                position=position,
                backend=backend,
                label=str(backend)[:255],
                state=backend.snapshot(),
                condition=setup.condition,
                instructions=setup.instructions,
                lane=lane_of(backend),
            )
            for position, (setup, backend) in enumerate(
                (setup, backend) for setup in setups for backend in chosen
            )
        )
        frozen = RunQuestion.objects.bulk_create(
            [_frozen(run, position, row) for position, row in enumerate(questions)],
            batch_size=500,
        )
        RunItem.objects.bulk_create(
            [
                RunItem(run=run, question=question, contender=contender, repetition=repetition)
                for question in frozen
                for repetition in range(2 if is_repeated(question.position, repeat_percent) else 1)
                for contender in contenders
            ],
            batch_size=500,
        )
        first = next((c for c in contenders if c.backend == baseline), contenders[0])
        run.pairs = [[first.position, other.position] for other in contenders if other != first]
        run.save(update_fields=["pairs"])
    return run


def _check(
    question_set: QuestionSet, backends: Sequence[ChatBackend], setups: Sequence[Setup]
) -> None:
    if not question_set.questions.exists():
        raise InvalidRun(_("The set “%s” has no questions. Add some first.") % question_set.name)
    if question_set.purpose != QuestionSet.Purpose.TESTING:
        raise InvalidRun(
            _(
                "The set “%s” is for collecting examples: a model may have been trained with them. "
                "Choose a set for testing."
            )
            % question_set.name
        )
    several_conditions = len(setups) > 1 and len(backends) == 1
    if not (FEWEST <= len(backends) <= MOST or several_conditions):
        raise InvalidRun(
            _("Choose %(fewest)d to %(most)d backends; %(chosen)d were chosen.")
            % {"fewest": FEWEST, "most": MOST, "chosen": len(backends)}
        )
    for backend in backends:
        if reason := backend.unavailable_reason:
            raise InvalidRun(reason)
    if len(set(setups)) != len(setups) or not setups:
        raise InvalidRun(_("Choose each condition once."))
    for setup in setups:
        if setup.condition == Contender.Condition.INSTRUCTIONS and not setup.instructions.strip():
            raise InvalidRun(_("Write the other instructions first."))


def _frozen(run: Run, position: int, question: Question) -> RunQuestion:
    return RunQuestion(
        run=run,
        position=position,
        question=question,
        text=question.text,
        reference_answer=question.reference_answer,
        expects=question.expects,
        rules=question.rules,
        page_ids=question.page_ids,
        tags=sorted(tag.name for tag in question.tags.all()),
    )


def is_repeated(position: int, percent: int) -> bool:
    """Whether the question at this position is asked twice: evenly spread over the set."""
    return math.floor((position + 1) * percent / 100) > math.floor(position * percent / 100)


def lane_of(backend: ChatBackend) -> str:
    """Backends of one connection share a lane, which limits how many are asked at once."""
    if backend.kind == ChatBackend.Kind.CONNECTION:
        return backend.connection
    return f"{backend.kind}:{backend.connection}"


def unanswerable_note(question_set: QuestionSet) -> str:
    """A sentence about questions that no page answers; empty where the set has both kinds."""
    kinds = question_set.questions.values_list("expects", flat=True)
    counted = dict.fromkeys(Question.Expects.values, 0)
    for kind in kinds:
        counted[kind] += 1
    no_page, outside = counted[Question.Expects.NO_PAGE], counted[Question.Expects.OUTSIDE]
    if no_page and outside:
        return ""
    have = ngettext(
        "%(count)d of its questions has no answer on the pages, and %(outside)d is outside the "
        "site's field.",
        "%(count)d of its questions have no answer on the pages, and %(outside)d are outside the "
        "site's field.",
        no_page,
    ) % {"count": no_page, "outside": outside}
    ask = _("Add some of both: they expose a model that never says “I don't know”.")
    return f"{have} {ask}"
