"""Background tasks. They may run twice, and ignore deleted rows."""

from __future__ import annotations

import logging

from django_tasks import task

from finetune_switch.models import Run

logger = logging.getLogger("finetune_switch.evaluation")


@task()
def work_on_run(run_id: int) -> None:
    """Ask what is left of a run."""
    from .running import execute

    if (run := Run.objects.filter(pk=run_id).first()) is not None:
        execute(run)


def enqueue_run(run: Run) -> bool:
    """Give the run to a worker. Returns ``False`` if the task could not be queued."""
    try:
        work_on_run.enqueue(run.pk)
    except Exception:  # task backends raise exceptions of their own
        logger.exception("The evaluation could not be given to a worker.")
        return False
    return True
