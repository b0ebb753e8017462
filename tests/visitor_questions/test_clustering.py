"""Clusters of vectors, beside what the plainest code comes to."""

from __future__ import annotations

import numpy as np
import pytest

from finetune_switch.visitor_questions.clustering import average_linkage


def plainly(vectors, least):
    clusters = [[row] for row in range(len(vectors))]
    while len(clusters) > 1:
        pairs = [
            (np.mean([vectors[a] @ vectors[b] for a in one for b in other]), i, j)
            for i, one in enumerate(clusters)
            for j, other in enumerate(clusters[:i])
        ]
        similarity, i, j = max(pairs)
        if similarity < least:
            break
        clusters[j] += clusters.pop(i)
    return {frozenset(rows) for rows in clusters}


@pytest.mark.parametrize("least", [0.1, 0.4, 0.7, 1.1])
def test_as_the_plainest_code_has_it(least):
    vectors = np.random.default_rng(7).normal(size=(40, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = average_linkage(vectors, least)
    assert {frozenset(rows) for rows in found} == plainly(vectors, least)
    assert sorted(row for rows in found for row in rows) == list(range(40))


def test_the_order_of_the_rows_is_no_matter():
    vectors = np.random.default_rng(8).normal(size=(60, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    order = np.random.default_rng(9).permutation(60)
    one = {frozenset(rows) for rows in average_linkage(vectors, 0.4)}
    other = {frozenset(order[rows].tolist()) for rows in average_linkage(vectors[order], 0.4)}
    assert one == other


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few(count):
    vectors = np.eye(3, dtype=np.float32)[:1].repeat(count, axis=0)
    assert average_linkage(vectors, 0.5) == ([list(range(count))] if count else [])
