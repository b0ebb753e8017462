"""The embedding models of the package: a question, the pages of the demo, and memory.

Each is measured in a process of its own, ``python -m benchmarks.embeddings``, on the database of
the environment.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from . import holding
from .measuring import Comparison, tell
from .site import ROOT, demo_database

MODELS = ("english", "multilingual")
QUESTIONS = 300
WARM_UP = 10
# More than the demo has.
MOST_PAGES = 1_000
TINY = {"QUESTIONS": 5, "WARM_UP": 1, "MOST_PAGES": 5}
MOST_MILLISECONDS = 20.0
LEAST_PAGES = {"english": 10.0, "multilingual": 60.0}
MOST_MEGABYTES = 250.0
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def measure() -> list[Comparison]:
    with demo_database():
        from demo_site import loader

        from .quality import load

        load(loader.load)
        return [found for model in MODELS for found in _measure(model)]


def _measure(model: str) -> Iterator[Comparison]:
    tell(f"embeddings: {model}")
    times = _in_process(model, "questions", QUESTIONS, WARM_UP, **ONE_THREAD)
    *_cuts, percentile_95 = statistics.quantiles(times, n=20)
    for name, value in (("median", statistics.median(times)), ("95th percentile", percentile_95)):
        yield Comparison(
            f"Embedding a question, {name}, {model}",
            value,
            value,
            len(times),
            "most",
            MOST_MILLISECONDS,
            "one core",
        )
    before, after, pages, seconds = _in_process(model, "pages", MOST_PAGES)
    yield Comparison(
        f"Embedding pages, {model}",
        pages / seconds,
        pages / seconds,
        1,
        "least",
        LEAST_PAGES[model],
        f"the demo's {pages} pages, split into chunks, and their titles; all cores",
        "pages/s",
    )
    yield Comparison(
        f"Memory, {model}",
        before,
        after,
        1,
        "difference",
        MOST_MEGABYTES,
        "without: the same process before it embeds a question; the most that is resident",
        "MB",
    )


def _in_process(model: str, what: str, *sizes: int, **variables: str) -> Any:
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks.embeddings", model, what, *map(str, sizes)],
        cwd=ROOT,
        env={**os.environ, **variables},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(finished.stdout)


def _embedder(model: str) -> Any:
    from finetune_switch.backends.embeddings.embedded import BY_OPTION, EmbeddedEmbedder

    return EmbeddedEmbedder(BY_OPTION[model])


def _questions(model: str, count: int, warm_up: int) -> list[float]:
    """Milliseconds of each."""
    from .corpus import questions

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    embedder, times = _embedder(model), []
    for question in questions(warm_up + count):
        started = time.perf_counter()
        embedder.embed([question])
        times.append((time.perf_counter() - started) * 1000)
    return times[warm_up:]


def _pages(model: str, most: int) -> tuple[float, float, int, float]:
    """The most megabytes that were resident before a question is embedded, and after; the number
    of pages, and the seconds that their vectors take, with the splitting of texts."""
    from finetune_switch.index.sources import Sources
    from finetune_switch.index.writing import chunks_of, embed_chunks, text_of

    embedder = _embedder(model)
    before = holding.resident(peak=True) / holding.MEGABYTE
    embedder.embed(["When does the museum open?"])
    after = holding.resident(peak=True) / holding.MEGABYTE
    batches = []
    for keys in Sources().key_batches():
        contents = [text_of(item.instance) for item in Sources().find(keys)]
        batches.append(contents[: most - sum(map(len, batches))])
    started = time.perf_counter()
    for contents in batches:
        texts = [
            (content.title, chunk.embedded_text)
            for content in contents
            for chunk in chunks_of(content, embedder)
        ]
        if texts:
            embed_chunks(embedder, texts)
    return before, after, sum(map(len, batches)), time.perf_counter() - started


def main(arguments: Sequence[str]) -> None:
    import django

    django.setup()
    model, what, *sizes = arguments
    measured = {"questions": _questions, "pages": _pages}[what]
    json.dump(measured(model, *map(int, sizes)), sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
