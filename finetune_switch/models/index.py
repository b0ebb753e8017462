"""What of the site can be found: documents, their chunks, and what is known of their upkeep.

No foreign key points to a page or to any other model that is indexed: an index is only a hint, and
an object may be gone before its documents are.
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy


class EmbeddingSpace(models.Model):
    """What made the vectors of an index. Vectors of two spaces are never compared.

    ``connection`` is empty for the embedded model. One space is active: it answers. Another one may
    be in the making, for an embedding model that was changed.
    """

    connection = models.CharField(max_length=100, blank=True)
    model_name = models.CharField(max_length=255)
    dimensions = models.PositiveIntegerField()
    is_active = models.BooleanField(default=False)
    version = models.PositiveBigIntegerField(default=0)
    """Goes up with each change to its chunks; a process that holds an older one refreshes."""
    horizon = models.PositiveBigIntegerField(default=0)
    """Removals up to this version are forgotten: who holds an older one loads everything anew."""
    created_at = models.DateTimeField(auto_now_add=True)
    completed_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = gettext_lazy("embedding space")
        verbose_name_plural = gettext_lazy("embedding spaces")
        constraints = [
            models.UniqueConstraint(
                fields=["connection", "model_name", "dimensions"],
                name="finetune_switch_one_space_a_model",
            ),
            models.UniqueConstraint(
                fields=["is_active"],
                condition=Q(is_active=True),
                name="finetune_switch_one_active_space",
            ),
        ]

    def __str__(self) -> str:
        name = f"{self.connection}: {self.model_name}" if self.connection else self.model_name
        return f"{name} ({self.dimensions})"

    def next_version(self) -> int:
        """The number of the next change. In a transaction: the row stays locked until its end."""
        type(self).objects.filter(pk=self.pk).update(version=F("version") + 1)
        self.refresh_from_db(fields=["version"])
        return self.version


class Document(models.Model):
    """One object of the site, as it was when it was indexed.

    ``model`` is ``app_label.model_name`` of its most specific class and ``object_id`` the primary
    key as text. ``path`` is the page's place in the tree, empty for everything else. Without a
    ``site_id`` or a ``locale_id`` it belongs to each of them.
    """

    space = models.ForeignKey(EmbeddingSpace, on_delete=models.CASCADE, related_name="documents")
    model = models.CharField(max_length=201)
    object_id = models.CharField(max_length=255)
    site_id = models.IntegerField(null=True)
    locale_id = models.IntegerField(null=True)
    path = models.CharField(max_length=255, blank=True)
    title = models.TextField()
    is_restricted = models.BooleanField(default=False)
    """Whether an anonymous visitor may not open it, as far as the index knows."""
    digest = models.CharField(max_length=64)
    """Of everything that its chunks are made of."""
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = gettext_lazy("document")
        verbose_name_plural = gettext_lazy("documents")
        indexes = [models.Index(fields=["space", "path"], name="finetune_switch_document_path")]
        constraints = [
            models.UniqueConstraint(
                fields=["space", "model", "object_id"], name="finetune_switch_one_document"
            )
        ]

    def __str__(self) -> str:
        return self.title


class Chunk(models.Model):
    """A piece of a document that fits the embedding model, with its vector.

    ``vector`` holds ``space.dimensions`` little-endian float32 numbers, of length 1 together.
    """

    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="chunks")
    space = models.ForeignKey(EmbeddingSpace, on_delete=models.CASCADE, related_name="+")
    position = models.PositiveIntegerField()
    text = models.TextField()
    anchor = models.CharField(max_length=255, blank=True)
    digest = models.CharField(max_length=64)
    """Of the text that was embedded."""
    vector = models.BinaryField()
    version = models.PositiveBigIntegerField()

    class Meta:
        verbose_name = gettext_lazy("chunk")
        verbose_name_plural = gettext_lazy("chunks")
        indexes = [models.Index(fields=["space", "version"], name="finetune_switch_chunk_version")]

    def __str__(self) -> str:
        return self.text[:80]


class RemovedChunk(models.Model):
    """A chunk that is gone, for processes that still hold its vector."""

    space = models.ForeignKey(EmbeddingSpace, on_delete=models.CASCADE, related_name="+")
    chunk_id = models.BigIntegerField()
    version = models.PositiveBigIntegerField()

    class Meta:
        verbose_name = gettext_lazy("removed chunk")
        verbose_name_plural = gettext_lazy("removed chunks")
        indexes = [models.Index(fields=["space", "version"], name="finetune_switch_removed_chunk")]

    def __str__(self) -> str:
        return str(self.chunk_id)


class PendingUpdate(models.Model):
    """An object whose documents are out of date. Deleted once they are updated.

    ``model`` is ``app_label.model_name``. With ``subtree``, everything beneath that page as well.
    """

    model = models.CharField(max_length=201)
    object_id = models.CharField(max_length=255)
    subtree = models.BooleanField(default=False)
    marked_at = models.DateTimeField(default=timezone.now)
    attempts = models.PositiveSmallIntegerField(default=0)
    error = models.TextField(blank=True)

    class Meta:
        verbose_name = gettext_lazy("pending update")
        verbose_name_plural = gettext_lazy("pending updates")
        constraints = [
            models.UniqueConstraint(
                fields=["model", "object_id"], name="finetune_switch_one_pending_update"
            )
        ]

    def __str__(self) -> str:
        return f"{self.model} {self.object_id}"


class Exclusion(models.Model):
    """A page that editors left out of the answers, with or without everything beneath it."""

    page_id = models.IntegerField(unique=True)
    subtree = models.BooleanField(default=False)

    class Meta:
        verbose_name = gettext_lazy("page left out of answers")
        verbose_name_plural = gettext_lazy("pages left out of answers")

    def __str__(self) -> str:
        return str(self.page_id)


class IndexBuild(models.Model):
    """One pass over the site that brings its index up to date, with its progress."""

    class Status(models.TextChoices):
        QUEUED = "queued", gettext_lazy("Waiting to start")
        RUNNING = "running", gettext_lazy("Running")
        COMPLETE = "complete", gettext_lazy("Complete")
        FAILED = "failed", gettext_lazy("Failed")

    OPEN = (Status.QUEUED, Status.RUNNING)
    # A running build says every few seconds that it is alive (index/heartbeat.py): one that has not
    # been heard of for so long was killed. One that waits for its worker may wait for days.
    SILENCE = timedelta(minutes=1)

    space = models.ForeignKey(EmbeddingSpace, on_delete=models.SET_NULL, null=True)
    changed_only = models.BooleanField(default=False)
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.QUEUED)
    total = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    added = models.PositiveIntegerField(default=0)
    kept = models.PositiveIntegerField(default=0)
    removed = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    queued_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    heard_of_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = gettext_lazy("index build")
        verbose_name_plural = gettext_lazy("index builds")
        ordering = ["-queued_at"]
        permissions = [("run_indexbuild", gettext_lazy("Can build the index"))]
        constraints = [
            # One in all that waits or runs, whichever of the two it does.
            models.UniqueConstraint(
                models.Value(1),
                condition=Q(status__in=["queued", "running"]),
                name="finetune_switch_one_open_build",
            )
        ]

    def __str__(self) -> str:
        return f"{self.queued_at:%Y-%m-%d %H:%M}"


def active_space() -> EmbeddingSpace | None:
    """What answers: ``None`` where nothing has been indexed yet."""
    return EmbeddingSpace.objects.filter(is_active=True).first()
