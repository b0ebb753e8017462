"""doctor's findings about the index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.apps import apps
from django.db.models import Count, Min

from finetune_switch import adapters
from finetune_switch.access import Asker
from finetune_switch.access.addresses import Addresses, title_of
from finetune_switch.access.faults import collecting
from finetune_switch.access.source_access import SourceAccess
from finetune_switch.backends.embeddings import get_embedder
from finetune_switch.exceptions import BackendError
from finetune_switch.index import overview, upkeep
from finetune_switch.index.sources import BATCH, Sources
from finetune_switch.models import Document, EmbeddingSpace, IndexBuild, PendingUpdate
from finetune_switch.models.index import active_space
from finetune_switch.passages import Source

ADAPTER = "finetune_switch.vector_index"
# Documents whose objects are looked up, and objects that are named in a message.
MOST_EXAMINED = 10_000
MOST_NAMED = 5
INDEX_COMMAND = "manage.py finetune_switch index"


@dataclass(frozen=True)
class Finding:
    area: str
    passed: bool
    message: str
    remedy: str = ""


def examine_index(*, ask: bool) -> Iterator[Finding]:
    """Check that an index exists and is kept current.

    Without ``ask``, the server of the embedding model is not contacted.
    """
    known = adapters.indexes()
    space = active_space()
    if not known:
        yield Finding("index", False, "There is no index.", _what_gives_an_index())
    else:
        yield Finding("index", True, f"Searchable indexes ({len(known)}): {', '.join(known)}.")
    if space is not None:
        count = Document.objects.filter(space=space).count()
        yield Finding("index", True, f"{_count(count, 'document')}, embedded by {space}.")
    elif known:
        yield Finding(
            "index", True, f"The site's own index has not been built. Run {INDEX_COMMAND}."
        )
    yield from _examine_embeddings(space, ask=ask)
    yield from _examine_fields()
    yield from _examine_last_build()
    if space is not None:
        yield from _examine_sources(space)
        yield from _examine_changes()


def _examine_embeddings(space: EmbeddingSpace | None, *, ask: bool) -> Iterator[Finding]:
    """Check the embedding model of the settings, and that of the index if it differs."""
    state = overview.rebuild_state()
    if state.problem:
        yield Finding("embeddings", False, state.problem, state.remedy)
    elif state.is_needed:
        yield Finding(
            "index",
            False,
            "A rebuild is needed: the settings specify another embedding model.",
            f"Run {INDEX_COMMAND}.",
        )
    for note in overview.embedding_notes():
        yield Finding("embeddings", True, note)
    told = {state.problem}
    for one in (None, space) if state.is_needed or space is None else (space,):
        try:
            embedder = get_embedder(one)
            name = f"“{embedder.model_name}”"
            if embedder.connection and not ask:
                yield Finding("embeddings", True, f"{name} (not contacted).")
                continue
            embedder.embed(["harbour"])
        except BackendError as error:
            if str(error) not in told:
                yield Finding("embeddings", False, str(error), error.remedy)
            told.add(str(error))
        else:
            yield Finding("embeddings", True, f"{name} answers.")


def _examine_fields() -> Iterator[Finding]:
    """Name fields with text that are not indexed. A site may want that."""
    for missing in overview.missing_texts(model for model, _count in Sources().types()):
        lines = [field.line or f'"{field.setting}",' for field in missing.fields]
        where = "search_fields" if missing.fields[0].line else "INCLUDE_FIELDS"
        yield Finding(
            "index",
            True,
            f"Not indexed: text of {missing.model._meta.label}. To add it to {where}, or to end "
            f"this message by EXCLUDE_FIELDS: {' '.join(lines)}",
        )


def _examine_sources(space: EmbeddingSpace) -> Iterator[Finding]:
    """Count indexed objects that fail to say their title or address."""
    rows = Document.objects.filter(space=space).order_by("pk").values_list("model", "object_id")
    keys = list(rows[:MOST_EXAMINED])
    access, addresses = SourceAccess(Asker(is_superuser=True, is_authenticated=True)), Addresses()
    with collecting() as faults:
        for start in range(0, len(keys), BATCH):
            batch = [Source("", "", *key) for key in keys[start : start + BATCH]]
            access.look_up(batch, None)
            for source in batch:
                if (found := access.get(source, None)) is not None and title_of(found) is not None:
                    addresses.of(found)
    if faults:
        named = "; ".join(
            f"{model} {pk} {fault}" for (model, pk), fault in list(faults.items())[:MOST_NAMED]
        )
        yield Finding(
            "index",
            False,
            f"{_count(len(faults), 'indexed object')} with errors: {named}",
            "Fix the methods of these objects. The site's log has the tracebacks.",
        )


def _examine_last_build() -> Iterator[Finding]:
    build = IndexBuild.objects.first()
    if build is None:
        return
    if overview.status_of(build) == IndexBuild.Status.FAILED:
        yield Finding(
            "index",
            False,
            f"The last build failed: {overview.reason_of(build)}",
            f"Fix the cause, then run {INDEX_COMMAND}.",
        )
    elif overview.lacks_worker(build):
        yield Finding(
            "index",
            False,
            "A build is waiting, but no worker has started it.",
            f"Start a task worker, or run {INDEX_COMMAND}.",
        )
    elif overview.is_at_work(build):
        yield Finding("index", True, f"A build is running. {overview.sentence_of(build)}")


def _examine_changes() -> Iterator[Finding]:
    """Report changes that wait to be indexed, then those that failed, by reason."""
    untried = PendingUpdate.objects.filter(error="")
    waiting = overview.Waiting(**untried.aggregate(count=Count("pk"), since=Min("marked_at")))
    changed = f"{INDEX_COMMAND} --changed"
    yield Finding(
        "index",
        not waiting.is_stuck,
        f"{_count(waiting.count, 'change')} waiting to be indexed.",
        ""
        if not waiting.is_stuck
        else f"Run {changed}, and schedule it: there is no task worker."
        if upkeep.runs_inside_the_request()
        else f"Start a task worker, or run {changed}.",
    )
    for failure in overview.failures():
        yield Finding(
            "index",
            False,
            f"{_count(failure.count, 'change')} not indexed: {failure.reason}",
            f"Fix the cause, then run {changed}.",
        )


def _what_gives_an_index() -> str:
    ours = f"Index the site's pages: {INDEX_COMMAND}"
    if not apps.is_installed("wagtail_vector_index") or apps.is_installed(ADAPTER):
        return ours
    return f'{ours}; or add "{ADAPTER}" to INSTALLED_APPS, to use wagtail-vector-index\'s indexes.'


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
