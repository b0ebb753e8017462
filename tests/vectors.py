"""Text that somebody might have written, its vectors, and spaces of them in the database."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from django.conf import settings as django_settings
from django.db import connection

from finetune_switch.index.stores.base import Scope
from finetune_switch.index.stores.pgvector import PgvectorStore
from finetune_switch.models import Chunk, Document, EmbeddingSpace

needs_postgresql = pytest.mark.skipif(
    not django_settings.USES_POSTGRESQL,
    reason="needs a PostgreSQL with pgvector: python -m tests.postgres",
)

SENTENCES = 6_000
RARE_SITE, COMMON_SITE = 2, 1
ENGLISH, GERMAN = 1, 2
EVERYTHING = Scope()

PEOPLE = """
the harbour master | our head gardener | a visiting scholar | the school librarian | two
volunteers | the ferry captain | a retired nurse | the village baker | our treasurer | the
night warden | a young violinist | the town council | the lifeboat crew | an apprentice
carpenter | the museum curator | the parish choir | the swimming teacher | a beekeeper | the
railway engineer | a marine biologist
"""
VERBS = """
repaired | opened | inspected | cancelled | painted | measured | translated | borrowed |
auctioned | photographed | postponed | restored | explained | counted | collected |
delivered | donated | insured | labelled | moved
"""
THINGS = """
the old lighthouse | a fleet of rowing boats | library books | the organ pipes | tomato
seedlings | swimming certificates | the annual accounts | fishing permits | a steam engine |
stained glass windows | winter coats | the honey harvest | concert tickets | the flood
barrier | medical records | stray cats | hiking maps | parking fees | the apple orchard |
solar panels | bicycle brakes | a stone bridge | rare stamps | cheese wheels
"""
PLACES = """
in the market square | behind the town hall | on the northern pier | at the railway station
| beside the river | in the botanical garden | on the second floor | near the cathedral | at
the sports ground | in the cellar | in the reading room | at the mountain hut | on the
island | along the canal | at the old mill
"""
TIMES = """
every Tuesday morning | before the summer holidays | after heavy rain | once a year | at
high tide | during the winter months | on public holidays | shortly before midnight | since
the great storm | for a small fee | without any notice | with the help of neighbours | by
appointment only | in spite of the cold
"""

_numbers = itertools.count(1)


def natural_sentences(number: int) -> list[str]:
    """Different sentences that somebody might have written, always the same ones."""
    choose = random.Random(3).choice
    parts = [
        [" ".join(part.split()) for part in text.split("|")]
        for text in (PEOPLE, VERBS, THINGS, PLACES, TIMES)
    ]
    forms = (
        "{0} {1} {2} {3} {4}.",
        "{4}, {0} {1} {2} {3}.",
        "{3}, {0} {1} {2}.",
        "{0} {1} {2} {4}.",
    )
    found: dict[str, None] = {}
    while len(found) < number:
        sentence = choose(forms).format(*map(choose, parts))
        found[sentence[0].upper() + sentence[1:]] = None
    return list(found)


def questions(number: int) -> list[str]:
    choose = random.Random(4).choice
    people, things, places = (
        [" ".join(part.split()) for part in text.split("|")] for text in (PEOPLE, THINGS, PLACES)
    )
    forms = (
        "Who looks after {1}?",
        "Where can I see {1} {2}?",
        "What did {0} do {2}?",
        "Does {0} know anything about {1}?",
    )
    return [choose(forms).format(*map(choose, (people, things, places))) for _ in range(number)]


def make_space(dimensions: int = 512) -> EmbeddingSpace:
    name = f"pgvector test {next(_numbers)}"
    return EmbeddingSpace.objects.create(model_name=name, dimensions=dimensions)


def unit(rows: int, dimensions: int, seed: int = 1) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, dimensions))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("<f4")


def write(space: EmbeddingSpace, vectors: np.ndarray, **columns) -> list[int]:
    """A document with one chunk for each vector; ``columns`` are functions of its number."""
    documents = Document.objects.bulk_create(
        [
            Document(
                space=space,
                model="tests.thing",
                object_id=f"{next(_numbers)}",
                title="A thing",
                digest="",
                **{name: value(number) for name, value in columns.items()},
            )
            for number in range(len(vectors))
        ],
        batch_size=1_000,
    )
    chunks = Chunk.objects.bulk_create(
        [
            Chunk(
                document=document,
                space=space,
                position=0,
                text="A thing",
                digest="",
                vector=vector.astype("<f4").tobytes(),
                version=1,
            )
            for document, vector in zip(documents, vectors, strict=True)
        ],
        batch_size=1_000,
    )
    return [chunk.pk for chunk in chunks]


def ids(found) -> list[int]:
    return [one.chunk_id for one in found]


def explain(store: PgvectorStore, space: EmbeddingSpace, vector, scope=EVERYTHING) -> str:
    sql, parameters = store.query(space, vector, limit=5, scope=scope)
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN " + sql, parameters)
        return "\n".join(line for (line,) in cursor.fetchall())


def exact(store, space, vector, limit, scope):
    rows = store._fetch(store.query(space, vector, limit=limit, scope=scope, exact=True))
    return [(chunk_id, 1 - distance) for chunk_id, distance in rows]


def recall(store, space, vectors, scope, limit=5) -> float:
    """How many of the exact results' scores are reached: of two texts alike, either will do."""
    reached = wanted = 0
    for vector in vectors:
        truth = exact(store, space, vector, limit, scope)
        found = store.search(space, vector, limit=limit, scope=scope)
        assert len(found) == len(truth)
        reached += sum(one.score >= truth[-1][1] - 1e-6 for one in found)
        wanted += len(truth)
    return reached / wanted
