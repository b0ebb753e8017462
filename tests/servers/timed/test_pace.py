"""How long it takes: words come as the model writes them, and four answers as long as one."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.servers.asking import LONG_ANSWER, asked
from tests.servers.comparing import column_of
from tests.servers.reading import read_stream

# What a machine that has other things to do adds to four streams at once.
NOISE = 0.5


@pytest.mark.parametrize("connection", ["openai", "ollama"])
def test_words_arrive_as_the_model_writes_them(server, make_backend, connection):
    backend = make_backend(
        connection, behaviour={"answer": "One two three four five.", "tokens_per_second": 5}
    )
    read_stream(server.url, asked(backend))

    stream = read_stream(server.url, asked(backend))

    said = [arrival for arrival in stream.arrivals if arrival.name == "text"]
    assert len(said) >= 5
    # Four gaps of a fifth of a second each, in none of which a word is held back.
    gaps = [later.at - earlier.at for earlier, later in itertools.pairwise(said)][:4]
    assert all(0.05 < gap < 2 for gap in gaps), gaps
    assert stream.arrivals[0].at < said[0].at + 0.05 < stream.last.at - 0.5


def test_four_columns_end_with_the_slowest(comparer, make_backend):
    behaviour = {"answer": LONG_ANSWER, "first_token_seconds": 0.5, "tokens_per_second": 10}
    backends = [make_backend(behaviour=behaviour, total_seconds=20) for _ in range(4)]
    alone = comparer.stream(column_of(comparer.ask(backends), backends[0])).last.at
    assert alone > 1.5
    columns = [
        column_of(comparison, backend)
        for comparison in [comparer.ask(backends)]
        for backend in backends
    ]
    started = time.monotonic()
    with ThreadPoolExecutor(4) as threads:
        streams = list(threads.map(comparer.stream, columns))
    together = time.monotonic() - started
    assert [stream.text for stream in streams] == [LONG_ANSWER] * 4
    assert together < 1.1 * alone + NOISE
