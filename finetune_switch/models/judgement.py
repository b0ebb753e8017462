"""What people think of answers: rows of their own, never edited, each judge for themselves."""

from __future__ import annotations

from typing import Any, Self

from django.conf import settings
from django.db import IntegrityError, models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy

from .comparison import Column, Comparison
from .exchange import Exchange


class Judgement(models.Model):
    """One person's word on something, until they change their mind.

    A change is a row of its own, which ``replaces`` the one before. Taking it back makes the one
    before current again. ``was_blind`` says that the judge did not know who had answered.
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

    ABOUT = ""
    """The field that names what is judged."""
    VALUES: tuple[str, ...] = ()
    """The fields that say what the judge thinks."""

    class Meta:
        abstract = True

    @classmethod
    def record(cls, about: Any, *, judge: Any, was_blind: bool, **values: Any) -> Self:
        """What the judge thinks from now on; the values that are not given stay as they were."""
        try:
            return cls._replace(about, judge, was_blind, values)
        except IntegrityError:
            # From another window, at the same moment. There is something to replace now.
            return cls._replace(about, judge, was_blind, values)

    @classmethod
    @transaction.atomic
    def _replace(cls, about: Any, judge: Any, was_blind: bool, values: dict[str, Any]) -> Self:
        before = cls._of(about, judge).select_for_update().first()
        if before is not None:
            kept = {name: getattr(before, name) for name in cls.VALUES}
            if kept == {**kept, **values}:
                return before
            values = {**kept, **values}
            cls.objects.filter(pk=before.pk).update(is_current=False)  # type: ignore[attr-defined]
        return cls.objects.create(  # type: ignore[attr-defined]
            **{cls.ABOUT: about}, judge=judge, was_blind=was_blind, replaces=before, **values
        )

    @classmethod
    @transaction.atomic
    def undo(cls, about: Any, *, judge: Any) -> Self | None:
        """Take the judge's latest word back; returns the one before, which holds again."""
        latest = cls._of(about, judge).select_for_update().first()
        if latest is None:
            return None
        rows = cls.objects  # type: ignore[attr-defined]
        rows.filter(pk=latest.pk).update(is_current=False, withdrawn_at=timezone.now())
        if latest.replaces_id is None:
            return None
        rows.filter(pk=latest.replaces_id).update(is_current=True)
        return latest.replaces

    @classmethod
    def _of(cls, about: Any, judge: Any) -> Any:
        return cls.objects.filter(  # type: ignore[attr-defined]
            **{cls.ABOUT: about}, judge=judge, is_current=True
        )


class Grade(Judgement):
    """One person's verdict on one answer: is it right, and does it sound like us.

    ``correction`` is the answer as it should have been, kept for training.
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

    ABOUT = "exchange"
    VALUES = ("value", "tone", "note", "correction")

    exchange = models.ForeignKey(Exchange, on_delete=models.CASCADE, related_name="grades")
    value = models.CharField(
        gettext_lazy("grade"), max_length=20, choices=Value.choices, blank=True
    )
    tone = models.CharField(
        gettext_lazy("sounds like us"), max_length=10, choices=Tone.choices, blank=True
    )
    note = models.TextField(gettext_lazy("note"), blank=True)
    correction = models.TextField(gettext_lazy("correction"), blank=True)

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
    """Which answer of a comparison one person prefers: that of a column, or all, or none."""

    class Outcome(models.TextChoices):
        COLUMN = "column", gettext_lazy("One is better")
        BOTH_GOOD = "both_good", gettext_lazy("Both good")
        BOTH_BAD = "both_bad", gettext_lazy("Both bad")

    ABOUT = "comparison"
    VALUES = ("outcome", "column")

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
    """That somebody has seen who answered. Nobody can unsee it, so it is never taken back."""

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
