"""The record of a question and its answer."""

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
MIN_LOAD_SECONDS = 1.0
LOAD_SAMPLE_SIZE = 20


def clean_question(text: str, max_length: int | None = None) -> str:
    """Strip the question. Raises :class:`InvalidQuestion` if it is empty or too long.

    ``max_length`` is in characters.
    """
    max_length = min(max_length or MAX_QUESTION_LENGTH, MAX_QUESTION_LENGTH)
    text = text.replace("\x00", "").strip()
    if not text:
        raise InvalidQuestion(_("Write a question first."))
    if len(text) > max_length:
        raise InvalidQuestion(
            _("The question has %(length)d characters; at most %(most)d can be asked.")
            % {"length": len(text), "most": max_length}
        )
    return text


class Origin(models.TextChoices):
    """Where a question was asked."""

    SITE = "site", gettext_lazy("On the site")
    COMPARE = "compare", gettext_lazy("Comparison")
    EVALUATION = "evaluation", gettext_lazy("Evaluation")
    SHELL = "shell", gettext_lazy("Command line")


class Outcome(models.TextChoices):
    OPEN = "open", gettext_lazy("Answering")
    COMPLETE = "complete", gettext_lazy("Answered")
    NO_ANSWER = "no_answer", gettext_lazy("Don't know")
    CUT_OFF = "cut_off", gettext_lazy("Cut off")
    FAILED = "failed", gettext_lazy("Failed")
    CANCELLED = "cancelled", gettext_lazy("Stopped by the reader")
    INTERRUPTED = "interrupted", gettext_lazy("Interrupted")


class ExchangeQuerySet(models.QuerySet["Exchange"]):
    def overdue(self) -> ExchangeQuerySet:
        """Exchanges still open after their deadline: the process that answered is gone."""
        return self.filter(outcome=Outcome.OPEN, deadline_at__lt=timezone.now())

    def asked_today(self) -> ExchangeQuerySet:
        # localtime() fails for the naive times of a project with USE_TZ = False.
        now = timezone.localtime() if settings.USE_TZ else timezone.now()
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        return self.filter(opened_at__gte=midnight)

    def of_visitors(self) -> ExchangeQuerySet:
        return self.filter(origin=Origin.SITE)

    def ended_as(self, outcome: str) -> ExchangeQuerySet:
        """Filter by :attr:`Exchange.current_outcome`."""
        overdue = Q(outcome=Outcome.OPEN, deadline_at__lt=timezone.now())
        match outcome:
            case Outcome.OPEN:
                return self.filter(~overdue, outcome=outcome)
            case Outcome.INTERRUPTED:
                return self.filter(Q(outcome=outcome) | overdue)
        return self.filter(outcome=outcome)

    def unanswered(self) -> ExchangeQuerySet:
        """Visitors' questions that got no answer, or one rated as not helpful.

        Failures count only where retrieval found no passage. Questions with a prepared answer are
        left out.
        """
        without = Q(outcome=Outcome.NO_ANSWER) | Q(feedback__is_helpful=False)
        not_searched = Q(outcome=Outcome.FAILED, retrieval=True, passages=[])
        return self.of_visitors().filter(without | not_searched, prepared_answer__isnull=True)

    def usual_load_seconds(self, backend: ChatBackend) -> float | None:
        """The median of the backend's latest model load times; ``None`` without any.

        Servers report a few milliseconds for a model that is in memory already. These are ignored.
        """
        loaded = self.filter(
            backend=backend,
            backend_state__model=backend.model_name,
            load_seconds__gte=MIN_LOAD_SECONDS,
        )
        latest = loaded.order_by("-opened_at").values_list("load_seconds", flat=True)
        seconds = list(latest[:LOAD_SAMPLE_SIZE])
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
    """A question with its passages, answer, backend, timings, tokens, cost and outcome.

    An exchange is opened before the backend is asked, and closed exactly once. ``answer`` is the
    model's output, ``shown_text`` the text that the reader saw, and ``withheld_facts`` the facts
    that the fact lock removed. ``cost`` is in US dollars. Tokens, times and cost are empty where
    unknown.

    The questions of one conversation share ``conversation``. ``standalone_question`` is a
    follow-up rewritten for retrieval. ``visitor`` is a hash whose salt changes daily. If
    ``prepared_answer`` is set, no model was asked.
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
        """Set the outcome and the end time. Returns ``False`` if it was closed already."""
        changes = {**values, "outcome": outcome, "closed_at": timezone.now()}
        closed = type(self).objects.filter(pk=self.pk, outcome=Outcome.OPEN).update(**changes)
        if closed:
            for name, value in changes.items():
                setattr(self, name, value)
        return bool(closed)

    def save_if_open(self, *names: str) -> None:
        """Save these fields, unless the exchange has been closed."""
        changes = {name: getattr(self, name) for name in names}
        type(self).objects.filter(pk=self.pk, outcome=Outcome.OPEN).update(**changes)

    @property
    def frozen_passages(self) -> list[Passage]:
        """The passages that the answer was made from, best first."""
        return [Passage.from_dict(data) for data in self.passages]

    @property
    def current_outcome(self) -> Outcome:
        """The outcome; interrupted if the exchange is still open after its deadline."""
        if self.outcome == Outcome.OPEN and self.deadline_at < timezone.now():
            return Outcome.INTERRUPTED
        return Outcome(self.outcome)
