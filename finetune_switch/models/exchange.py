"""What a question leaves behind."""

from __future__ import annotations

import uuid
from datetime import timedelta
from statistics import median
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from wagtail.models import Site

from finetune_switch.exceptions import InvalidQuestion
from finetune_switch.passages import Passage

from .backend import ChatBackend
from .prepared import PreparedAnswer

# In characters.
MAX_QUESTION_LENGTH = 20_000
LEAST_LOAD_SECONDS = 1.0
LATEST_LOADS = 20


def clean_question(text: str, most: int | None = None) -> str:
    """A question as it is asked, of ``most`` characters.

    Raises :class:`InvalidQuestion` where it is none, or too long.
    """
    most = min(most or MAX_QUESTION_LENGTH, MAX_QUESTION_LENGTH)
    text = text.replace("\x00", "").strip()
    if not text:
        raise InvalidQuestion(_("Write a question first."))
    if len(text) > most:
        raise InvalidQuestion(
            _("The question has %(length)d characters; at most %(most)d can be asked.")
            % {"length": len(text), "most": most}
        )
    return text


class Origin(models.TextChoices):
    """Where a question was asked."""

    SITE = "site", gettext_lazy("On the site")
    COMPARE = "compare", gettext_lazy("Comparison")
    EVALUATION = "evaluation", gettext_lazy("Evaluation")
    SHELL = "shell", gettext_lazy("Command line")


class Outcome(models.TextChoices):
    """How a question ended."""

    OPEN = "open", gettext_lazy("Answering")
    COMPLETE = "complete", gettext_lazy("Answered")
    NO_ANSWER = "no_answer", gettext_lazy("Don't know")
    FAILED = "failed", gettext_lazy("Failed")
    CANCELLED = "cancelled", gettext_lazy("Stopped by the reader")
    INTERRUPTED = "interrupted", gettext_lazy("Interrupted")


class ExchangeQuerySet(models.QuerySet["Exchange"]):
    def overdue(self) -> ExchangeQuerySet:
        """Open past their deadline: whatever was answering them is gone."""
        return self.filter(outcome=Outcome.OPEN, deadline_at__lt=timezone.now())

    def asked_today(self) -> ExchangeQuerySet:
        # localtime() refuses the times of a project with USE_TZ = False.
        now = timezone.localtime() if settings.USE_TZ else timezone.now()
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        return self.filter(opened_at__gte=midnight)

    def of_visitors(self) -> ExchangeQuerySet:
        """What was asked on the site."""
        return self.filter(origin=Origin.SITE)

    def ended_as(self, outcome: str) -> ExchangeQuerySet:
        """Those whose outcome reads so now; one left open past its deadline was interrupted."""
        overdue = Q(outcome=Outcome.OPEN, deadline_at__lt=timezone.now())
        match outcome:
            case Outcome.OPEN:
                return self.filter(~overdue, outcome=outcome)
            case Outcome.INTERRUPTED:
                return self.filter(Q(outcome=outcome) | overdue)
        return self.filter(outcome=outcome)

    def unanswered(self) -> ExchangeQuerySet:
        """Visitors' questions without an answer, or with one that did not help.

        Of those that failed, the ones for which no page was found. What people had prepared an
        answer for is not among them.
        """
        without = Q(outcome=Outcome.NO_ANSWER) | Q(feedback__is_helpful=False)
        not_searched = Q(outcome=Outcome.FAILED, retrieval=True, passages=[])
        return self.of_visitors().filter(without | not_searched, prepared_answer__isnull=True)

    def usual_load_seconds(self, backend: ChatBackend) -> float | None:
        """How long it takes to load this backend's model: the median of the latest times.

        ``None`` where it was never seen being loaded. A server tells a time for a model that is in
        memory already, too; that is next to nothing, and does not count.
        """
        loaded = self.filter(
            backend=backend,
            backend_state__model=backend.model_name,
            load_seconds__gte=LEAST_LOAD_SECONDS,
        )
        latest = loaded.order_by("-opened_at").values_list("load_seconds", flat=True)
        seconds = list(latest[:LATEST_LOADS])
        return median(seconds) if seconds else None

    def expired(self, days: int) -> ExchangeQuerySet:
        """Visitors' exchanges that are older than their retention, except those to keep."""
        # Earlier turns of a conversation decide who may read a later one, so they stay together.
        kept = self.model._default_manager.filter(
            Q(grades__is_current=True) | Q(columns__isnull=False)
        )
        conversations = kept.filter(conversation__isnull=False).values("conversation")
        old = self.of_visitors().filter(opened_at__lt=timezone.now() - timedelta(days=days))
        return old.exclude(Q(pk__in=kept.values("pk")) | Q(conversation__in=conversations))


class Exchange(models.Model):
    """Question, passages, answer, the backend as it was, timings, tokens, cost and outcome.

    Opened before the backend is asked and closed exactly once. The answer is what the model said,
    ``shown_text`` what the reader was shown of it, and ``withheld_facts`` the facts in it that the
    fact lock kept from the visitor. Tokens are counts, seconds are seconds, the cost is in US
    dollars; each is empty where unknown.

    ``conversation`` is shared by a visitor's questions that follow each other, and
    ``standalone_question`` is what a follow-up was made into before it was searched for.
    ``visitor`` is no more than a hash, whose salt is forgotten at the end of the day. Where people
    had prepared the answer, ``prepared_answer`` says which, and no model was asked.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    site = models.ForeignKey(Site, on_delete=models.SET_NULL, null=True, related_name="+")
    locale = models.CharField(max_length=35, blank=True)
    origin = models.CharField(max_length=20, choices=Origin.choices, db_index=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    question = models.TextField()
    conversation = models.UUIDField(null=True, db_index=True)
    standalone_question = models.TextField(blank=True)
    visitor = models.CharField(max_length=64, blank=True)
    retrieval = models.BooleanField(default=True)
    passages = models.JSONField(default=list)
    left_out = models.PositiveSmallIntegerField(default=0)
    backend = models.ForeignKey(
        ChatBackend, on_delete=models.SET_NULL, null=True, related_name="exchanges"
    )
    backend_state = models.JSONField(default=dict)
    prepared_answer = models.ForeignKey(
        PreparedAnswer, on_delete=models.SET_NULL, null=True, related_name="exchanges"
    )
    answer = models.TextField(blank=True)
    shown_text = models.TextField(blank=True)
    citations = models.JSONField(default=list)
    withheld_facts = models.JSONField(default=list)
    outcome = models.CharField(
        max_length=20, choices=Outcome.choices, default=Outcome.OPEN, db_index=True
    )
    error_code = models.CharField(max_length=40, blank=True)
    error = models.TextField(blank=True)
    prompt_tokens = models.PositiveIntegerField(null=True)
    completion_tokens = models.PositiveIntegerField(null=True)
    cost = models.DecimalField(max_digits=12, decimal_places=8, null=True)
    load_seconds = models.FloatField(null=True)
    first_token_seconds = models.FloatField(null=True)
    duration_seconds = models.FloatField(null=True)
    opened_at = models.DateTimeField(default=timezone.now, db_index=True)
    deadline_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)

    objects = ExchangeQuerySet.as_manager()

    class Meta:
        verbose_name = gettext_lazy("exchange")
        verbose_name_plural = gettext_lazy("exchanges")
        ordering = ["-opened_at"]

    def __str__(self) -> str:
        return self.question[:80]

    def close(self, outcome: Outcome, **values: Any) -> bool:
        """Record how it ended, once. Returns whether this call was the one that closed it."""
        changes = {**values, "outcome": outcome, "closed_at": timezone.now()}
        closed = type(self).objects.filter(pk=self.pk, outcome=Outcome.OPEN).update(**changes)
        if closed:
            for name, value in changes.items():
                setattr(self, name, value)
        return bool(closed)

    def note(self, *names: str) -> None:
        """Record what these fields hold by now, as long as it is open."""
        changes = {name: getattr(self, name) for name in names}
        type(self).objects.filter(pk=self.pk, outcome=Outcome.OPEN).update(**changes)

    @property
    def current_outcome(self) -> Outcome:
        """The outcome as it reads now: one left open past its deadline was interrupted."""
        if self.outcome == Outcome.OPEN and self.deadline_at < timezone.now():
            return Outcome.INTERRUPTED
        return Outcome(self.outcome)


def passages_of(exchange: Exchange) -> list[Passage]:
    return [Passage.from_dict(data) for data in exchange.passages]
