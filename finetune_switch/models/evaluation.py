"""Saved questions and question sets."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy
from taggit.managers import TaggableManager


class QuestionSet(models.Model):
    """A group of questions, such as those on one topic, or those that a release must answer.

    Questions for testing are never exported for training.
    """

    class Purpose(models.TextChoices):
        TESTING = "testing", gettext_lazy("Testing: to judge models with")
        COLLECTING = "collecting", gettext_lazy("Collecting: examples to train models with")

    name = models.CharField(gettext_lazy("name"), max_length=255, unique=True)
    description = models.TextField(gettext_lazy("description"), blank=True)
    purpose = models.CharField(
        gettext_lazy("purpose"), max_length=20, choices=Purpose.choices, default=Purpose.TESTING
    )
    created_at = models.DateTimeField(gettext_lazy("added"), auto_now_add=True)

    class Meta:
        verbose_name = gettext_lazy("question set")
        verbose_name_plural = gettext_lazy("question sets")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Question(models.Model):
    """A saved question with a reference answer and the pages that contain it.

    ``page_ids`` are primary keys of pages, not foreign keys, so that pages can be deleted.
    """

    class Expects(models.TextChoices):
        ANSWER = "answer", gettext_lazy("An answer from the pages")
        NO_PAGE = "no_page", gettext_lazy("“I don't know”: no page answers it")
        OUTSIDE = "outside", gettext_lazy("“I don't know”: it is outside the site's field")

    text = models.TextField(gettext_lazy("question"))
    reference_answer = models.TextField(
        gettext_lazy("reference answer"),
        blank=True,
        help_text=gettext_lazy("What a good answer says. Models are never shown it."),
    )
    expects = models.CharField(
        gettext_lazy("right answer"),
        max_length=20,
        choices=Expects.choices,
        default=Expects.ANSWER,
        help_text=gettext_lazy(
            "Questions that nobody can answer from the pages expose a model that never says "
            "“I don't know”."
        ),
    )
    rules = models.TextField(
        gettext_lazy("rules"),
        blank=True,
        help_text=gettext_lazy(
            "One on each line, such as “contains: £24”, “lacks: £12”, “matches: ^Yes”, "
            "“number: 24 ± 0.5”, “cites: 7” (the id of a page) or “don't know”. Rules propose a "
            "grade; people decide."
        ),
    )
    page_ids = models.JSONField(gettext_lazy("pages"), default=list, blank=True)
    sets = models.ManyToManyField(
        QuestionSet,
        verbose_name=gettext_lazy("question sets"),
        related_name="questions",
        blank=True,
    )
    tags = TaggableManager(verbose_name=gettext_lazy("tags"), blank=True)
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
        verbose_name = gettext_lazy("question")
        verbose_name_plural = gettext_lazy("questions")
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.text[:80]
