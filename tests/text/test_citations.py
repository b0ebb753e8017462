"""Citations in the forms that models write, however the answer is divided."""

import random

import pytest

from finetune_switch.text.citations import CitationFilter, parse_citations
from tests.helpers import make_passages

PASSAGES = make_passages("One.", "Two.", "Three.")
CASES = [
    ("It opens at nine [1].", "It opens at nine [1]."),
    ("It opens at nine[1].", "It opens at nine[1]."),
    ("It opens at nine 【1】.", "It opens at nine [1]."),
    ("It opens at nine【2†source】.", "It opens at nine[2]."),
    ("It opens at nine [^1].", "It opens at nine [1]."),
    ("It opens at nine [Source 1].", "It opens at nine [1]."),
    ("It opens at nine [source: 1, 3].", "It opens at nine [1, 3]."),
    ("Um neun [Quelle 2].", "Um neun [2]."),
    ("It opens at nine (Passage 2).", "It opens at nine [2]."),
    ("It opens at nine (1).", "It opens at nine [1]."),
    ("It opens at nine (1)", "It opens at nine [1]"),
    ("It opens at nine (99).", "It opens at nine (99)."),
    ("(1) First, (2) then.", "(1) First, (2) then."),
    ("It opens at nine [99].", "It opens at nine."),
    ("It opens at nine [1, 99].", "It opens at nine [1]."),
    ("It opens at nine 【99】.", "It opens at nine."),
    ("Use items[0] here.", "Use items[0] here."),
    ("Use `items[1]` here [2].", "Use `items[1]` here [2]."),
    ("So:\n```\na[1] = b[9]\n```\nDone [1].", "So:\n```\na[1] = b[9]\n```\nDone [1]."),
    ("[a link](https://example.org) [1]", "[a link](https://example.org) [1]"),
    ("It ends in [", "It ends in ["),
]


def filtered(pieces):
    citations = CitationFilter(PASSAGES)
    return "".join([*(citations.feed(piece) for piece in pieces), citations.finish()])


@pytest.mark.parametrize(("text", "shown"), CASES)
def test_any_form_in_any_pieces(text, shown):
    assert filtered([text]) == shown
    assert filtered(text) == shown
    rng = random.Random(16)
    for _time in range(100):
        cuts = sorted(rng.sample(range(len(text) + 1), min(5, len(text))))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        assert filtered(pieces) == shown, pieces


def test_code_cites_nothing():
    assert parse_citations("Use `items[1]` here [2], or ```\na[3]\n```.", PASSAGES) == [2]
