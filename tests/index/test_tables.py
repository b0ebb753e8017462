"""Tables, lists and steps keep what says what they are in every chunk."""

from __future__ import annotations

from typing import Any

import pytest
from wagtail import blocks
from wagtail.contrib.table_block.blocks import TableBlock
from wagtail.contrib.typed_table_block.blocks import TypedTableBlock

from finetune_switch.index.chunks import MAX_CHARACTERS, ChunkText, split
from finetune_switch.index.content import Content, Section, content_of
from tests.index_helpers import plain, said, texts_of

pytestmark = pytest.mark.django_db

HEADER = ["Boat", "Price per day"]
BOATS = [["Wren", "£40"], ["Kayak", "£12"]]
LINES = "Boat: Wren, Price per day: £40\nBoat: Kayak, Price per day: £12"


def chunks_of(*texts: str, max_tokens: int = 512) -> list[ChunkText]:
    return split(
        Content("Boat hire", tuple(map(Section, texts))),
        max_tokens=max_tokens,
        count_tokens=lambda text: len(text) // 4,
    )


class TestTableBlock:
    @pytest.mark.parametrize(
        "values",
        [
            {"first_row_is_table_header": True},
            {"table_header_choice": "row", "first_row_is_table_header": True},
            {},
        ],
    )
    def test_rows_carry_their_headers(self, values: dict[str, Any]) -> None:
        assert said(TableBlock(), {"data": [HEADER, *BOATS], **values}) == LINES

    def test_each_chunk_of_a_long_table(self, make_page: Any) -> None:
        data = [HEADER, *([f"Boat number {n}", f"£{n}"] for n in range(1, 5001))]
        text = said(TableBlock(), {"data": data, "first_row_is_table_header": True})
        chunks = chunks_of("We hire boats all year.", "Prices", text)
        assert len(chunks) > 200
        rows = [line for chunk in chunks for line in chunk.text.splitlines() if "£" in line]
        assert len(rows) == 5000
        for line in rows:
            assert line.startswith("Boat: Boat number ")
            assert ", Price per day: £" in line
        for chunk in chunks:
            assert len(chunk.text) <= MAX_CHARACTERS
            assert "Prices\n" in chunk.text or "£" not in chunk.text

    def test_row_headers(self) -> None:
        table = {"data": [["", "Adult", "Child"], ["Monday", "5", "3"], ["Sunday", "7", ""]]}
        both = "Monday, Adult: 5, Child: 3\nSunday, Adult: 7"
        assert said(TableBlock(), {**table, "first_row_is_table_header": True}) == both
        assert said(TableBlock(), {**table, "table_header_choice": "both"}) == both
        upright = {
            "data": [["Length", "12 m"], ["Berths", "4"]],
            "table_header_choice": "column",
            "first_col_is_header": True,
            "first_row_is_table_header": False,
        }
        assert said(TableBlock(), upright) == "Length: 12 m\nBerths: 4"

    def test_without_headers(self) -> None:
        table = {"data": [["Monday", "9–17"], ["Sunday", "closed"]]}
        assert said(TableBlock(), table) == "Monday | 9–17\nSunday | closed"
        told = {"data": [HEADER, *BOATS], "first_row_is_table_header": False}
        assert said(TableBlock(), told).splitlines()[0] == "Boat | Price per day"

    def test_caption(self) -> None:
        table = {"data": [HEADER, *BOATS], "table_caption": "Summer 2027"}
        assert said(TableBlock(), table) == f"Summer 2027\n\n{LINES}"

    def test_merged_cells(self) -> None:
        table = {
            "data": [["Boat", "Time", "Price"], ["Wren", "day", "£40"], [None, "hour", "£9"]],
            "first_row_is_table_header": True,
            "mergeCells": [{"row": 1, "col": 0, "rowspan": 2, "colspan": 1}],
        }
        assert said(TableBlock(), table).splitlines()[1] == "Boat: Wren, Time: hour, Price: £9"

    def test_wide_row_repeats_its_first_cell(self) -> None:
        header = ["Boat", *(f"Measure number {n}" for n in range(60))]
        row = ["Wren", *(f"{n} metres" for n in range(60))]
        text = said(TableBlock(), {"data": [header, row], "first_row_is_table_header": True})
        assert len(text.splitlines()) > 2
        assert all(line.startswith("Boat: Wren, Measure number") for line in text.splitlines())

    def test_typed_table(self) -> None:
        typed = TypedTableBlock([("boat", blocks.CharBlock()), ("price", blocks.DecimalBlock())])
        value = {
            "columns": [
                {"type": "boat", "heading": "Boat"},
                {"type": "price", "heading": "Price"},
            ],
            "rows": [{"values": ["Wren", 40]}, {"values": ["Kayak", None]}],
            "caption": "Fares",
        }
        assert said(typed, value) == "Fares\n\nBoat: Wren, Price: 40\nBoat: Kayak"


class TestMarkup:
    @pytest.mark.parametrize(
        "html",
        [
            "<table><thead><tr><th>Boat</th><th>Price per day</th></tr></thead><tbody>"
            "<tr><td>Wren</td><td>£40</td></tr><tr><td>Kayak</td><td>£12</td></tr></table>",
            "<table><tr><th>Boat<th>Price per day<tr><td>Wren<td>£40<tr><td>Kayak<td>£12</table>",
            "<table><tr><td><b>Boat</b></td><td><p>Price per day</p></td></tr>"
            "<tr><td>Wren</td><td>£40</td></tr><tr><td>Kayak</td><td>£12</td></tr></table>",
            "<table><tr><th>Boat:</th><th>Price<br>per day</th></tr>"
            "<tr><th>Wren</th><td>£40</td></tr><tr><th>Kayak</th><td>£12</td></tr>",
        ],
    )
    def test_rows_carry_their_headers(self, html: str) -> None:
        assert plain(html) == LINES

    def test_caption_and_surroundings(self) -> None:
        html = (
            "<p>Before.</p><table><caption>Summer</caption><tr><th>Boat</th><th>Day</th></tr>"
            "<tr><td>Wren</td><td>£40</td></tr></table><p>After.</p>"
        )
        assert plain(html) == "Before.\n\nSummer\n\nBoat: Wren, Day: £40\n\nAfter."

    def test_row_headers(self) -> None:
        html = (
            "<table><tr><th>Monday</th><td>9–12</td><td>14–17</td></tr>"
            "<tr><th>Sunday</th><td colspan=2>closed</td></tr></table>"
        )
        assert plain(html) == "Monday: 9–12, 14–17\nSunday: closed"

    def test_spans_and_two_header_rows(self) -> None:
        html = (
            "<table><tr><th rowspan=2>Boat</th><th colspan=2>Price</th></tr>"
            "<tr><th>hour</th><th>day</th></tr>"
            "<tr><td rowspan=2>Wren</td><td>£9</td><td>£40</td></tr>"
            "<tr><td>£8</td><td>£35</td></tr></table>"
        )
        assert plain(html) == (
            "Boat: Wren, Price hour: £9, Price day: £40\nBoat: Wren, Price hour: £8, Price day: £35"
        )

    def test_groups_of_rows(self) -> None:
        html = (
            "<table><tr><th>Boat</th><th>Price</th></tr><tr><th colspan=2>Winter</th></tr>"
            "<tr><td>Wren</td><td>£30</td></tr><tr><th colspan=2>Summer</th></tr>"
            "<tr><td>Wren</td><td>£40</td></tr></table>"
        )
        assert plain(html) == "Winter, Boat: Wren, Price: £30\nSummer, Boat: Wren, Price: £40"

    def test_table_in_a_table(self) -> None:
        html = (
            "<table><tr><td>Left<table><tr><th>Boat</th><th>Price</th></tr>"
            "<tr><td>Wren</td><td>£40</td></tr></table></td><td>Right</td></tr></table>"
        )
        assert plain(html).split() == ["Left", "Boat:", "Wren,", "Price:", "£40", "|", "Right"]

    def test_numbered_steps(self) -> None:
        html = "<ol><li>Cast off.</li><li>Row:<ul><li>left</li><li>right</li></ul></li></ol>"
        assert plain(html) == "1. Cast off.\n2. Row:\nleft\nright"

    def test_huge_spans(self) -> None:
        html = '<table><tr><td rowspan="99999999" colspan="99999999">A</td><td>B</td></tr></table>'
        assert plain(html) == "A | B"


class TestLists:
    STEPS = "\n".join(f"{n}. Turn the winch until the rope is tight again." for n in range(1, 11))

    @pytest.mark.parametrize("before", [100, 300, 500, 700])
    def test_list_stays_whole(self, before: int) -> None:
        text = ("The harbour is old. " * 50)[:before].strip()
        chunks = chunks_of(f"{text}\n\nHow to lift a boat:\n\n{self.STEPS}\n\n{text}")
        (whole,) = [chunk.text for chunk in chunks if "winch" in chunk.text]
        assert f"How to lift a boat:\n\n{self.STEPS}" in whole

    def test_parts_of_a_long_list_repeat_the_lead_in(self) -> None:
        steps = "\n".join(f"{n}. Turn the winch until the rope is tight." for n in range(1, 61))
        lead = (
            "Before you lift a boat out of the water in the old harbour, do all of the following:"
        )
        chunks = chunks_of(f"Lifting\n\n{lead}\n\n{steps}\n\nThen have tea.")
        parts = [chunk for chunk in chunks if "winch" in chunk.text]
        assert len(parts) > 3
        for chunk in parts:
            assert chunk.text.startswith(f"Lifting\n\n{lead}\n")
            assert len(chunk.text) <= MAX_CHARACTERS
            assert chunk.text in chunk.embedded_text
        assert sum(chunk.text.count("winch") for chunk in parts) == 60

    def test_heading_above_the_introduction_of_a_long_table(self) -> None:
        rows = "\n".join(f"Boat: Wren {n}, Price: £{n}" for n in range(100))
        chunks = chunks_of(f"Prices in winter\n\nAll of them are for a day.\n\n{rows}")
        assert len(chunks) > 2
        assert all(chunk.text.startswith("Prices in winter\n") for chunk in chunks)

    @pytest.mark.parametrize("max_tokens", [40, 80, 128])
    def test_small_embedding_models(self, max_tokens: int) -> None:
        rows = "\n".join(f"Boat: Wren {n}, Price: £{n}" for n in range(100))
        chunks = chunks_of(f"Prices in winter\n\n{rows}", max_tokens=max_tokens)
        assert all(len(chunk.embedded_text) // 4 <= max_tokens for chunk in chunks)
        assert all(chunk.text.startswith("Prices in winter\n") for chunk in chunks)

    @pytest.mark.parametrize("heading", ["How much is a ticket for the family?", "Ticket " * 12])
    def test_heading_stays_with_its_paragraph(self, heading: str) -> None:
        paragraph = ("A ticket costs five pounds. " * 26).strip()
        chunks = chunks_of(f"{paragraph}\n\n{heading.strip()}\n\n{paragraph}")
        (with_heading,) = [chunk.text for chunk in chunks if heading.strip() in chunk.text]
        assert with_heading.startswith(f"{heading.strip()}\n\nA ticket costs")
        assert all(len(chunk.text) <= MAX_CHARACTERS for chunk in chunks)

    def test_list_block_of_steps(self) -> None:
        step = blocks.StructBlock([("title", blocks.CharBlock()), ("text", blocks.RichTextBlock())])
        recipe = blocks.StructBlock(
            [("heading", blocks.CharBlock()), ("steps", blocks.ListBlock(step))]
        )
        value = {
            "heading": "How to bake it",
            "steps": [
                {"title": "Knead", "text": "<p>Ten minutes.</p><p>By hand.</p>"},
                {"title": "Prove", "text": "<p>Two hours.</p>"},
            ],
        }
        assert said(recipe, value) == (
            "How to bake it\n\nKnead: Ten minutes. By hand.\nProve: Two hours."
        )

    def test_list_block_of_rows(self) -> None:
        row = blocks.StructBlock(
            [
                ("item", blocks.CharBlock()),
                ("price", blocks.DecimalBlock(label="Price in pounds")),
                ("note", blocks.CharBlock(required=False)),
            ]
        )
        value = [
            {"item": "Wren", "price": "40", "note": ""},
            {"item": "Kayak", "price": "12", "note": "one seat"},
        ]
        assert said(blocks.ListBlock(row), value) == (
            "Item: Wren, Price in pounds: 40\nItem: Kayak, Price in pounds: 12, Note: one seat"
        )


def test_page_with_a_table(make_page: Any) -> None:
    page = make_page("Hire", "x")
    page.body = [
        ("heading", "Prices"),
        ("paragraph", "<table><tr><th>Boat</th><th>Day</th></tr><tr><td>Wren</td><td>£4</td></tr>"),
    ]
    assert texts_of(content_of(page))[1:] == ["Prices", "Boat: Wren, Day: £4"]
