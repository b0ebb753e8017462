"""Visitors' ratings of answers."""

from django.db import models
from django.utils.translation import gettext_lazy

from .exchange import Exchange

# In characters.
MAX_COMMENT_LENGTH = 500


class Feedback(models.Model):
    """A thumb up or down with an optional comment. A later one replaces it."""

    exchange = models.OneToOneField(Exchange, on_delete=models.CASCADE, related_name="feedback")
    is_helpful = models.BooleanField(gettext_lazy("helpful"))
    comment = models.CharField(gettext_lazy("comment"), max_length=MAX_COMMENT_LENGTH, blank=True)
    given_at = models.DateTimeField(gettext_lazy("given"), auto_now=True)

    class Meta:
        verbose_name = gettext_lazy("feedback")
        verbose_name_plural = gettext_lazy("feedback")

    def __str__(self) -> str:
        return self.comment
