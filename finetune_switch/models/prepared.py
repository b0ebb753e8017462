"""Answers written by people, given without asking a model."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy
from wagtail.models import Locale, RevisionMixin, Site

# Means the same for each embedding model; docs/prepared.md has the figures.
DEFAULT_THRESHOLD = 0.85


class PreparedAnswerQuerySet(models.QuerySet["PreparedAnswer"]):
    def overdue(self) -> PreparedAnswerQuerySet:
        """Answers in use whose review date has passed."""
        return self.filter(is_on=True, review_on__lt=today())


class PreparedAnswer(RevisionMixin, models.Model):
    """An answer to certain questions in one language, given without asking a model.

    A correction is for questions that a model got wrong. A fixed reply is for questions that no
    model should answer, and takes precedence. ``examples`` has one question per line; similar
    questions match. ``words`` has one word or phrase per line; any question that contains one of
    them matches. ``page_id`` is the primary key of the linked page, not a foreign key, so that the
    page can be deleted.

    ``vectors`` holds the vectors of the examples as concatenated float32 values, and
    ``embedding_model`` identifies the model that made them: vectors of two models are never
    compared. ``baseline_similarity`` is the cosine similarity of unrelated questions.
    """

    class Kind(models.TextChoices):
        CORRECTION = "correction", gettext_lazy("Corrected answer")
        FIXED = "fixed", gettext_lazy("Fixed reply")

    # Computed from the other fields, so not stored in revisions.
    DERIVED = ("vectors", "embedding_model", "baseline_similarity")

    kind = models.CharField(
        gettext_lazy("kind"), max_length=20, choices=Kind.choices, default=Kind.CORRECTION
    )
    examples = models.TextField(
        gettext_lazy("questions"),
        blank=True,
        help_text=gettext_lazy(
            "One on each line. A question similar to one of them gets this answer."
        ),
    )
    threshold = models.FloatField(
        gettext_lazy("minimum similarity"),
        default=DEFAULT_THRESHOLD,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text=gettext_lazy("From 0 to 1: how similar a question must be to one of them."),
    )
    words = models.TextField(
        gettext_lazy("words"),
        blank=True,
        help_text=gettext_lazy(
            "One word or phrase on each line. A question with one of them gets this answer, "
            "whatever else it says."
        ),
    )
    answer = models.TextField(gettext_lazy("answer"))
    page_id = models.PositiveIntegerField(gettext_lazy("page"), null=True, blank=True)
    site = models.ForeignKey(
        Site,
        verbose_name=gettext_lazy("site"),
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        help_text=gettext_lazy("Leave it empty for all sites."),
    )
    locale = models.ForeignKey(
        Locale, verbose_name=gettext_lazy("language"), on_delete=models.CASCADE, related_name="+"
    )
    is_on = models.BooleanField(gettext_lazy("in use"), default=True)
    review_on = models.DateField(
        gettext_lazy("review on"),
        null=True,
        blank=True,
        help_text=gettext_lazy("The day on which somebody should check that it is still right."),
    )
    embedding_model = models.CharField(max_length=400, blank=True, editable=False)
    vectors = models.BinaryField(null=True, editable=False)
    baseline_similarity = models.FloatField(default=0.0, editable=False)
    made_from = models.ForeignKey(
        "finetune_switch.Exchange",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
    )
    created_at = models.DateTimeField(gettext_lazy("added"), auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
    )

    objects = PreparedAnswerQuerySet.as_manager()

    # The examples that ``vectors`` were computed from, if that was on this instance.
    embedded_examples: str | None = None

    class Meta:
        verbose_name = gettext_lazy("prepared answer")
        verbose_name_plural = gettext_lazy("prepared answers")
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return next(iter([*self.questions, *self.phrases, self.answer]), "")[:80]

    def get_absolute_url(self) -> str:
        return reverse("finetune_prepared:edit", args=[self.pk])

    @property
    def questions(self) -> list[str]:
        return split_lines(self.examples)

    @property
    def phrases(self) -> list[str]:
        return split_lines(self.words)

    @property
    def is_overdue(self) -> bool:
        return self.is_on and self.review_on is not None and self.review_on < today()

    def serializable_data(self) -> dict[str, Any]:
        data = super().serializable_data()
        return {name: value for name, value in data.items() if name not in self.DERIVED}


def split_lines(text: str) -> list[str]:
    """The distinct non-blank lines, with whitespace collapsed."""
    return list(dict.fromkeys(filter(None, (" ".join(line.split()) for line in text.splitlines()))))


def today() -> date:
    # localdate() fails for the naive times of a project with USE_TZ = False.
    return timezone.localdate() if settings.USE_TZ else timezone.now().date()
