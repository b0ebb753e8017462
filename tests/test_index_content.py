"""What the index reads of pages, snippets and other objects."""

from __future__ import annotations

import json
import uuid
from decimal import Decimal
from typing import Any

import pytest
from bs4 import BeautifulSoup
from django.db import OperationalError, models, transaction
from django.test.utils import CaptureQueriesContext, isolate_apps
from django.utils.safestring import mark_safe
from wagtail import blocks
from wagtail.blocks import RichTextBlock
from wagtail.contrib.table_block.blocks import TableBlock
from wagtail.contrib.typed_table_block.blocks import TypedTableBlock
from wagtail.documents.blocks import DocumentChooserBlock
from wagtail.documents.models import Document
from wagtail.fields import RichTextField, StreamField
from wagtail.images.blocks import ImageBlock, ImageChooserBlock
from wagtail.images.models import Image
from wagtail.models import Collection, Page, PageViewRestriction, ReferenceIndex
from wagtail.search import index

from demo_site.models import ArticlePage, HomePage, PersonPage
from finetune_switch.index.blocks import block_text
from finetune_switch.index.content import Content, Section, content_of, objects_that_use
from finetune_switch.index.markup import html_to_text, tidy
from finetune_switch.index.mentions import fill_in


def texts(content: Content) -> list[str]:
    return [section.text for section in content.sections]


def said(block: blocks.Block, value: Any, left_out: tuple[str, ...] = ()) -> str:
    """What is read of a block's value, as it comes out of the database."""
    return tidy(fill_in([block_text(block, block.to_python(value), left_out)])[0])


def plain(html: str) -> str:
    return tidy(html_to_text(html))


@pytest.fixture
def collections(site: Any) -> None:
    if Collection.get_first_root_node() is None:
        Collection.add_root(name="Root")


@pytest.fixture
def image(collections: None) -> Any:
    def make(title: str) -> Image:
        # Without a file on disk, which nothing here opens.
        image = Image(title=title, file="x.png", width=1, height=1)
        Image.objects.bulk_create([image])
        return Image.objects.get(title=title)

    return make


@pytest.fixture
def document(collections: None) -> Any:
    def make(title: str) -> Document:
        Document.objects.bulk_create([Document(title=title, file="x.pdf")])
        return Document.objects.get(title=title)

    return make


class TestPages:
    def test_title_and_every_search_field_once(self, make_page: Any) -> None:
        content = content_of(make_page("Tide mill", "The mill grinds."))
        assert content.title == "Tide mill"
        # Introduction and body say the same here: a visitor should read it once.
        assert texts(content) == ["The mill grinds."]

    def test_fields_in_the_order_they_are_declared(self, site: Any) -> None:
        assert texts(content_of(site.root_page.specific)) == ["A harbour with boats.", "Boats"]

    def test_the_most_specific_type_is_read(self, make_page: Any) -> None:
        page = make_page("Tide mill", "The mill grinds.")
        assert content_of(Page.objects.get(pk=page.pk)) == content_of(page)

    def test_a_page_that_says_nothing_else_has_its_title(self, site: Any) -> None:
        bare = site.root_page.add_child(instance=Page(title="Only a title", slug="only"))
        assert content_of(bare) == Content("Only a title", ())

    def test_properties_are_read(self, site: Any) -> None:
        person = PersonPage(
            title="Ada", role="Rigger", introduction="Hello.", body="<p>Ropes.</p>", slug="ada"
        )
        site.root_page.add_child(instance=person)
        assert texts(content_of(person)) == ["Hello.", "Ropes.", "Ada: Rigger."]

    def test_autocomplete_and_filter_fields_are_no_text(
        self, make_page: Any, monkeypatch: Any
    ) -> None:
        fields = [index.AutocompleteField("introduction"), index.FilterField("slug")]
        monkeypatch.setattr(ArticlePage, "search_fields", fields)
        assert texts(content_of(make_page("Tide mill", "The mill grinds."))) == []

    def test_the_digest_changes_with_anything(self, make_page: Any) -> None:
        page = make_page("Tide mill", "The mill grinds.")
        digests = {content_of(page).digest}
        page.title = "Wind mill"
        digests.add(content_of(page).digest)
        page.introduction = "Flour."
        digests.add(content_of(page).digest)
        digests.add(content_of(page, block_anchor="b-{id}").digest)
        assert len(digests) == 4
        assert content_of(page).digest == content_of(page).digest

    def test_text_does_not_depend_on_who_asks(self, site: Any, monkeypatch: Any) -> None:
        """An editor who works in French publishes: the words stay those of the page's locale."""
        import datetime

        from django.utils import translation
        from django.utils.formats import date_format

        monkeypatch.setattr(
            HomePage, "opened", lambda self: date_format(datetime.date(1901, 5, 3)), raising=False
        )
        monkeypatch.setattr(HomePage, "search_fields", [index.SearchField("opened")])
        home = site.root_page.specific
        with translation.override("fr"):
            assert texts(content_of(home)) == ["3 May 1901"]


class TestFields:
    def test_a_field_that_cannot_be_read_is_left_out(
        self, make_page: Any, monkeypatch: Any, caplog: Any
    ) -> None:
        def broken(self: Any) -> str:
            raise RuntimeError("no tide table")

        monkeypatch.setattr(ArticlePage, "tides", broken, raising=False)
        monkeypatch.setattr(
            ArticlePage, "search_fields", [index.SearchField("tides"), *ArticlePage.search_fields]
        )
        page = make_page("Tide mill", "The mill grinds.")
        assert texts(content_of(page)) == ["The mill grinds."]
        assert "tides" in caplog.text
        assert str(page.pk) in caplog.text

    def test_a_page_does_not_lose_its_text_because_the_database_restarts(
        self, make_page: Any, monkeypatch: Any
    ) -> None:
        def gone(self: Any) -> str:
            raise OperationalError("server closed the connection")

        monkeypatch.setattr(ArticlePage, "tides", gone, raising=False)
        monkeypatch.setattr(ArticlePage, "search_fields", [index.SearchField("tides")])
        page = make_page("Tide mill", "The mill grinds.")
        with pytest.raises(OperationalError):
            content_of(page)

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (None, None),
            ("", None),
            (True, None),
            (1234.5, "1234.5"),
            (mark_safe("<p>One</p><p>Two &amp; three</p>"), "One\n\nTwo & three"),
            ("5 < 6 <b>", "5 < 6 <b>"),
            (["a", None, "b"], "a\nb"),
            ({"x": "a"}, "a"),
            (b"\x00", None),
            (object(), None),
            ("har\x00bour\u0007 \u00a0 wall\r\n\r\n\r\n\r\nsea\ud800", "harbour wall\n\nsea"),
            ("⛵️ 👩‍👩‍👧‍👦", "⛵️ 👩‍👩‍👧‍👦"),
            ("مرحبا\u200f بالعالم", "مرحبا\u200f بالعالم"),
        ],
    )
    def test_what_a_method_may_give(
        self, make_page: Any, monkeypatch: Any, value: Any, text: str | None
    ) -> None:
        monkeypatch.setattr(ArticlePage, "extra", lambda self: value, raising=False)
        monkeypatch.setattr(ArticlePage, "search_fields", [index.SearchField("extra")])
        assert texts(content_of(make_page("T", "x"))) == ([] if text is None else [text])

    def test_a_megabyte(self, make_page: Any) -> None:
        page = make_page("Long", "x")
        page.introduction = "rope " * 200_000
        page.body = [("paragraph", "<p>sail</p>" * 100_000)]
        introduction, body = texts(content_of(page))
        assert introduction.count("rope") == 200_000
        assert body.count("\n\n") == 99_999

    def test_markup_that_never_ends(self) -> None:
        """Each of these once took minutes in an HTML parser of the standard library."""
        for part in ("<a ", "<!--", '<a href="', "<![CDATA[", "<"):
            html_to_text("before " + part * 100_000)


class TestOtherModels:
    @isolate_apps("tests")
    def test_a_model_without_search_fields(self) -> None:
        class Tide(models.Model):  # noqa: DJ008
            slug = models.SlugField()
            name = models.CharField(max_length=50)
            note = models.TextField()
            height = models.IntegerField()
            level = models.CharField(max_length=1, choices=[("h", "High water")])
            password = models.CharField(max_length=9)
            secret = models.TextField(editable=False)
            story = RichTextField()

            class Meta:
                app_label = "tests"

        tide = Tide(
            slug="spring",
            name="Spring tide",
            note="Twice a month.",
            height=4,
            level="h",
            password="hunter2",
            secret="x",
            story="<p>Moon</p>",
        )
        content = content_of(tide)
        assert content.title == "Spring tide"
        assert texts(content) == ["Twice a month.", "High water", "Moon"]
        assert texts(content_of(tide, excluded_fields=["TESTS.tide.note"])) == [
            "High water",
            "Moon",
        ]

    @isolate_apps("tests")
    def test_an_object_whose_name_is_no_field(self) -> None:
        class Buoy(index.Indexed, models.Model):
            number = models.IntegerField()
            search_fields = (index.SearchField("number"),)

            class Meta:
                app_label = "tests"

            def __str__(self) -> str:
                return f"Buoy {self.number}"

        assert content_of(Buoy(number=7)) == Content("Buoy 7", (Section("7"),))

    @isolate_apps("tests")
    def test_related_objects(self) -> None:
        class Harbour(models.Model):  # noqa: DJ008
            name = models.CharField(max_length=50)
            story = RichTextField()
            code = models.CharField(max_length=5)

            class Meta:
                app_label = "tests"

        class Boat(index.Indexed, models.Model):  # noqa: DJ008
            name = models.CharField(max_length=50)
            harbour = models.ForeignKey(Harbour, models.CASCADE, null=True)
            search_fields = (
                index.SearchField("harbour"),
                index.RelatedFields(
                    "harbour",
                    [
                        index.SearchField("name"),
                        index.FilterField("code"),
                        index.SearchField("story"),
                    ],
                ),
            )

            class Meta:
                app_label = "tests"

        boat = Boat(name="Coble", harbour=Harbour(pk=12, name="Craster", story="<p>Small.</p>"))
        assert texts(content_of(boat)) == ["Craster\nSmall."]
        for left_out in ("tests.Boat.harbour.story", "tests.Harbour.story"):
            assert texts(content_of(boat, excluded_fields=[left_out])) == ["Craster"]
        assert texts(content_of(boat, excluded_fields=["tests.boat.harbour"])) == []
        assert texts(content_of(Boat(name="Adrift"))) == []

    def test_tags_of_an_image(self, image: Any) -> None:
        photo = image("Mary Ann")
        photo.tags.add("coble", "1908")
        content = content_of(photo)
        assert content.title == "Mary Ann"
        assert sorted(texts(content)) == ["1908", "coble"]


class TestLeftOut:
    def test_fields_also_by_their_base_class_and_blocks_at_any_depth(self, make_page: Any) -> None:
        page = make_page("Mill", "Grinds.")
        page.body = [
            ("quote", {"text": "Flour!", "attribution": "A miller"}),
            ("faq", {"question": "When?", "answer": "<p>Daily.</p>"}),
        ]

        def read(*excluded: str) -> list[str]:
            return texts(content_of(page, excluded_fields=excluded))

        assert read() == ["Grinds.", "Flour!\nA miller", "When?\nDaily."]
        assert read("demo_site.ArticlePage.introduction")[0] == "Flour!\nA miller"
        assert read("Demo_Site.introducedpage.introduction")[0] == "Flour!\nA miller"
        assert read("demo_site.HomePage.introduction")[0] == "Grinds."
        assert read("demo_site.ArticlePage.body") == ["Grinds."]
        assert read("demo_site.ArticlePage.body.faq") == ["Grinds.", "Flour!\nA miller"]
        assert read(
            "demo_site.ArticlePage.body.attribution", "demo_site.ArticlePage.body.answer"
        ) == ["Grinds.", "Flour!", "When?"]

    def test_a_block_that_speaks_for_itself_does_not_say_what_is_left_out(
        self, make_page: Any
    ) -> None:
        page = make_page("Ask", "Us.")
        page.body = [
            (
                "contact",
                {"name": "Ada", "role": "Rigger", "phone": "01665 5", "email": "", "address": ""},
            )
        ]
        assert "telephone 01665 5" in texts(content_of(page))[1]
        left = content_of(page, excluded_fields=["demo_site.ArticlePage.body.phone"])
        assert texts(left)[1] == "Ada\nRigger"


class TestAnchors:
    def test_one_section_for_each_block(self, make_page: Any) -> None:
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
    def test_a_block_that_knows_its_anchor(self, name: str) -> None:
        part = blocks.StructBlock([(name, blocks.CharBlock()), ("text", blocks.TextBlock())])

        class Leaflet(models.Model):  # noqa: DJ008
            name = models.CharField(max_length=9)
            body = StreamField([("part", part)])

            class Meta:
                app_label = "tests"

        leaflet = Leaflet(name="L", body=[("part", {name: "#tides", "text": "High at noon."})])
        assert content_of(leaflet).sections == (Section("High at noon.", "tides"),)
        # A template that writes ids from a format does so for every block.
        leaflet.body[0].id = "7"
        assert content_of(leaflet, block_anchor="b{id}").sections[0].anchor == "b7"
        leaflet.body[0].value[name] = "An anchor weighs two tons"
        assert content_of(leaflet).sections == (
            Section("An anchor weighs two tons\nHigh at noon.", ""),
        )


class TestBlocks:
    def test_kinds_of_wagtail(self) -> None:
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
            "High water",
            "3 May 2026",
            "12.50",
            "a@example.org",
        ]

    def test_tables(self) -> None:
        table = {"data": [["", "Adult"], ["Monday", "5"], [None, None]], "table_caption": "Prices"}
        assert said(TableBlock(), table) == "Prices\n| Adult\nMonday | 5"
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
        assert said(typed, value) == "Fares\nDay | Price\nMonday | 5\nSunday |"
        assert said(typed, value, ("price",)) == "Fares\nDay\nMonday\nSunday"

    def test_what_a_projects_own_block_says_of_itself(self, make_page: Any) -> None:
        page = make_page("Prices", "x")
        rows = [
            {"item": item, "price": Decimal(price), "note": ""}
            for item, price in (("Adult", 5), ("Child", 0))
        ]
        page.body = [("prices", {"title": "Tickets", "rows": rows})]
        assert texts(content_of(page))[-1].splitlines() == [
            "Tickets: Adult, £5.",
            "Tickets: Child, free.",
        ]

    def test_a_broken_block_costs_only_itself(
        self, make_page: Any, monkeypatch: Any, caplog: Any
    ) -> None:
        def broken(self: Any, value: Any) -> list[str]:
            raise KeyError("rows")

        monkeypatch.setattr("demo_site.blocks.PriceListBlock.get_searchable_content", broken)
        page = make_page("Prices", "x")
        page.body = [("prices", {"title": "Tickets", "rows": []}), ("heading", "After")]
        assert texts(content_of(page)) == ["x", "After"]
        assert "prices" in caplog.text


class TestImagesAndDocuments:
    def test_choosers(self, image: Any, document: Any) -> None:
        photo, paper = image("Mary Ann in 1908"), document("Tide tables")
        assert said(ImageChooserBlock(), photo.pk) == "Mary Ann in 1908"
        assert said(DocumentChooserBlock(), paper.pk) == "Tide tables"
        value = {"image": photo.pk, "decorative": False, "alt_text": "A coble at dawn"}
        assert said(ImageBlock(), value) == "A coble at dawn"
        assert said(ImageBlock(), {**value, "alt_text": ""}) == "Mary Ann in 1908"
        assert said(ImageBlock(), {**value, "decorative": True}) == ""
        assert said(ImageBlock(), {**value, "image": 4711}) == ""

    def test_in_rich_text(self, image: Any, document: Any) -> None:
        photo, paper = image("Mary Ann"), document("Tide tables")
        html = (
            f'<p>Look:</p><embed alt="" embedtype="image" format="left" id="{photo.pk}"/>'
            f'<embed embedtype="image" alt="A &quot;coble&quot;" id="{photo.pk}"/>'
            f'<p>See <a linktype="document" id="{paper.pk}">the sheet</a>, or '
            f'<a linktype="document" id="{paper.pk}">our tide tables</a>. <a id="x">End</a></p>'
            '<embed alt="" embedtype="image" id="4711"/><embed alt="" embedtype="image" id="?"/>'
        )
        assert said(RichTextBlock(), html).split("\n\n") == [
            "Look:",
            "Mary Ann",
            'A "coble"',
            "See the sheet (Tide tables), or our tide tables. End",
        ]

    def test_a_page_with_only_images(self, make_page: Any, image: Any) -> None:
        photo = image("Mary Ann")
        page = make_page("Gallery", "x")
        page.introduction = ""
        page.body = [("paragraph", f'<embed alt="" embedtype="image" id="{photo.pk}"/>')]
        assert content_of(page) == Content("Gallery", (Section("Mary Ann"),))
        page.body = [("paragraph", '<embed alt="" embedtype="image" id="4711"/>')]
        assert content_of(page) == Content("Gallery", ())

    def test_many_images_take_few_queries(self, make_page: Any, image: Any) -> None:
        from django.db import connection

        photos = [image(f"Photo {number}") for number in range(20)]
        page = make_page("Gallery", "x")
        page.body = [
            ("paragraph", f'<embed alt="" embedtype="image" id="{photo.pk}"/>') for photo in photos
        ]
        for photo in photos:
            photo.contextual_alt_text, photo.decorative = "", False
            page.body.append(("picture", {"image": photo, "caption": ""}))
        page.save()
        page = ArticlePage.objects.get(pk=page.pk)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            content = content_of(page)
        assert texts(content)[1:] == [photo.title for photo in photos] * 2
        assert len(queries) == 2

    def test_nothing_in_a_text_can_ask_for_a_title(self, make_page: Any, image: Any) -> None:
        photo = image("Private title")
        page = make_page("T", f"\ufdd0image:{photo.pk}\ufdd1 &#xFDD0;image:{photo.pk}&#xFDD1;")
        assert "Private title" not in str(content_of(page))


class TestLinkedPages:
    def card(self, home: Any, page: Any) -> list[str]:
        home = home.specific
        home.body = [("cards", [{"page": page, "title": "", "text": "Go."}])]
        home.save()
        return texts(content_of(HomePage.objects.get(pk=home.pk)))

    def test_the_title_of_a_page_that_is_linked(self, site: Any, make_page: Any) -> None:
        page = make_page("Tide mill", "Grinds.")
        assert self.card(site.root_page, page)[-1] == "Tide mill\nGo."

    def test_not_that_of_a_draft_or_of_a_private_page(self, site: Any, make_page: Any) -> None:
        """The passage goes to every visitor, who must not learn what a private page is called."""
        parent = make_page("Members", "x")
        page = make_page("Plans to sell the mill", "x", parent=parent)
        PageViewRestriction.objects.create(page=parent, restriction_type="login")
        assert self.card(site.root_page, page)[-1] == "Go."
        PageViewRestriction.objects.all().delete()
        assert self.card(site.root_page, page)[-1] == "Plans to sell the mill\nGo."
        page.live = False
        page.save()
        assert self.card(site.root_page, page)[-1] == "Go."


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
                "| A\nB | 1\n\nx",
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
    def test_as_people_read_it(self, html: str, text: str) -> None:
        assert plain(html) == text

    def test_the_same_words_as_a_browser_would_show(self) -> None:
        """Against a parser: everything that the demo's editors have written."""
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


class TestObjectsThatUse:
    def test_pages_that_show_an_image(self, make_page: Any, image: Any) -> None:
        photo, other = image("Mary Ann"), image("Other")
        page = make_page("Gallery", "x")
        page.body = [("paragraph", f'<embed alt="" embedtype="image" id="{photo.pk}"/>')]
        page.save()
        with transaction.atomic():
            ReferenceIndex.create_or_update_for_object(page)
        assert list(objects_that_use("wagtailimages.image", photo.pk)) == [
            ("demo_site.articlepage", str(page.pk))
        ]
        assert list(objects_that_use("wagtailimages.Image", str(other.pk))) == []

    def test_pages_that_link_to_a_page(self, site: Any, make_page: Any) -> None:
        page, home = make_page("Mill", "x"), site.root_page.specific
        home.body = [("cards", [{"page": page, "title": "", "text": "Go."}])]
        home.save()
        with transaction.atomic():
            ReferenceIndex.create_or_update_for_object(home)
        assert list(objects_that_use("demo_site.articlepage", page.pk)) == [
            ("demo_site.homepage", str(home.pk))
        ]

    def test_relations_that_wagtail_does_not_follow(self, image: Any) -> None:
        photo = image("Mary Ann")
        photo.tags.add("coble")
        tag = photo.tags.get()
        assert list(objects_that_use("taggit.tag", tag.pk)) == [
            ("wagtailimages.image", str(photo.pk))
        ]
