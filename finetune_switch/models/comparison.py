"""One question and one frozen list of passages, answered by several backends."""

import uuid
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy
from wagtail.models import Site

from finetune_switch.passages import Passage

from .backend import ChatBackend
from .evaluation import Question
from .exchange import Exchange

LETTERS = "ABCD"


class Comparison(models.Model):
    """A question put to several backends, with the passages that all of them are given.

    ``passages`` is written once, before the first backend is asked. Retrieval uses the permissions
    of a member of ``as_group``, or of an anonymous visitor without one. ``instructions`` replace
    the backends' own system prompts, unless empty.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    site = models.ForeignKey(Site, on_delete=models.SET_NULL, null=True, related_name="+")
    locale = models.CharField(max_length=35, blank=True)
    question = models.TextField(gettext_lazy("question"))
    saved_question = models.ForeignKey(
        Question, on_delete=models.SET_NULL, null=True, blank=True, related_name="comparisons"
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=gettext_lazy("asked by"),
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
    )
    as_group = models.ForeignKey(
        Group, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    is_blind = models.BooleanField(gettext_lazy("judged blind"), default=True)
    retrieval = models.BooleanField(default=True)
    instructions = models.TextField(blank=True)
    passages = models.JSONField(default=list)
    asked_at = models.DateTimeField(gettext_lazy("asked"), auto_now_add=True, db_index=True)

    class Meta:
        verbose_name = gettext_lazy("comparison")
        verbose_name_plural = gettext_lazy("comparisons")
        ordering = ["-asked_at"]

    def __str__(self) -> str:
        return self.question[:80]

    def get_absolute_url(self) -> str:
        return reverse("finetune_compare:comparison", args=[self.pk])

    def tells_names_to(self, user: Any) -> bool:
        """Whether the user may know which backend gave which answer."""
        return not self.is_blind or self.reveals.filter(judge=user).exists()

    @property
    def frozen_passages(self) -> list[Passage]:
        """The passages given to every backend, best first."""
        return [Passage.from_dict(data) for data in self.passages]


class Column(models.Model):
    """One backend's answer in a comparison.

    The id of ``exchange`` is generated before the exchange exists, so that a repeated request asks
    the backend only once. The foreign key therefore has no database constraint.
    """

    comparison = models.ForeignKey(Comparison, on_delete=models.CASCADE, related_name="columns")
    position = models.PositiveSmallIntegerField()
    backend = models.ForeignKey(
        ChatBackend, on_delete=models.SET_NULL, null=True, related_name="columns"
    )
    # The backend's name when the question was asked; it may be deleted later.
    label = models.CharField(max_length=255)
    exchange = models.ForeignKey(
        Exchange,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        default=uuid.uuid4,
        related_name="columns",
    )
    # Without it, an answer whose reader leaves is finished in the background.
    is_stopped = models.BooleanField(default=False, editable=False)

    class Meta:
        verbose_name = gettext_lazy("column")
        verbose_name_plural = gettext_lazy("columns")
        ordering = ["comparison", "position"]
        constraints = [
            models.UniqueConstraint(
                fields=["comparison", "position"], name="finetune_switch_column_position"
            ),
        ]

    def __str__(self) -> str:
        return self.letter

    @property
    def letter(self) -> str:
        """A, B, C or D: the column's name while the backend is hidden."""
        return LETTERS[self.position]

    def try_again(self, instead_of: uuid.UUID | None) -> bool:
        """Generate a new exchange id, unless somebody else has. Returns whether it did."""
        fresh = uuid.uuid4()
        mine: Any = type(self).objects
        chosen = mine.filter(pk=self.pk, exchange_id=instead_of)
        if not chosen.update(exchange_id=fresh, is_stopped=False):
            self.refresh_from_db(fields=["exchange"])
            return False
        self.exchange_id = fresh
        return True
