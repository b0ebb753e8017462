"""Work on a run: find its passages, claim its rows, and ask.

Nothing is kept in memory that a killed worker would take along: each row is claimed in the
database with a lease, and is done when its exchange is closed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, close_old_connections, connections, router, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import override

from finetune_switch.access import Asker
from finetune_switch.answers import Answer, AskedQuestion
from finetune_switch.connections import get_connection
from finetune_switch.exceptions import BackendError, ConnectionNotConfigured
from finetune_switch.models import (
    ChatBackend,
    Contender,
    Exchange,
    Origin,
    Run,
    RunItem,
    RunQuestion,
    Switch,
)
from finetune_switch.search import retrieve_for

from .grading import grade_by_rules

logger = logging.getLogger("finetune_switch.evaluation")

# How many questions are asked at once on one connection. Ollama answers one after another.
OLLAMA_SLOTS = 1
HOSTED_SLOTS = 4
# A worker stores the end of an answer within this time of the answer's own deadline.
LEASE_GRACE = timedelta(seconds=30)
# How often a worker looks again where it has to wait, and how soon it notices Ctrl-C.
LOOK_SECONDS = 0.5


def execute(run: Run, *, stop: threading.Event | None = None) -> None:
    """Ask what is left of the run, until it is finished, paused or cancelled.

    Any number of processes may do so at once, and one that was killed loses nothing.
    """
    stop = stop or threading.Event()
    if not run.begin():
        return
    RunItem.release_expired()
    find_passages(run, stop)
    lanes = list(run.contenders.order_by("lane").values_list("lane", flat=True).distinct())
    workers = [lane for lane in lanes for _slot in range(slots_of(lane))]
    if len(workers) == 1 or not _is_visible_to_others():
        for lane in lanes:
            _work(run.pk, lane, stop)
    else:
        with ThreadPoolExecutor(len(workers), thread_name_prefix="finetune-run") as executor:
            working = [executor.submit(_work_in_thread, run.pk, lane, stop) for lane in workers]
            try:
                for one in working:
                    one.result()
            except BaseException:
                stop.set()
                raise
    run.finish()


def _is_visible_to_others() -> bool:
    """Whether threads with connections of their own see the run: not from a transaction."""
    connection: Any = connections[router.db_for_write(Run)]
    in_memory = connection.vendor == "sqlite" and connection.is_in_memory_db()
    return not (connection.in_atomic_block or in_memory)


def slots_of(lane: str) -> int:
    """How many questions a lane takes at once."""
    try:
        return OLLAMA_SLOTS if get_connection(lane).is_ollama else HOSTED_SLOTS
    except ConnectionNotConfigured:
        return 1


def find_passages(run: Run, stop: threading.Event) -> None:
    """Find the passages of each question once, as an anonymous visitor. Later calls find none."""
    if not run.contenders.exclude(condition=Contender.Condition.NO_RETRIEVAL).exists():
        return
    switch = Switch.for_question(run.site)
    for question in run.questions.filter(searched_at=None).iterator(chunk_size=100):
        if stop.is_set() or not run.beat():
            return
        try:
            with override(run.locale or settings.LANGUAGE_CODE):
                found = retrieve_for(
                    switch, question.text, asker=Asker.anonymous(), locale=run.locale or None
                )
        except BackendError as error:
            # The rows fail with this sentence, and can be asked again.
            _fail_question(question, error)
            continue
        # Another worker may have found them meanwhile: the first ones stay.
        RunQuestion.objects.filter(pk=question.pk, searched_at=None).update(
            passages=[passage.as_dict() for passage in found], searched_at=timezone.now()
        )


def _fail_question(question: RunQuestion, error: BackendError) -> None:
    waiting = question.items.filter(status=RunItem.Status.WAITING).exclude(
        contender__condition=Contender.Condition.NO_RETRIEVAL
    )
    waiting.update(status=RunItem.Status.FAILED, error=str(error))


def _work_in_thread(run_id: int, lane: str, stop: threading.Event) -> None:
    close_old_connections()
    try:
        _work(run_id, lane, stop)
    finally:
        connections.close_all()


def _work(run_id: int, lane: str, stop: threading.Event) -> None:
    """Ask one question of the lane after another, until none is left."""
    run = Run.objects.select_related("site").get(pk=run_id)
    while not stop.is_set() and run.beat():
        RunItem.release_expired()
        left = run.items.filter(contender__lane=lane)
        if not left.filter(status=RunItem.Status.WAITING).exists():
            if not left.filter(status=RunItem.Status.CLAIMED).exists():
                return
            # Another worker asks the last ones. If it is killed, this one takes them over.
            stop.wait(LOOK_SECONDS)
        elif visitor_waits(lane) or (item := claim(run, lane)) is None:
            stop.wait(LOOK_SECONDS)
        else:
            ask(run, item, stop.is_set)


def visitor_waits(lane: str) -> bool:
    """Whether a visitor's question is being answered on this connection."""
    now = timezone.now()
    open_now = Exchange.objects.of_visitors().filter(outcome="open", deadline_at__gt=now)
    return open_now.filter(
        backend__kind=ChatBackend.Kind.CONNECTION, backend__connection=lane
    ).exists()


def claim(run: Run, lane: str) -> RunItem | None:
    """Claim the next row; ``None`` where the lane has no free slot, or others were faster."""
    prefix = f"{lane}/"
    taken = set(RunItem.objects.filter(slot__startswith=prefix).values_list("slot", flat=True))
    free = [slot for n in range(slots_of(lane)) if (slot := f"{prefix}{n}") not in taken]
    if not free:
        return None
    waiting = run.items.filter(contender__lane=lane, status=RunItem.Status.WAITING)
    rows = waiting.select_related("question", "contender__backend")
    rows = rows.order_by("question__position", "repetition", "contender__position")
    for item in rows[: slots_of(lane)]:
        try:
            with transaction.atomic():
                if item.claim_for(free[0], _lease_of(item.contender)):
                    return item
        except IntegrityError:
            # Another worker has taken the slot.
            return None
    return None


def _lease_of(contender: Contender) -> timedelta:
    backend = contender.backend
    seconds = backend.deadlines.total if backend else 0
    return timedelta(seconds=seconds) + LEASE_GRACE


def ask(run: Run, item: RunItem, is_stopped: Callable[[], bool] = lambda: False) -> None:
    """Ask the question of a claimed row, and settle the row. Never raises for a failed answer."""
    contender, question = item.contender, item.question
    if contender.backend is None:
        item.fail(_("“%s” was deleted before it was asked.") % contender.label)
        return
    retrieves = contender.condition != Contender.Condition.NO_RETRIEVAL
    asked = Answer(
        AskedQuestion(
            question.text,
            site=run.site,
            locale=run.locale,
            asker=Asker.anonymous(),
            backend=contender.backend,
            passages=question.frozen_passages if retrieves else [],
            retrieval=retrieves,
            instructions=contender.instructions,
            origin=Origin.EVALUATION,
            exchange_id=item.exchange_id,
        )
    )
    try:
        with closing(asked.iterate(heartbeat=LOOK_SECONDS)) as events:
            for _event in events:
                if is_stopped():
                    break
    except BaseException:
        item.release()
        raise
    if item.settle():
        if item.status == RunItem.Status.DONE:
            grade_by_rules(item)
        return
    if asked.failure is not None:
        # The question could not even be recorded.
        item.fail(asked.failure.message)
    else:
        item.release()
