"""Grades and preferences. Each change adds a row; existing rows keep their values."""

from typing import Any, Self

from django.conf import settings
from django.db import IntegrityError, models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy

from .comparison import Column, Comparison
from .exchange import Exchange


class Judgement(models.Model):
    """Base class for one person's opinion of an answer or a comparison.

    A changed opinion is a new row, which ``replaces`` the previous one. Undoing it makes the
    previous one current again. ``was_blind`` is set if the judge did not know which backend
    answered.
    """

    judge = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    judged_at = models.DateTimeField(auto_now_add=True)
    was_blind = models.BooleanField(default=False)
    is_current = models.BooleanField(default=True)
    replaces = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, related_name="replaced_by"
    )
    withdrawn_at = models.DateTimeField(null=True)

    SUBJECT_FIELD = ""
    OPINION_FIELDS: tuple[str, ...] = ()

    class Meta:
        abstract = True

    @classmethod
    def record(cls, subject: Any, *, judge: Any, was_blind: bool, **values: Any) -> Self:
        """Record the judge's opinion. Values not given are copied from the current one."""
        try:
            return cls._replace(subject, judge, was_blind, values)
        except IntegrityError:
            # The judge recorded one in another window at the same time. Replace that one.
            return cls._replace(subject, judge, was_blind, values)

    @classmethod
    @transaction.atomic
    def _replace(cls, subject: Any, judge: Any, was_blind: bool, values: dict[str, Any]) -> Self:
        before = cls._current(subject, judge).select_for_update().first()
        if before is not None:
            kept = {name: getattr(before, name) for name in cls.OPINION_FIELDS}
            if kept == {**kept, **values}:
                return before
            values = {**kept, **values}
            cls.objects.filter(pk=before.pk).update(is_current=False)  # type: ignore[attr-defined]
        return cls.objects.create(  # type: ignore[attr-defined]
            **{cls.SUBJECT_FIELD: subject},
            judge=judge,
            was_blind=was_blind,
            replaces=before,
            **values,
        )

    @classmethod
    @transaction.atomic
    def undo(cls, subject: Any, *, judge: Any) -> Self | None:
        """Withdraw the judge's current opinion. Returns the previous one, now current again."""
        latest = cls._current(subject, judge).select_for_update().first()
        if latest is None:
            return None
        rows = cls.objects  # type: ignore[attr-defined]
        rows.filter(pk=latest.pk).update(is_current=False, withdrawn_at=timezone.now())
        if latest.replaces_id is None:
            return None
        rows.filter(pk=latest.replaces_id).update(is_current=True)
        return latest.replaces

    @classmethod
    def _current(cls, subject: Any, judge: Any) -> Any:
        return cls.objects.filter(  # type: ignore[attr-defined]
            **{cls.SUBJECT_FIELD: subject}, judge=judge, is_current=True
        )


class Grade(Judgement):
    """One person's verdict on an answer: is it right, and does it sound like us.

    ``correction`` is the corrected answer, kept for training.
    """

    class Value(models.TextChoices):
        CORRECT = "correct", gettext_lazy("Correct")
        PARTLY_CORRECT = "partly_correct", gettext_lazy("Partly correct")
        DONT_KNOW = "dont_know", gettext_lazy("Don't know")
        WRONG = "wrong", gettext_lazy("Wrong")

    class Tone(models.TextChoices):
        YES = "yes", gettext_lazy("Yes")
        NEARLY = "nearly", gettext_lazy("Nearly")
        NO = "no", gettext_lazy("No")

    class Source(models.TextChoices):
        PERSON = "person", gettext_lazy("A person")
        RULE = "rule", gettext_lazy("Rules")

    SUBJECT_FIELD = "exchange"
    OPINION_FIELDS = ("value", "tone", "note", "correction")

    exchange = models.ForeignKey(Exchange, on_delete=models.CASCADE, related_name="grades")
    # Grades that nobody has given are proposals.
    source = models.CharField(
        max_length=10, choices=Source.choices, default=Source.PERSON, editable=False
    )
    value = models.CharField(
        gettext_lazy("grade"), max_length=20, choices=Value.choices, blank=True
    )
    tone = models.CharField(
        gettext_lazy("sounds like us"), max_length=10, choices=Tone.choices, blank=True
    )
    note = models.TextField(gettext_lazy("note"), blank=True)
    correction = models.TextField(gettext_lazy("correction"), blank=True)
    # How long the judge looked at the answer, where that was measured.
    seconds = models.FloatField(null=True, editable=False)

    class Meta:
        verbose_name = gettext_lazy("grade")
        verbose_name_plural = gettext_lazy("grades")
        constraints = [
            models.UniqueConstraint(
                fields=["exchange", "judge"],
                condition=Q(is_current=True),
                name="finetune_switch_one_grade_a_judge",
            )
        ]

    def __str__(self) -> str:
        return self.get_value_display()


class Preference(Judgement):
    """One person's preference in a comparison: one column, all or none."""

    class Outcome(models.TextChoices):
        COLUMN = "column", gettext_lazy("One is better")
        BOTH_GOOD = "both_good", gettext_lazy("Both good")
        BOTH_BAD = "both_bad", gettext_lazy("Both bad")

    SUBJECT_FIELD = "comparison"
    OPINION_FIELDS = ("outcome", "column")

    comparison = models.ForeignKey(Comparison, on_delete=models.CASCADE, related_name="preferences")
    outcome = models.CharField(max_length=10, choices=Outcome.choices)
    column = models.ForeignKey(
        Column, on_delete=models.CASCADE, null=True, related_name="preferences"
    )

    class Meta:
        verbose_name = gettext_lazy("preference")
        verbose_name_plural = gettext_lazy("preferences")
        constraints = [
            models.UniqueConstraint(
                fields=["comparison", "judge"],
                condition=Q(is_current=True),
                name="finetune_switch_one_preference_a_judge",
            )
        ]

    def __str__(self) -> str:
        return self.column.letter if self.column else self.get_outcome_display()


class Reveal(models.Model):
    """Records that somebody has seen which backends answered. Never withdrawn."""

    comparison = models.ForeignKey(Comparison, on_delete=models.CASCADE, related_name="reveals")
    judge = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    revealed_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["comparison", "judge"], name="finetune_switch_one_reveal_a_judge"
            )
        ]

    def __str__(self) -> str:
        return f"{self.comparison_id}, {self.judge}"
