"""The site's index: documents, their chunks, pending updates and builds.

No foreign key points to a page or to another indexed model, since an object may be deleted before
its documents are.
"""

from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy


class EmbeddingSpace(models.Model):
    """The embedding model behind a set of vectors. Vectors of two spaces are never compared.

    ``connection`` is empty for the embedded model. Searches use the one active space. Another may
    be under construction after the embedding model has changed.
    """

    connection = models.CharField(max_length=100, blank=True)
    model_name = models.CharField(max_length=255)
    dimensions = models.PositiveIntegerField()
    is_active = models.BooleanField(default=False)
    # Incremented with each change to the chunks, so that processes refresh their copies.
    version = models.PositiveBigIntegerField(default=0)
    # RemovedChunk rows up to this version are purged. Older copies must be reloaded in full.
    horizon = models.PositiveBigIntegerField(default=0)
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
        """Increment and return the version. Locks the row until the transaction ends."""
        type(self).objects.filter(pk=self.pk).update(version=F("version") + 1)
        self.refresh_from_db(fields=["version"])
        return self.version


class Document(models.Model):
    """An indexed object, in the state in which it was indexed.

    ``model`` is ``app_label.model_name`` of its most specific class, and ``object_id`` the primary
    key as text. ``path`` is the treebeard path of a page, and empty for other objects. A document
    without ``site_id`` or ``locale_id`` belongs to all sites or locales.
    """

    space = models.ForeignKey(EmbeddingSpace, on_delete=models.CASCADE, related_name="documents")
    model = models.CharField(max_length=201)
    object_id = models.CharField(max_length=255)
    site_id = models.IntegerField(null=True)
    locale_id = models.IntegerField(null=True)
    path = models.CharField(max_length=255, blank=True)
    title = models.TextField()
    # Not open to anonymous visitors when indexed. Retrieval checks again.
    is_restricted = models.BooleanField(default=False)
    # Of all the content that the chunks are built from.
    digest = models.CharField(max_length=64)
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

    ``vector`` holds ``space.dimensions`` little-endian float32 values, normalised to length 1. It
    is empty, as is ``digest``, while a first build has not embedded the chunk yet.
    """

    document = models.ForeignKey(Document, on_delete=models.CASCADE, related_name="chunks")
    space = models.ForeignKey(EmbeddingSpace, on_delete=models.CASCADE, related_name="+")
    position = models.PositiveIntegerField()
    text = models.TextField()
    anchor = models.CharField(max_length=255, blank=True)
    # Of the embedded text.
    digest = models.CharField(max_length=64)
    vector = models.BinaryField()
    version = models.PositiveBigIntegerField()

    class Meta:
        verbose_name = gettext_lazy("chunk")
        verbose_name_plural = gettext_lazy("chunks")
        indexes = [models.Index(fields=["space", "version"], name="finetune_switch_chunk_version")]

    def __str__(self) -> str:
        return self.text[:80]


class RemovedChunk(models.Model):
    """A deleted chunk, recorded for processes that still hold its vector."""

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
    """An object whose documents are out of date.

    It is created when the object is saved, and deleted once the index is updated. ``model`` is
    ``app_label.model_name``. With ``subtree``, the page's descendants are out of date as well.
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
    """A page that editors excluded from answers, with its descendants if ``subtree`` is set."""

    page_id = models.IntegerField(unique=True)
    subtree = models.BooleanField(default=False)

    class Meta:
        verbose_name = gettext_lazy("page left out of answers")
        verbose_name_plural = gettext_lazy("pages left out of answers")

    def __str__(self) -> str:
        return str(self.page_id)


class IndexBuild(models.Model):
    """A build of the site's index, with its progress."""

    class Status(models.TextChoices):
        QUEUED = "queued", gettext_lazy("Waiting to start")
        RUNNING = "running", gettext_lazy("Running")
        COMPLETE = "complete", gettext_lazy("Complete")
        FAILED = "failed", gettext_lazy("Failed")

    OPEN = (Status.QUEUED, Status.RUNNING)
    # A running build updates heard_of_at every few seconds (index/heartbeat.py). After this long
    # without an update it counts as killed. A queued build may wait for a worker for days.
    HEARTBEAT_TIMEOUT = timedelta(minutes=1)

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
            # At most one build is queued or running.
            models.UniqueConstraint(
                models.Value(1),
                condition=Q(status__in=["queued", "running"]),
                name="finetune_switch_one_open_build",
            )
        ]

    def __str__(self) -> str:
        return f"{self.queued_at:%Y-%m-%d %H:%M}"


def active_space() -> EmbeddingSpace | None:
    """The space of the complete index; ``None`` before the first build completes."""
    return EmbeddingSpace.objects.filter(is_active=True).first()


def searched_space() -> EmbeddingSpace | None:
    """The space that searches use: the active one, or that of a first build that has begun."""
    begun = EmbeddingSpace.objects.filter(indexbuild__changed_only=False).order_by("-pk")
    return active_space() or begun.first()
