"""From a question to passages that are loaded and checked, as a site grows.

The embedding of the question is measured once for each size. The other rows compare stores, and
have the questions' vectors. Beside the embedded store stands the bare matrix product and, while it
can be waited for, wagtail-vector-index; beside PostgreSQL the same search in raw SQL with one fetch
by the ORM, and wagtail-vector-index again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from typing import Any
from unittest import mock

from . import holding
from .measuring import Comparison, alternate, compare, milliseconds, tell
from .site import demo_database

SIZES = (200, 1_000, 10_000)
LARGE = 100_000
POSTGRESQL_SIZES = (1_000, 10_000)
# Above, wagtail-vector-index's numpy takes 22 seconds a question.
MOST_FOR_NUMPY = 1_000
QUESTIONS = 60
RUNS = 120
FEW_RUNS = 3
LIMIT = 5
TINY = {
    "SIZES": (60,),
    "POSTGRESQL_SIZES": (60,),
    "MOST_FOR_NUMPY": 60,
    "QUESTIONS": 5,
    "RUNS": 8,
    "FEW_RUNS": 1,
}

MOST_MILLISECONDS = {10_000: 3.0, 100_000: 8.0}
# Of a question, as in benchmarks/embeddings.py.
MOST_FOR_EMBEDDING = 20.0
MOST_FOR_WORDS = {10_000: 30.0}
MOST_OF_RAW_SQL = 1.5
TIMES_FASTER = 10.0
LEAST_RECALL = 0.95
MOST_LOAD, MOST_REFRESH = 1_000.0, 20.0
MOST_HELD, MOST_JOINED = 1.2, 2.2

Ask = Callable[[], object]


def measure(*, postgresql: bool = False, large: bool = False) -> list[Comparison]:
    found: list[Comparison] = []
    with demo_database(postgresql=postgresql) as engine:
        from .articles import grow, make_site

        site = make_site()
        sizes = POSTGRESQL_SIZES if postgresql else SIZES
        for size in (*sizes, LARGE) if large else sizes:
            grow(site, size)
            tell(f"retrieval: {size:,} documents on {engine}")
            name = f"{size:,} documents, {'pgvector' if postgresql else 'memory'}"
            found.append(_with_embedding(site, size, name))
            with _given_vectors():
                measured = _on_postgresql if postgresql else _in_memory
                found += measured(site, size, name)
    return found


def _with_embedding(site: Any, size: int, name: str) -> Comparison:
    from finetune_switch.backends.embeddings import get_embedder

    questions, embedder = _questions(), get_embedder()
    most = MOST_MILLISECONDS.get(size)
    return compare(
        f"Question → passages with its embedding, {name}",
        _turns(
            lambda: embedder.embed([next(questions)]),
            _retrieve(site, text_ranking=False),
            runs=RUNS // 2,
        ),
        target="none" if most is None else "most",
        most=MOST_FOR_EMBEDDING + (most or 0),
        note="without: the embedding alone",
    )


@contextmanager
def _given_vectors() -> Iterator[None]:
    """Embedding takes next to no time: vectors of questions are there, those of pages are made of
    words."""
    import numpy as np

    from finetune_switch.backends.embeddings import get_embedder
    from finetune_switch.backends.embeddings.embedded import EmbeddedEmbedder

    from .articles import word_vectors

    questions, make = _some_questions(), word_vectors()
    known = dict(zip(questions, get_embedder().embed(questions), strict=True))

    def embed(self: Any, texts: Sequence[str]) -> Any:
        if all(text in known for text in texts):
            return np.stack([known[text] for text in texts])
        return make(texts)

    with mock.patch.object(EmbeddedEmbedder, "embed", embed):
        yield


def _in_memory(site: Any, size: int, name: str) -> Iterator[Comparison]:
    ours = _retrieve(site, text_ranking=False)
    if size <= MOST_FOR_NUMPY:
        times = _turns(_vector_index(), ours, runs=FEW_RUNS)
        note = "without: wagtail-vector-index, numpy; 22 s at 10,000, so no further"
        yield compare(f"Question → passages, {name}", times, target="none", note=note)
    if size < MOST_FOR_NUMPY:
        return
    most = MOST_MILLISECONDS.get(size)
    yield compare(
        f"Question → passages, {name}",
        _turns(_matrix_product(), ours),
        target="none" if most is None else "most",
        most=most or 0,
        note="without: the bare matrix product",
    )
    yield _words(site, size, f"Text ranking, {name}")
    held = holding.measure()
    yield Comparison(
        f"Cold load, {name}", held.load, held.load, 1, "most", MOST_LOAD, "in a process of its own"
    )
    yield Comparison(
        f"Refresh after one page, {name}",
        held.load,
        held.refresh,
        holding.REFRESHES,
        "most",
        MOST_REFRESH,
        "without: a cold load",
    )
    for what, value, most_held in (
        ("Memory", held.loaded, MOST_HELD),
        ("Memory while changes are joined", held.joined_peak, MOST_JOINED),
    ):
        raw = held.raw / holding.MEGABYTE
        yield Comparison(
            f"{what}, {name}",
            raw,
            value / holding.MEGABYTE,
            1,
            # Some megabytes more are needed for any number of vectors, however small.
            "ratio" if size == LARGE else "none",
            most_held,
            "without: the raw vectors; resident memory",
            "MB",
        )


def _on_postgresql(site: Any, size: int, name: str) -> Iterator[Comparison]:
    from .pgvector import Raw, copy_to_vector_index, recall

    ours = _retrieve(site, text_ranking=False)
    raw = Raw(LIMIT)
    questions = _questions()
    yield compare(
        f"Question → passages, {name}",
        _turns(lambda: raw.ask(next(questions)), ours),
        target="ratio" if size > MOST_FOR_NUMPY else "none",
        most=MOST_OF_RAW_SQL,
        note="without: raw SQL over the same HNSW index, and one fetch by the ORM",
    )
    copy_to_vector_index()
    yield compare(
        f"Question → passages, {name}",
        _turns(_vector_index(), ours, runs=RUNS // 4),
        target="faster" if size == LARGE else "none",
        most=TIMES_FASTER,
        note="without: wagtail-vector-index, pgvector",
    )
    yield _words(site, size, f"Text ranking, {name}")
    yield Comparison(
        f"recall@{LIMIT}, {name}",
        1.0,
        recall(_some_questions(), LIMIT),
        QUESTIONS,
        "least",
        LEAST_RECALL,
        "without: the exact search",
        "",
    )


def _words(site: Any, size: int, name: str) -> Comparison:
    times = _turns(
        _retrieve(site, text_ranking=False), _retrieve(site, text_ranking=True), runs=RUNS // 2
    )
    most = MOST_FOR_WORDS.get(size)
    return compare(
        name,
        times,
        target="none" if most is None else "difference",
        most=most or 0,
        note="without: the vectors alone",
    )


def _turns(
    without: Ask, plugin: Ask, *, runs: int | None = None
) -> tuple[list[float], list[float]]:
    runs = runs or RUNS
    return alternate(
        milliseconds(without), milliseconds(plugin), runs=runs, warm_up=max(1, runs // 20)
    )


def _some_questions() -> list[str]:
    from .corpus import questions

    return questions(QUESTIONS)


def _questions() -> Iterator[str]:
    return cycle(_some_questions())


def _retrieve(site: Any, *, text_ranking: bool) -> Ask:
    from finetune_switch.access import Asker
    from finetune_switch.index import site_index, texts
    from finetune_switch.search import retrieve

    questions = _questions()
    ranking = texts.get_text_ranking if text_ranking else texts.TextRanking

    def ask() -> object:
        site_index.get_text_ranking = ranking
        found = retrieve(
            next(questions), asker=Asker.anonymous(), site=site, limit=LIMIT, threshold=-1
        )
        assert len(found) == LIMIT
        return found

    return ask


def _matrix_product() -> Ask:
    import numpy as np

    from finetune_switch.backends.embeddings import get_embedder
    from finetune_switch.models import Chunk

    rows = Chunk.objects.values_list("vector", flat=True).iterator()
    matrix = np.concatenate([np.frombuffer(row, "<f4")[np.newaxis] for row in rows])
    vectors = cycle(get_embedder().embed(_some_questions()))

    def ask() -> object:
        scores = matrix @ next(vectors)
        return np.argpartition(scores, -LIMIT)[-LIMIT:]

    return ask


def _vector_index() -> Ask:
    from demo_site.models import ArticlePage

    index, questions = ArticlePage.vector_index, _questions()

    def ask() -> object:
        found = index.search(next(questions), limit=LIMIT)
        # Of a page that it has split into two, one is left out.
        assert found
        return found

    return ask
