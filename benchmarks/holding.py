"""``python -m benchmarks.holding``: what a process holds of the embedded store, and how long it
takes to load and to refresh it.

In a process of its own, which has nothing else to let go of, on the database of the environment.
"""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .site import ROOT

REFRESHES = 7
STATUS = Path("/proc/self/status")
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Holding:
    """Milliseconds and bytes. ``joined_peak`` is the most that was held while what had changed was
    joined with the rest, which copies the matrix."""

    load: float
    refresh: float
    raw: int
    loaded: int
    joined_peak: int


def measure() -> Holding:
    """In a process of its own, on the database that Django is set up with here."""
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks.holding"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return Holding(**json.loads(finished.stdout))


def _measure_here() -> Holding:
    from demo_site.models import ArticlePage
    from finetune_switch.index.building import update_objects
    from finetune_switch.index.stores import memory
    from finetune_switch.index.stores.base import Scope
    from finetune_switch.models import Chunk, EmbeddingSpace

    def search() -> object:
        # The version comes with the space, which is read with each question.
        space = EmbeddingSpace.objects.get(is_active=True)
        return memory.MemoryStore().search(space, vector, limit=20, scope=Scope())

    def change() -> None:
        page = ArticlePage.objects.order_by("pk")[changed[0]]
        changed[0] += 1
        ArticlePage.objects.filter(pk=page.pk).update(introduction=f"Changed: {page.introduction}")
        update_objects([(ArticlePage._meta.label_lower, str(page.pk))])

    changed = [0]
    space = EmbeddingSpace.objects.get(is_active=True)
    vector = _vector(space)
    # Whatever is imported, connected and cached along the way is there before we look.
    change()
    raw = Chunk.objects.filter(space=space).count() * space.dimensions * 4
    before = resident()
    load = _time(search)
    loaded = resident() - before
    refreshes = []
    for _number in range(REFRESHES):
        change()
        refreshes.append(_time(search))
    memory.MOST_CHANGED, memory.MOST_CHANGED_SHARE = 0, 0
    change()
    forget_peak()
    search()
    peak = resident(peak=True) - before
    return Holding(load, statistics.median(refreshes), raw, loaded, peak)


def _vector(space: Any) -> Any:
    from finetune_switch.backends.embeddings import get_embedder

    return get_embedder(space).embed(["When does the museum open?"])[0]


def _time(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def resident(*, peak: bool = False) -> int:
    """Bytes of this process that are in memory, or the most that were since the peak was reset."""
    if not STATUS.exists():
        import psutil

        return psutil.Process().memory_info().rss
    name = "VmHWM" if peak else "VmRSS"
    found = re.search(rf"^{name}:\s+(\d+) kB", STATUS.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def forget_peak() -> None:
    reset = Path("/proc/self/clear_refs")
    if reset.exists():
        reset.write_text("5")


if __name__ == "__main__":
    import django

    django.setup()
    json.dump(asdict(_measure_here()), sys.stdout)
