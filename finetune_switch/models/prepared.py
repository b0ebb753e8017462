"""Answers that people have prepared, which are given without asking a model."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy
from modelcluster.fields import ParentalKey
from modelcluster.models import ClusterableModel
from wagtail.models import Locale, RevisionMixin, Site

DEFAULT_THRESHOLD = 0.8


class PreparedAnswer(RevisionMixin, ClusterableModel):
    """What is answered to some questions from now on, in one language, without asking a model.

    A correction is for a question that a model got wrong; a fixed reply is for what no model
    should answer, and is looked for first. ``page_id`` is the primary key of the page that is
    linked; no foreign key leads there, so that a page can go. ``words`` has a word or phrase on
    each line; a question with one of them is answered whatever else it says.
    """

    class Kind(models.TextChoices):
        CORRECTION = "correction", gettext_lazy("Corrected answer")
        FIXED = "fixed", gettext_lazy("Fixed reply")

    kind = models.CharField(
        gettext_lazy("kind"), max_length=20, choices=Kind.choices, default=Kind.CORRECTION
    )
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
    answer = models.TextField(gettext_lazy("answer"))
    page_id = models.PositiveIntegerField(gettext_lazy("page"), null=True, blank=True)
    words = models.TextField(
        gettext_lazy("words"),
        blank=True,
        help_text=gettext_lazy(
            "One word or phrase on each line. A question with one of them gets this answer."
        ),
    )
    threshold = models.FloatField(
        gettext_lazy("likeness"),
        default=DEFAULT_THRESHOLD,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text=gettext_lazy("From 0 to 1: how like an example a question has to be."),
    )
    is_on = models.BooleanField(gettext_lazy("in use"), default=True)
    review_on = models.DateField(gettext_lazy("review on"), null=True, blank=True)
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

    class Meta:
        verbose_name = gettext_lazy("prepared answer")
        verbose_name_plural = gettext_lazy("prepared answers")
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.answer[:80]


class PreparedExample(models.Model):
    """A question that a prepared answer answers, with its vector in one embedding space."""

    answer = ParentalKey(PreparedAnswer, on_delete=models.CASCADE, related_name="examples")
    text = models.TextField(gettext_lazy("question"))
    space = models.ForeignKey(
        "finetune_switch.EmbeddingSpace",
        on_delete=models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
    )
    vector = models.BinaryField(null=True, editable=False)

    class Meta:
        verbose_name = gettext_lazy("example")
        verbose_name_plural = gettext_lazy("examples")

    def __str__(self) -> str:
        return self.text[:80]
