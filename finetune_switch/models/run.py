"""Runs: a question set put to several backends, with what was asked frozen when it started."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy
from wagtail.models import Site

from finetune_switch.passages import Passage

from .backend import ChatBackend
from .evaluation import Question, QuestionSet
from .exchange import Exchange, Outcome
from .judgement import Grade


class Run(models.Model):
    """One execution of an evaluation.

    ``pairs`` are the positions of the contenders that a verdict is wanted on. They are named
    before grading starts. ``repeat_percent`` of the questions are asked twice. Each answer is
    graded by ``graders`` people, and by one more where two disagree.
    """

    class Status(models.TextChoices):
        QUEUED = "queued", gettext_lazy("Waiting for a worker")
        RUNNING = "running", gettext_lazy("Running")
        PAUSED = "paused", gettext_lazy("Paused")
        CANCELLED = "cancelled", gettext_lazy("Cancelled")
        FINISHED = "finished", gettext_lazy("Finished")

    # A worker that has been silent for so long, and holds no row, is gone.
    HEARTBEAT_TIMEOUT = timedelta(seconds=60)

    question_set = models.ForeignKey(
        QuestionSet,
        verbose_name=gettext_lazy("question set"),
        on_delete=models.SET_NULL,
        null=True,
        related_name="runs",
    )
    # The set's name when the run started.
    name = models.CharField(gettext_lazy("question set"), max_length=255)
    site = models.ForeignKey(Site, on_delete=models.SET_NULL, null=True, related_name="+")
    locale = models.CharField(max_length=35, blank=True)
    status = models.CharField(
        gettext_lazy("status"), max_length=20, choices=Status.choices, default=Status.QUEUED
    )
    pairs = models.JSONField(default=list)
    repeat_percent = models.PositiveSmallIntegerField(default=0)
    # Whether the grade that rules propose counts where nobody has given one.
    rules_decide = models.BooleanField(gettext_lazy("rules decide alone"), default=False)
    graders = models.PositiveSmallIntegerField(gettext_lazy("graders"), default=1)
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=gettext_lazy("started by"),
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
    )
    created_at = models.DateTimeField(gettext_lazy("started"), default=timezone.now, db_index=True)
    heard_of_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = gettext_lazy("evaluation")
        verbose_name_plural = gettext_lazy("evaluations")
        ordering = ["-created_at", "-pk"]
        permissions = [("grade_run", "Can grade answers of evaluations")]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("finetune_runs:run", args=[self.pk])

    @property
    def is_open(self) -> bool:
        return self.status in (self.Status.QUEUED, self.Status.RUNNING, self.Status.PAUSED)

    def begin(self) -> bool:
        """Let a worker ask the run's questions. Several workers may."""
        return self._change({self.Status.QUEUED, self.Status.RUNNING}, self.Status.RUNNING)

    def pause(self) -> bool:
        return self._change({self.Status.QUEUED, self.Status.RUNNING}, self.Status.PAUSED)

    def cancel(self) -> bool:
        return self._change(
            {self.Status.QUEUED, self.Status.RUNNING, self.Status.PAUSED}, self.Status.CANCELLED
        )

    def resume(self) -> bool:
        """Queue a run that is paused, or whose worker is gone."""
        return self._change(
            {self.Status.PAUSED, self.Status.QUEUED, self.Status.RUNNING}, self.Status.QUEUED
        )

    def finish(self) -> bool:
        """Finish the run, unless rows are left to ask."""
        left = self.items.filter(status__in=(RunItem.Status.WAITING, RunItem.Status.CLAIMED))
        if left.exists():
            return False
        return self._change({self.Status.RUNNING}, self.Status.FINISHED, finished_at=timezone.now())

    def ask_failed_again(self) -> int:
        """Queue the failed rows. Returns their number; those that were answered stay."""
        failed = self.items.filter(status=RunItem.Status.FAILED)
        again = failed.update(status=RunItem.Status.WAITING, error="")
        if again:
            self._change(
                {self.Status.FINISHED, self.Status.CANCELLED}, self.Status.QUEUED, finished_at=None
            )
        return again

    def beat(self) -> bool:
        """Record that a worker is alive. Returns whether the run is still to be worked on."""
        running = type(self).objects.filter(pk=self.pk, status=self.Status.RUNNING)
        return bool(running.update(heard_of_at=timezone.now()))

    @property
    def lacks_worker(self) -> bool:
        """Whether the run should go on, and nobody works on it."""
        if self.status not in (self.Status.QUEUED, self.Status.RUNNING):
            return False
        now = timezone.now()
        if self.items.filter(status=RunItem.Status.CLAIMED, leased_until__gt=now).exists():
            return False
        return (self.heard_of_at or self.created_at) < now - self.HEARTBEAT_TIMEOUT

    def _change(self, before: set[str], after: str, **values: Any) -> bool:
        changes = {"status": after, "heard_of_at": timezone.now(), **values}
        changed = type(self).objects.filter(pk=self.pk, status__in=before).update(**changes)
        self.refresh_from_db(fields=list(changes))
        return bool(changed)


class RunQuestion(models.Model):
    """A question as it was when the run started, with the passages that all backends are given.

    ``passages`` are found once, before the first backend is asked. ``page_ids`` are the pages that
    hold the answer.
    """

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="questions")
    position = models.PositiveIntegerField()
    question = models.ForeignKey(
        Question, on_delete=models.SET_NULL, null=True, related_name="run_questions"
    )
    text = models.TextField()
    reference_answer = models.TextField(blank=True)
    expects = models.CharField(
        max_length=20, choices=Question.Expects.choices, default=Question.Expects.ANSWER
    )
    rules = models.TextField(blank=True)
    page_ids = models.JSONField(default=list)
    tags = models.JSONField(default=list)
    passages = models.JSONField(default=list)
    searched_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["run", "position"]
        constraints = [
            models.UniqueConstraint(
                fields=["run", "position"], name="finetune_switch_run_question_position"
            )
        ]

    def __str__(self) -> str:
        return self.text[:80]

    @property
    def frozen_passages(self) -> list[Passage]:
        return [Passage.from_dict(data) for data in self.passages]


class Contender(models.Model):
    """A backend under a condition, in a run. ``lane`` limits how much is asked at once."""

    class Condition(models.TextChoices):
        SITE = "site", gettext_lazy("As on the site")
        NO_RETRIEVAL = "no_retrieval", gettext_lazy("Without passages")
        INSTRUCTIONS = "instructions", gettext_lazy("With other instructions")

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="contenders")
    position = models.PositiveSmallIntegerField()
    backend = models.ForeignKey(
        ChatBackend, on_delete=models.SET_NULL, null=True, related_name="contenders"
    )
    # The backend's name and state when the run started; it may be deleted later.
    label = models.CharField(max_length=255)
    state = models.JSONField(default=dict)
    condition = models.CharField(max_length=20, choices=Condition.choices, default=Condition.SITE)
    instructions = models.TextField(blank=True)
    lane = models.CharField(max_length=120)

    class Meta:
        ordering = ["run", "position"]
        constraints = [
            models.UniqueConstraint(
                fields=["run", "position"], name="finetune_switch_contender_position"
            )
        ]

    def __str__(self) -> str:
        if self.condition == self.Condition.SITE:
            return self.label
        return f"{self.label}, {str(self.get_condition_display()).lower()}"


class RunItem(models.Model):
    """One question for one contender. Done when its exchange is closed, and then never asked again.

    A worker claims it with a lease; after the lease another may claim it. ``slot`` is one of the
    places of its lane while it is claimed: the constraint limits how many are asked at once, over
    all runs and workers. ``repetition`` 1 is the second time that a question is asked.

    ``grade`` is what its graders agree on; where they don't, it is empty and ``is_disputed`` is
    set.
    """

    class Status(models.TextChoices):
        WAITING = "waiting", gettext_lazy("Waiting")
        CLAIMED = "claimed", gettext_lazy("Being asked")
        DONE = "done", gettext_lazy("Answered")
        FAILED = "failed", gettext_lazy("Failed")

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="items")
    question = models.ForeignKey(RunQuestion, on_delete=models.CASCADE, related_name="items")
    contender = models.ForeignKey(Contender, on_delete=models.CASCADE, related_name="items")
    repetition = models.PositiveSmallIntegerField(default=0)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.WAITING)
    # As in Column, the id exists before the exchange.
    exchange = models.ForeignKey(
        Exchange,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        null=True,
        related_name="run_items",
    )
    claim = models.UUIDField(null=True)
    leased_until = models.DateTimeField(null=True)
    slot = models.CharField(max_length=130, blank=True)
    outcome = models.CharField(max_length=20, choices=Outcome.choices, blank=True)
    error = models.TextField(blank=True)
    # The order in which answers are graded, so that neighbours do not give a name away.
    shuffle = models.UUIDField(default=uuid.uuid4)
    grade = models.CharField(max_length=20, choices=Grade.Value.choices, blank=True)
    tone = models.CharField(max_length=10, choices=Grade.Tone.choices, blank=True)
    graded_by = models.PositiveSmallIntegerField(default=0)
    is_disputed = models.BooleanField(default=False)
    # Somebody is grading the answer just now.
    reserved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    reserved_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["run", "question__position", "repetition", "contender__position"]
        constraints = [
            models.UniqueConstraint(
                fields=["question", "contender", "repetition"], name="finetune_switch_run_item"
            ),
            models.UniqueConstraint(
                fields=["slot"], condition=~Q(slot=""), name="finetune_switch_run_item_slot"
            ),
        ]
        indexes = [models.Index(fields=["run", "status"], name="finetune_run_item_status")]

    def __str__(self) -> str:
        return f"{self.question_id}, {self.contender_id}, {self.repetition}"

    @classmethod
    def release_expired(cls) -> None:
        """Let rows be claimed again whose worker is gone. Their exchanges stay interrupted."""
        now = timezone.now()
        expired = cls.objects.filter(status=cls.Status.CLAIMED, leased_until__lt=now)
        for item in expired.select_related("exchange"):
            if not item.settle():
                item.release()

    def claim_for(self, slot: str, lease: timedelta) -> bool:
        """Claim the row. Raises ``IntegrityError`` if the slot is taken."""
        values = {
            "status": self.Status.CLAIMED,
            "slot": slot,
            "claim": uuid.uuid4(),
            "exchange_id": uuid.uuid4(),
            "leased_until": timezone.now() + lease,
        }
        waiting = type(self).objects.filter(pk=self.pk, status=self.Status.WAITING)
        if not waiting.update(**values):
            return False
        for name, value in values.items():
            setattr(self, name, value)
        return True

    def settle(self) -> bool:
        """Take over the outcome of the exchange, if it was answered or has failed."""
        exchange = self._find_exchange()
        if exchange is None:
            return False
        if exchange.outcome in (Outcome.COMPLETE, Outcome.NO_ANSWER):
            return self._unclaim(self.Status.DONE, outcome=exchange.outcome, error="")
        if exchange.outcome in (Outcome.FAILED, Outcome.CUT_OFF):
            return self.fail(exchange.error)
        return False

    def fail(self, error: str) -> bool:
        return self._unclaim(self.Status.FAILED, outcome=Outcome.FAILED, error=error)

    def release(self) -> bool:
        """Give the row back, to be asked again with a new exchange."""
        if (started := self._find_exchange()) is not None:
            started.close(Outcome.INTERRUPTED)
        return self._unclaim(self.Status.WAITING)

    def _find_exchange(self) -> Exchange | None:
        # Not ``self.exchange``, which raises an error while the exchange does not exist yet.
        if self.exchange_id is None:
            return None
        return Exchange.objects.filter(pk=self.exchange_id).first()

    def _unclaim(self, status: str, **values: Any) -> bool:
        changes = {"status": status, "slot": "", "leased_until": None, **values}
        own = type(self).objects.filter(Q(claim=self.claim), pk=self.pk, status=self.Status.CLAIMED)
        changed = own.update(**changes)
        if changed:
            for name, value in changes.items():
                setattr(self, name, value)
        return bool(changed)
