"""Rebuilding an index of 2,000 pages, beside wagtail-vector-index's.

Both are given vectors that cost nothing, so that what is measured is their own work.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from typing import Any
from unittest import mock

from .measuring import Comparison, alternate, compare, milliseconds, tell
from .site import demo_database

PAGES = 2_000
RUNS = 3
FULL_RUNS = 2
CHANGED_RUNS = 5
TIMES_FASTER_FULL = 3
TIMES_FASTER_UNCHANGED = {"sqlite": 3, "postgresql": 5}
TIMES_FASTER_CHANGED = 20
DIFFERENT_VECTORS = 997
TINY = {"PAGES": 30, "RUNS": 1, "FULL_RUNS": 1, "CHANGED_RUNS": 1}

Work = Callable[[], object]


def measure(*, postgresql: bool = False) -> list[Comparison]:
    with demo_database(postgresql=postgresql) as engine, ExitStack() as stack:
        from .articles import grow, make_site

        grow(make_site(), PAGES, indexed=False)
        _embed_for_nothing(stack)
        tell(f"rebuild: {PAGES:,} pages on {engine}")
        return list(_compare(engine))


def _compare(engine: str) -> Iterator[Comparison]:
    from django.db import connection

    what = f"{PAGES:,} pages, {engine}"
    note = "without: wagtail-vector-index; embedding costs nothing"
    full = alternate(
        _after(_clear_theirs, _rebuild_theirs),
        _after(_clear_ours, _rebuild_ours),
        runs=FULL_RUNS,
        warm_up=0,
    )
    yield compare(
        f"Rebuild from nothing, {what}", full, target="faster", most=TIMES_FASTER_FULL, note=note
    )
    unchanged = alternate(
        milliseconds(_rebuild_theirs), milliseconds(_rebuild_ours), runs=RUNS, warm_up=1
    )
    most = TIMES_FASTER_UNCHANGED[connection.vendor]
    note = "without: wagtail-vector-index; every text compared"
    yield compare(
        f"Rebuild, nothing changed, {what}", unchanged, target="faster", most=most, note=note
    )
    times = [milliseconds(_rebuild_changed)() for _run in range(CHANGED_RUNS)]
    yield compare(
        f"`--changed`, nothing changed, {what}",
        (unchanged[0], times),
        target="faster",
        most=TIMES_FASTER_CHANGED,
        note="without: wagtail-vector-index's rebuild, which knows no other",
    )
    marked = [_after(_mark_one, _rebuild_changed)() for _run in range(CHANGED_RUNS)]
    yield compare(
        f"`--changed`, one page changed, {what}",
        (unchanged[0], marked),
        target="faster",
        most=TIMES_FASTER_CHANGED,
        note="without: the same",
    )


def _after(prepare: Work, work: Work) -> Callable[[], float]:
    """How long the work takes, without what it is prepared by."""

    def measured() -> float:
        prepare()
        return milliseconds(work)()

    return measured


def _rebuild_theirs() -> None:
    from demo_site.models import ArticlePage

    ArticlePage.vector_index.rebuild_index()


def _clear_theirs() -> None:
    from django.apps import apps
    from wagtail_vector_index.storage.models import Embedding

    if apps.is_installed("wagtail_vector_index.storage.pgvector"):
        apps.get_model("pgvector", "PgvectorEmbedding").objects.all().delete()
    Embedding.objects.all().delete()


def _rebuild_ours(*, changed_only: bool = False) -> None:
    from finetune_switch.index.building import run_build
    from finetune_switch.index.builds import start_build

    build = run_build(start_build(changed_only=changed_only))
    if build.error:
        raise RuntimeError(build.error)


def _rebuild_changed() -> None:
    _rebuild_ours(changed_only=True)


def _clear_ours() -> None:
    from finetune_switch.index.stores import get_store
    from finetune_switch.models import EmbeddingSpace, PendingUpdate

    PendingUpdate.objects.all().delete()
    for space in EmbeddingSpace.objects.all():
        get_store().drop(space)
        space.delete()


def _mark_one() -> None:
    from demo_site.models import ArticlePage
    from finetune_switch.index.upkeep import mark

    page = ArticlePage.objects.order_by("?")[0]
    ArticlePage.objects.filter(pk=page.pk).update(introduction=f"Changed: {page.introduction}")
    mark(ArticlePage._meta.label_lower, page.pk)


def _embed_for_nothing(stack: ExitStack) -> None:
    from finetune_switch.backends.embeddings.embedded import EmbeddedEmbedder
    from finetune_switch.vector_index.embeddings import EmbeddedEmbeddingBackend

    def ours(self: Any, texts: Sequence[str]) -> Any:
        return _vectors()[[_number(text) for text in texts]]

    def theirs(self: Any, inputs: Iterable[str], **kwargs: Any) -> Iterator[list[float]]:
        rows = _lists()
        return iter([rows[_number(text)] for text in inputs])

    def count_tokens(self: Any, text: str) -> int:
        return len(text) // 4 + 1

    for owner, name, free in (
        (EmbeddedEmbedder, "embed", ours),
        (EmbeddedEmbedder, "count_tokens", count_tokens),
        (EmbeddedEmbeddingBackend, "embed", theirs),
    ):
        stack.enter_context(mock.patch.object(owner, name, free))


def _number(text: str) -> int:
    """Of the vector that stands for a text."""
    return zlib.crc32(text.encode()) % DIFFERENT_VECTORS


@cache
def _vectors() -> Any:
    import numpy as np

    from finetune_switch.backends.embeddings import chosen_model

    found = np.random.default_rng(1).normal(size=(DIFFERENT_VECTORS, chosen_model().dimensions))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype("<f4")


@cache
def _lists() -> list[list[float]]:
    return _vectors().tolist()
