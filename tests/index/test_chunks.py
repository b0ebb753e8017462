"""Splitting of content into chunks."""

from __future__ import annotations

import random
import time

import pytest

from finetune_switch.index.chunks import MAX_CHARACTERS, split
from finetune_switch.index.content import Content, Section

WORDS = [
    "harbour", "boat", "tide", "and", "the", "visitor", "ticket", "family", "museum", "winter",
    "sea", "wall", "crane", "rope",
]  # fmt: skip


def prose(sentences: int, seed: int = 1) -> str:
    choose = random.Random(seed)
    return " ".join(
        " ".join(choose.choice(WORDS) for _ in range(choose.randint(5, 15))).capitalize() + "."
        for _ in range(sentences)
    )


def content(*texts: str, title: str = "Tide mill") -> Content:
    return Content(title, tuple(Section(text, f"b{i}") for i, text in enumerate(texts)))


def by_words(text: str) -> int:
    return len(text.split())


def by_letters(text: str) -> int:
    return len(text)


def test_small_sections_share_a_chunk() -> None:
    (chunk,) = split(content("Grinds.", "Daily.", "Five pounds."), max_tokens=512)
    assert chunk.text == "Grinds.\n\nDaily.\n\nFive pounds."
    assert chunk.anchor == "b0"


def test_title_is_only_in_the_embedded_text() -> None:
    chunks = split(content(prose(60)), max_tokens=8191)
    assert len(chunks) > 3
    for chunk in chunks:
        assert chunk.embedded_text == f"Tide mill\n{chunk.text}"
        assert "Tide mill" not in chunk.text


def test_object_with_only_a_title() -> None:
    (chunk,) = split(Content("Tide mill"), max_tokens=512)
    assert (chunk.text, chunk.embedded_text, chunk.anchor) == ("Tide mill", "Tide mill", "")
    assert split(Content(""), max_tokens=512) == []


def test_object_without_title() -> None:
    (chunk,) = split(content("Grinds.", title=""), max_tokens=512)
    assert chunk.embedded_text == "Grinds."


def test_long_texts_are_split_at_paragraphs() -> None:
    paragraphs = [prose(4, seed) for seed in range(30)]
    chunks = split(content(*paragraphs), max_tokens=8191)
    assert all(len(chunk.text) <= MAX_CHARACTERS for chunk in chunks)
    assert "\n\n".join(chunk.text for chunk in chunks) == "\n\n".join(paragraphs)
    assert len(chunks) < 30


def test_anchor_of_the_first_block() -> None:
    texts = [prose(30, seed) for seed in range(5)]
    chunks = split(content(*texts), max_tokens=8191)
    for chunk in chunks:
        assert chunk.text[:40] in texts[int(chunk.anchor[1:])]
    assert {chunk.anchor for chunk in chunks} == {"b0", "b1", "b2", "b3", "b4"}


def test_heading_stays_with_its_paragraph() -> None:
    before, after = prose(8, 1)[:690] + ".", prose(8, 2)[:690] + "."
    chunks = split(content(before, "Opening hours", "In winter", after), max_tokens=8191)
    assert [chunk.text for chunk in chunks] == [before, f"Opening hours\n\nIn winter\n\n{after}"]
    assert chunks[1].anchor == "b1"


def test_heading_of_a_long_paragraph() -> None:
    (chunk,) = split(content("Opening hours", ("rope " * 147).strip()), max_tokens=8191)
    assert chunk.text.startswith("Opening hours\n\nrope")


@pytest.mark.parametrize("max_tokens", [1, 7, 30, 64, 256])
@pytest.mark.parametrize("count", [by_words, by_letters])
@pytest.mark.parametrize(
    "text",
    [
        prose(80),
        "a" * 3000,
        "👩‍👩‍👧‍👦" * 300,
        "مرحبا بالعالم " * 200,
        "港の船。" * 500,
        "a\n" * 900,
    ],
    ids=["prose", "one word", "emoji", "right to left", "no spaces", "lines"],
)
def test_chunks_are_within_the_token_limit(max_tokens: int, count, text: str) -> None:
    chunks = split(content(text.strip()), max_tokens=max_tokens, count_tokens=count)
    assert max(count(chunk.embedded_text) for chunk in chunks) <= max_tokens
    kept = "".join("".join(chunk.text for chunk in chunks).split())
    assert kept == "".join(text.split())


def test_title_above_the_token_limit() -> None:
    title = prose(40)
    chunks = split(content(prose(10), title=title), max_tokens=40, count_tokens=by_words)
    assert all(by_words(chunk.embedded_text) <= 40 for chunk in chunks)
    (alone,) = split(Content(title), max_tokens=40, count_tokens=by_words)
    assert by_words(alone.embedded_text) <= 40
    assert alone.text == title


def test_estimated_tokens_of_dense_scripts() -> None:
    chunks = split(content("港の船。" * 500), max_tokens=256)
    assert all(len(chunk.embedded_text.encode()) <= 256 * 3 for chunk in chunks)


def test_invalid_max_tokens() -> None:
    with pytest.raises(ValueError, match="room"):
        split(content("x"), max_tokens=0)


def test_chunks_are_deterministic() -> None:
    one, two = (split(content(prose(50)), max_tokens=512) for _ in range(2))
    assert one == two
    assert [chunk.digest for chunk in one] == [chunk.digest for chunk in two]
    assert len({chunk.digest for chunk in one}) == len(one)
    (other,) = split(content("Grinds.", title="Wind mill"), max_tokens=512)
    (same,) = split(content("Grinds."), max_tokens=512)
    assert other.text == same.text
    assert other.digest != same.digest


def test_tokens_are_rarely_counted() -> None:
    counted = []

    def count(text: str) -> int:
        counted.append(text)
        return len(text) // 4

    pages = [content(*(prose(4, seed + i) for i in range(6))) for seed in range(100)]
    for page in pages:
        split(page, max_tokens=8191, count_tokens=count)
    assert counted == []
    for page in pages:
        split(page, max_tokens=512, count_tokens=count)
    # Each word is counted once, not hundreds of chunks.
    assert max(map(len, counted)) < 40
    assert len(counted) < 100


def test_two_thousand_pages_take_well_under_a_second() -> None:
    pages = [content(*(prose(4, seed + i) for i in range(6))) for seed in range(200)] * 10
    assert sum(len(section.text) for section in pages[0].sections) > 1_400
    began = time.process_time()
    for page in pages:
        split(page, max_tokens=512, count_tokens=lambda text: len(text) // 4)
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "text",
    ["rope " * 200_000, "a" * 1_000_000, "a\n" * 500_000],
    ids=["one line", "one word", "lines"],
)
def test_megabyte(text: str) -> None:
    began = time.process_time()
    chunks = split(content(text.strip()), max_tokens=8191)
    assert time.process_time() - began < 3
    assert sum(len(chunk.text.replace("\n", "")) for chunk in chunks) >= 0.4 * len(text)
    assert max(len(chunk.text) for chunk in chunks) <= MAX_CHARACTERS
