"""Texts of StreamField blocks and of markup."""

from __future__ import annotations

import json
import uuid
from decimal import Decimal
from typing import Any

import pytest
from bs4 import BeautifulSoup
from django.db import models
from django.test.utils import isolate_apps
from wagtail import blocks
from wagtail.blocks import RichTextBlock
from wagtail.contrib.table_block.blocks import TableBlock
from wagtail.contrib.typed_table_block.blocks import TypedTableBlock
from wagtail.fields import StreamField

from demo_site.models import ArticlePage
from finetune_switch.index.content import Section, content_of
from tests.index_helpers import plain, said, texts_of

pytestmark = pytest.mark.django_db


class TestAnchors:
    def test_section_for_each_block(self, make_page: Any) -> None:
        page = make_page("Mill", "Grinds.")
        first, second = str(uuid.uuid4()), str(uuid.uuid4())
        page.body = json.dumps(
            [
                {"type": "heading", "value": "Opening", "id": first},
                {"type": "paragraph", "value": "<p>Daily.</p>", "id": second},
            ]
        )
        page.save()
        page = ArticlePage.objects.get(pk=page.pk)
        assert content_of(page, block_anchor="block-{id}").sections == (
            Section("Grinds."),
            Section("Opening", f"block-{first}"),
            Section("Daily.", f"block-{second}"),
        )
        assert {section.anchor for section in content_of(page).sections} == {""}

    @isolate_apps("tests")
    @pytest.mark.parametrize("name", ["anchor", "anchor_id"])
    def test_anchor_field(self, name: str) -> None:
        part = blocks.StructBlock([(name, blocks.CharBlock()), ("text", blocks.TextBlock())])

        class Leaflet(models.Model):  # noqa: DJ008
            name = models.CharField(max_length=9)
            body = StreamField([("part", part)])

            class Meta:
                app_label = "tests"

        leaflet = Leaflet(name="L", body=[("part", {name: "#tides", "text": "High at noon."})])
        assert content_of(leaflet).sections == (Section("High at noon.", "tides"),)
        # With BLOCK_ANCHOR, every block has an id.
        leaflet.body[0].id = "7"
        assert content_of(leaflet, block_anchor="b{id}").sections[0].anchor == "b7"
        leaflet.body[0].value[name] = "An anchor weighs two tons"
        assert content_of(leaflet).sections == (
            Section("An anchor weighs two tons\nHigh at noon.", ""),
        )


class TestBlocks:
    def test_wagtail_blocks(self) -> None:
        part = blocks.StructBlock(
            [
                ("char", blocks.CharBlock()),
                ("text", blocks.TextBlock()),
                ("rich", RichTextBlock()),
                ("html", blocks.RawHTMLBlock()),
                ("list", blocks.ListBlock(blocks.CharBlock())),
                ("stream", blocks.StreamBlock([("quote", blocks.BlockQuoteBlock())])),
                ("choice", blocks.ChoiceBlock(choices=[("h", "High water")])),
                ("date", blocks.DateBlock()),
                ("price", blocks.DecimalBlock()),
                ("email", blocks.EmailBlock()),
                ("url", blocks.URLBlock()),
                ("yes", blocks.BooleanBlock()),
                ("static", blocks.StaticBlock()),
                ("hidden", blocks.CharBlock(search_index=False)),
                ("missing", blocks.CharBlock()),
            ]
        )
        value = {
            "char": "Char",
            "text": "Two\nlines",
            "rich": "<p>A &amp; B</p><ul><li>c</li><li>d</li></ul>",
            "html": "<script>x()</script><b>Raw</b>",
            "list": ["one", "two"],
            "stream": [{"type": "quote", "value": "Quote"}],
            "choice": "h",
            "date": "2026-05-03",
            "price": "12.50",
            "email": "a@example.org",
            "url": "https://example.org",
            "yes": True,
            "hidden": "Secret",
        }
        assert said(part, value).split("\n\n") == [
            "Char",
            "Two\nlines",
            "A & B",
            "c\nd",
            "Raw",
            "one\ntwo",
            "Quote",
            "3 May 2026",
            "12.50",
            "a@example.org",
        ]

    @isolate_apps("tests")
    def test_lines_that_follow_each_other(self) -> None:
        """The steps of a recipe stay together, and a list keeps its name."""

        class Recipe(models.Model):  # noqa: DJ008
            name = models.CharField(max_length=9)
            body = StreamField(
                [
                    ("ingredients", blocks.ListBlock(blocks.CharBlock())),
                    ("step", blocks.CharBlock()),
                    ("paragraph", blocks.TextBlock()),
                ]
            )

            class Meta:
                app_label = "tests"

        body = [
            ("ingredients", ["200 g sugar", "150 g nuts"]),
            ("step", "Melt the sugar."),
            ("step", "Stir in the nuts."),
            ("paragraph", "One."),
            ("paragraph", "Two."),
        ]
        assert texts_of(content_of(Recipe(name="Brittle", body=body))) == [
            "Ingredients:\n200 g sugar\n150 g nuts",
            "Melt the sugar.\nStir in the nuts.",
            "One.",
            "Two.",
        ]

    def test_tables(self) -> None:
        table = {"data": [["", "Adult"], ["Monday", "5"], [None, None]], "table_caption": "Prices"}
        assert said(TableBlock(), table) == "Prices\n\nMonday, Adult: 5"
        assert said(TableBlock(), None) == ""
        markup = TableBlock(table_options={"renderer": "html"})
        assert said(markup, {"data": [["<b>Bold</b> &amp; free", "x"]]}) == "Bold & free | x"
        typed = TypedTableBlock([("day", blocks.CharBlock()), ("price", blocks.DecimalBlock())])
        value = {
            "columns": [
                {"type": "day", "heading": "Day"},
                {"type": "price", "heading": "Price"},
            ],
            "rows": [{"values": ["Monday", 5]}, {"values": ["Sunday", None]}],
            "caption": "Fares",
        }
        assert said(typed, value) == "Fares\n\nDay: Monday, Price: 5\nDay: Sunday"
        assert said(typed, value, ("price",)) == "Fares\n\nDay: Monday\nDay: Sunday"

    def test_custom_get_searchable_content(self, make_page: Any) -> None:
        page = make_page("Prices", "x")
        rows = [
            {"item": item, "price": Decimal(price), "note": ""}
            for item, price in (("Adult", 5), ("Child", 0))
        ]
        page.body = [("prices", {"title": "Tickets", "rows": rows})]
        assert texts_of(content_of(page))[-1].splitlines() == [
            "Tickets: Adult, £5.",
            "Tickets: Child, free.",
        ]

    def test_broken_block_is_skipped(self, make_page: Any, monkeypatch: Any, caplog: Any) -> None:
        def broken(self: Any, value: Any) -> list[str]:
            raise KeyError("rows")

        monkeypatch.setattr("demo_site.blocks.PriceListBlock.get_searchable_content", broken)
        page = make_page("Prices", "Before.")
        page.body = [("prices", {"title": "Tickets", "rows": []}), ("heading", "After")]
        assert texts_of(content_of(page)) == ["Before.", "After"]
        assert "prices" in caplog.text


class TestMarkup:
    @pytest.mark.parametrize(
        ("html", "text"),
        [
            ("<h2>Head</h2><p>One<br/>two</p><p>A</p>", "Head\n\nOne\ntwo\n\nA"),
            ("<p>a <b>bold</b>ly  \n <i>x</i></p>", "a boldly x"),
            ("<ul><li>A</li><li><p>B</p><ul><li>C</li></ul></li></ul>D", "A\nB\nC\n\nD"),
            ("<p>1 &lt; 2 &amp; caf&eacute;&nbsp;&#x26F5;</p>", "1 < 2 & café ⛵"),
            (
                "<table><tr><td></td><td><p>A</p></td></tr><tr><th>B</th><td>1</td></tr></table>x",
                "B, A: 1\n\nx",
            ),
            ("a<!-- no <b> --><style>p{}</style><SCRIPT>1<2</SCRIPT>b", "ab"),
            ("<img alt='Boat > ship' src=x onerror='a>b'>c", "Boat > ship c"),
            ("5 < 6 and 7 > 3", "5 < 6 and 7 > 3"),
            ('<p title="oops>a</p><p>b', "a\n\nb"),
            ("<pre>a\n  b</pre><p>c\nd</p>", "a\nb\n\nc d"),
            ("plain &amp; simple", "plain & simple"),
            ("<p></p>", ""),
        ],
    )
    def test_localised_values(self, html: str, text: str) -> None:
        assert plain(html) == text

    def test_same_words_as_in_a_browser(self) -> None:
        """Compares all demo content with an HTML parser."""
        import tomllib
        from pathlib import Path

        from demo_site import content, markup

        checked = 0
        for file in Path(content.__file__).parent.glob("*.toml"):
            for text in _strings(tomllib.loads(file.read_text())):
                html = f"<div><p>{text}</p><ul><li>{text}</li></ul></div>"
                words = BeautifulSoup(html, "html.parser").get_text(" ").split()
                assert plain(html).split() == words
                checked += 1
        assert checked > 100
        assert markup


def _strings(value: Any) -> Any:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
