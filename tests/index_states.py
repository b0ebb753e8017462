"""The page about the index in each of its states, for everything that looks at pages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.utils import timezone
from wagtail.models import PageViewRestriction, Site

from finetune_switch.index.building import run_build
from finetune_switch.index.builds import start_build
from finetune_switch.index.exclusions import set_exclusion
from finetune_switch.models import EmbeddingSpace, Exclusion, IndexBuild, PendingUpdate

REFUSED = "Embeddings: the server of the embedding model does not take connections."


class IndexStates:
    """Sets one state after the other up; each call forgets the one before it."""

    def __init__(self, site: Site, make_page: Callable[..., Any], settings: Any) -> None:
        self.settings = settings
        self.tasks = settings.TASKS
        for number in range(3):
            make_page(f"Page {number}", f"Text {number} about boats.")
        self.private = make_page("Wages", "What we earn.")
        PageViewRestriction.objects.create(
            page=self.private, restriction_type=PageViewRestriction.LOGIN
        )
        self.ticked = make_page("Minutes of the committee", "What we said.")

    def show(self, name: str) -> None:
        for model in (EmbeddingSpace, Exclusion, IndexBuild, PendingUpdate):
            model.objects.all().delete()
        self.settings.TASKS = self.tasks
        getattr(self, name)()

    def empty(self) -> None:
        PendingUpdate.objects.all().delete()

    def complete(self) -> None:
        set_exclusion(self.ticked, left_out=True, subtree=True)
        run_build(start_build())
        PendingUpdate.objects.all().delete()

    def waiting(self) -> None:
        self.complete()
        PendingUpdate.objects.create(model="demo_site.articlepage", object_id=str(self.private.pk))

    def stuck(self) -> None:
        """What waits for so long, no worker will take up."""
        self.waiting()
        PendingUpdate.objects.update(marked_at=timezone.now() - timedelta(hours=3))

    def running(self) -> None:
        self.complete()
        IndexBuild.objects.create(status="running", total=1200, done=300, added=12, kept=288)

    def failed(self) -> None:
        self.complete()
        IndexBuild.objects.create(status="failed", total=200, done=7, failed=200, error=REFUSED)
        for number in range(3):
            PendingUpdate.objects.create(model="a.b", object_id=str(number), error=REFUSED)

    def rebuild(self) -> None:
        """As after a change of the settings: what made the index is not what they name."""
        self.complete()
        EmbeddingSpace.objects.update(connection="openai", model_name="text-embedding-3-small")

    def workerless(self) -> None:
        self.waiting()
        backend = "django_tasks.backends.immediate.ImmediateBackend"
        self.settings.TASKS = {"default": {"BACKEND": backend}}


STATES = ("empty", "complete", "waiting", "stuck", "running", "failed", "rebuild", "workerless")
