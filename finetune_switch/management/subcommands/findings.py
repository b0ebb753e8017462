"""The findings of doctor about the index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.apps import apps
from django.db.models import Count, Min

from finetune_switch import adapters
from finetune_switch.backends.embeddings import get_embedder
from finetune_switch.exceptions import BackendError
from finetune_switch.index import overview, upkeep
from finetune_switch.models import Document, EmbeddingSpace, IndexBuild, PendingUpdate
from finetune_switch.models.index import active_space

ADAPTER = "finetune_switch.vector_index"
INDEX_COMMAND = "manage.py finetune_switch index"


@dataclass(frozen=True)
class Finding:
    area: str
    passed: bool
    message: str
    remedy: str = ""


def examine_index(*, ask: bool) -> Iterator[Finding]:
    """Whether there is an index, and whether it is and will stay current.

    Without ``ask`` nothing is sent to the server of the embedding model.
    """
    known = adapters.indexes()
    space = active_space()
    if not known:
        yield Finding("index", False, "There is no index.", _what_gives_an_index())
    else:
        yield Finding("index", True, f"{len(known)} can be asked: {', '.join(known)}.")
    if space is not None:
        count = Document.objects.filter(space=space).count()
        yield Finding("index", True, f"{_count(count, 'document')}, by {space}.")
    elif known:
        yield Finding(
            "index", True, f"The site's own index is not built; {INDEX_COMMAND} builds it."
        )
    yield from _examine_embeddings(space, ask=ask)
    yield from _examine_last_build()
    if space is not None:
        yield from _examine_changes()


def _examine_embeddings(space: EmbeddingSpace | None, *, ask: bool) -> Iterator[Finding]:
    """The embedding model of the settings, and that of the index where it is another one."""
    state = overview.rebuild_state()
    if state.problem:
        yield Finding("embeddings", False, state.problem, state.remedy)
    elif state.is_needed:
        yield Finding(
            "index",
            False,
            "A rebuild is needed: the settings name another embedding model.",
            f"Run {INDEX_COMMAND}.",
        )
    told = {state.problem}
    for one in (None, space) if state.is_needed or space is None else (space,):
        try:
            embedder = get_embedder(one)
            name = f"“{embedder.model_name}”"
            if embedder.connection and not ask:
                yield Finding("embeddings", True, f"{name} (not asked).")
                continue
            embedder.embed(["harbour"])
        except BackendError as error:
            if str(error) not in told:
                yield Finding("embeddings", False, str(error), error.remedy)
            told.add(str(error))
        else:
            yield Finding("embeddings", True, f"{name} answers.")


def _examine_last_build() -> Iterator[Finding]:
    build = IndexBuild.objects.first()
    if build is None:
        return
    if overview.status_of(build) == IndexBuild.Status.FAILED:
        yield Finding(
            "index",
            False,
            f"The last build failed: {overview.reason_of(build)}",
            f"Run {INDEX_COMMAND} again, once that is mended.",
        )
    elif overview.lacks_worker(build):
        yield Finding(
            "index",
            False,
            "A build waits, and no worker took it up.",
            f"Start a worker of TASKS, or run {INDEX_COMMAND}.",
        )
    elif overview.is_at_work(build):
        yield Finding("index", True, f"It is being built. {overview.sentence_of(build)}")


def _examine_changes() -> Iterator[Finding]:
    """Changes that wait for their first try, then those that failed, each with its reason."""
    untried = PendingUpdate.objects.filter(error="")
    waiting = overview.Waiting(**untried.aggregate(count=Count("pk"), since=Min("marked_at")))
    changed = f"{INDEX_COMMAND} --changed"
    yield Finding(
        "index",
        not waiting.is_stuck,
        f"{_count(waiting.count, 'change')} waiting to be indexed.",
        ""
        if not waiting.is_stuck
        else f"Run {changed}, and see that it is run regularly: tasks have no worker."
        if upkeep.runs_inside_the_request()
        else f"Start a worker of TASKS, or run {changed}.",
    )
    for failure in overview.failures():
        yield Finding(
            "index",
            False,
            f"{_count(failure.count, 'change')} not indexed: {failure.reason}",
            f"Run {changed}, once that is mended.",
        )


def _what_gives_an_index() -> str:
    ours = f"Index the site's pages: {INDEX_COMMAND}"
    if not apps.is_installed("wagtail_vector_index") or apps.is_installed(ADAPTER):
        return ours
    return f'{ours}; or add "{ADAPTER}" to INSTALLED_APPS, to ask those of wagtail-vector-index.'


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
