"""Answers that people have prepared, which are given without asking a model."""

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

# Measured with the embedded model: docs/prepared.md says what it lets through.
DEFAULT_THRESHOLD = 0.85


class PreparedAnswerQuerySet(models.QuerySet["PreparedAnswer"]):
    def overdue(self) -> PreparedAnswerQuerySet:
        """In use past the day on which somebody wanted to look at them again."""
        return self.filter(is_on=True, review_on__lt=today())


class PreparedAnswer(RevisionMixin, models.Model):
    """What is answered to some questions from now on, in one language, without asking a model.

    A correction is for a question that a model got wrong; a fixed reply is for what no model
    should answer, and is looked for first. ``examples`` has a question on each line; one that is
    like them is answered. ``words`` has a word or phrase on each line; a question with one of them
    is answered whatever else it says. ``page_id`` is the primary key of the page that is linked; no
    foreign key leads there, so that a page can go.

    ``vectors`` holds those of the examples, one after the other, as float32, and
    ``embedding_model`` says in words what they were made by: vectors of two models are never
    compared. ``baseline_similarity`` is the cosine of questions that have nothing in common.
    """

    class Kind(models.TextChoices):
        CORRECTION = "correction", gettext_lazy("Corrected answer")
        FIXED = "fixed", gettext_lazy("Fixed reply")

    # What a revision needs not keep: it is made of the rest.
    DERIVED = ("vectors", "embedding_model", "baseline_similarity")

    kind = models.CharField(
        gettext_lazy("kind"), max_length=20, choices=Kind.choices, default=Kind.CORRECTION
    )
    examples = models.TextField(
        gettext_lazy("questions"),
        blank=True,
        help_text=gettext_lazy(
            "One on each line. A question that is like one of them gets this answer."
        ),
    )
    threshold = models.FloatField(
        gettext_lazy("likeness"),
        default=DEFAULT_THRESHOLD,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text=gettext_lazy("From 0 to 1: how like one of them a question has to be."),
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
        help_text=gettext_lazy("The day on which somebody should see whether it is still right."),
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

    embedded_examples: str | None = None
    """The examples that ``vectors`` were made of, where that was just now."""

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
        """The examples, one by one."""
        return split_lines(self.examples)

    @property
    def phrases(self) -> list[str]:
        """The words and phrases, one by one."""
        return split_lines(self.words)

    @property
    def is_overdue(self) -> bool:
        return self.is_on and self.review_on is not None and self.review_on < today()

    def serializable_data(self) -> dict[str, Any]:
        data = super().serializable_data()
        return {name: value for name, value in data.items() if name not in self.DERIVED}


def split_lines(text: str) -> list[str]:
    """What stands on the lines of a text, each once, without blank ones."""
    return list(dict.fromkeys(filter(None, (" ".join(line.split()) for line in text.splitlines()))))


def today() -> date:
    # localdate() refuses the times of a project with USE_TZ = False.
    return timezone.localdate() if settings.USE_TZ else timezone.now().date()
