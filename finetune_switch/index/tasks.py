"""Background tasks. They may run twice, and ignore deleted rows."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.utils import timezone
from django_tasks import task, task_backends

from finetune_switch.exceptions import BackendError, IndexBusy
from finetune_switch.models import IndexBuild, PendingUpdate

logger = logging.getLogger("finetune_switch.index")

MAX_ATTEMPTS = 6
FIRST_DELAY = timedelta(seconds=30)


@task()
def update_index(model: str, object_id: str) -> None:
    """Update the documents of an object.

    If the embedding service fails, the task is enqueued again after an increasing delay. The
    PendingUpdate keeps the reason.
    """
    from .building import process_pending

    pending = list(PendingUpdate.objects.filter(model=model, object_id=object_id))
    if not pending:
        return
    try:
        process_pending(pending)
    except BackendError as error:
        attempts = pending[0].attempts + 1
        logger.warning("The index could not be updated (%s): %s", error.code, error)
        if attempts < MAX_ATTEMPTS and task_backends["default"].supports_defer:
            later = timezone.now() + FIRST_DELAY * 2 ** (attempts - 1)
            update_index.using(run_after=later).enqueue(model, object_id)


@task()
def build_index(build_id: int) -> None:
    """Run a build that was started in the admin."""
    from .building import run_build

    build = IndexBuild.objects.filter(pk=build_id, status=IndexBuild.Status.QUEUED).first()
    if build is None:
        return
    try:
        run_build(build)
    except IndexBusy as error:
        logger.warning("%s", error)
