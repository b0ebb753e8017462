"""Which fields are indexed, and which fields with text are reported as left out."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest
from django.core.checks import run_checks
from django.db import models
from django.test.utils import isolate_apps
from modelcluster.fields import ParentalKey
from modelcluster.models import ClusterableModel
from wagtail import blocks
from wagtail.contrib.typed_table_block.blocks import TypedTableBlock
from wagtail.fields import RichTextField
from wagtail.models import Orderable, Page
from wagtail.search import index

from demo_site.models import ArticlePage, BoatPage, PersonPage, PolicyPage, StoryPage
from finetune_switch.index.content import content_of, relations_of
from finetune_switch.index.fields import missing_fields
from tests.helpers import manage
from tests.index_helpers import build, said, texts_of
from tests.pages import Admin

pytestmark = pytest.mark.django_db

HOURS = (
    'index.RelatedFields("opening_hours", [index.SearchField("day"), index.SearchField("opens"), '
    'index.SearchField("closed"), index.SearchField("note")]),'
)


def include(settings: Any, *fields: str) -> None:
    given = settings.FINETUNE_SWITCH
    settings.FINETUNE_SWITCH = {
        **given,
        "INDEX": {**given.get("INDEX", {}), "INCLUDE_FIELDS": list(fields)},
    }


def shop_models() -> tuple[Any, Any]:
    class Shop(index.Indexed, ClusterableModel):
        name = models.CharField(max_length=50)
        intro = RichTextField()
        slug = models.SlugField()
        homepage = models.URLField()
        layout = models.CharField(max_length=9, choices=[("w", "Wide")])
        price = models.DecimalField("price per day", max_digits=6, decimal_places=2)
        search_fields = (index.SearchField("name"),)

        class Meta:
            app_label = "tests"

    class Hours(Orderable):
        shop = ParentalKey(Shop, on_delete=models.CASCADE, related_name="opening_hours")
        day = models.IntegerField(choices=[(0, "Monday"), (6, "Sunday")])
        opens = models.TimeField(null=True)
        closed = models.BooleanField(default=False)
        note = models.TextField(blank=True)
        icon = models.CharField(max_length=9)
        style = models.CharField(max_length=1, choices=[("b", "Big")])

        class Meta(Orderable.Meta):
            app_label = "tests"

    class Mark(Orderable):
        shop = ParentalKey(Shop, on_delete=models.CASCADE, related_name="marks")
        colour = models.CharField(max_length=9)

        class Meta(Orderable.Meta):
            app_label = "tests"

    return Shop, Hours


def shop_with_hours() -> Any:
    shop_model, hours = shop_models()
    shop = shop_model(name="Bakery", intro="<p>Bread &amp; cake.</p>", price=Decimal("4.50"))
    shop.opening_hours = [
        hours(day=0, opens=datetime.time(9), icon="clock", style="b", sort_order=1),
        hours(day=6, closed=True, note="except\nin Advent", sort_order=2),
    ]
    return shop


class TestInlineRows:
    @isolate_apps("tests")
    def test_rows_have_labels(self, settings: Any) -> None:
        shop = shop_with_hours()
        assert texts_of(content_of(shop)) == []
        include(settings, "tests.Shop.opening_hours", "tests.shop.intro", "tests.Shop.price")
        assert texts_of(content_of(shop)) == [
            "Bread & cake.",
            "Price per day: 4.50",
            "Opening hours\n\nDay: Monday, Opens: 9 a.m.\n\nDay: Sunday, Closed\n\n"
            "except\nin Advent",
        ]

    @isolate_apps("tests")
    def test_declared_relation(self) -> None:
        shop = shop_with_hours()
        fields = [index.SearchField("day"), index.SearchField("opens")]
        type(shop).search_fields = [index.RelatedFields("opening_hours", fields)]
        assert texts_of(content_of(shop)) == [
            "Opening hours\n\nDay: Monday, Opens: 9 a.m.\nDay: Sunday"
        ]

    @isolate_apps("tests")
    def test_changes_of_included_rows_are_seen(self, settings: Any) -> None:
        shop_model, hours = shop_models()
        assert list(relations_of(shop_model)) == []
        include(settings, "tests.Shop.opening_hours")
        assert list(relations_of(shop_model)) == [("opening_hours", hours)]

    @isolate_apps("tests")
    def test_excluded_field_of_a_row(self, settings: Any) -> None:
        shop = shop_with_hours()
        include(settings, "tests.Shop.opening_hours")
        content = content_of(shop, excluded_fields=["tests.Hours.note", "tests.Hours.closed"])
        assert texts_of(content) == ["Opening hours\n\nDay: Monday, Opens: 9 a.m.\nDay: Sunday"]


class TestMissingFields:
    @isolate_apps("tests")
    def test_fields_and_relations_with_text(self, settings: Any) -> None:
        shop, _hours = shop_models()
        missing = missing_fields(shop)
        assert sorted((field.line, field.setting) for field in missing) == [
            (HOURS, "tests.Shop.opening_hours"),
            ('index.SearchField("intro"),', "tests.Shop.intro"),
        ]
        include(settings, "tests.Shop.opening_hours")
        assert [field.name for field in missing_fields(shop)] == ["intro"]
        include(settings)
        settings.FINETUNE_SWITCH = {
            "INDEX": {"EXCLUDE_FIELDS": ["tests.Shop.opening_hours", "tests.shop.intro"]}
        }
        assert missing_fields(shop) == []

    @isolate_apps("tests")
    def test_the_lines_work(self) -> None:
        shop = shop_with_hours()
        lines = " ".join(field.line for field in missing_fields(type(shop)))
        type(shop).search_fields = eval(f"[{lines}]", {"index": index})
        assert missing_fields(type(shop)) == []
        assert "Monday" in str(content_of(shop))
        assert "Bread" in str(content_of(shop))

    def test_fields_that_a_property_shows(self) -> None:
        for model in (BoatPage, PersonPage, PolicyPage, StoryPage):
            assert missing_fields(model) == []
        assert missing_fields(Page) == []

    @isolate_apps("tests")
    def test_field_of_a_method(self) -> None:
        shop, _hours = shop_models()
        shop.summary = lambda self: self.told
        shop.told = property(
            lambda self: [self.intro for _ in "x"] + [str(row) for row in self.opening_hours.all()]
        )
        shop.search_fields = [index.SearchField("summary")]
        assert missing_fields(shop) == []

    @isolate_apps("tests")
    def test_model_without_search_fields(self) -> None:
        class Ship(ClusterableModel):
            name = models.CharField(max_length=50)
            story = models.TextField()

            class Meta:
                app_label = "tests"

        class Voyage(models.Model):  # noqa: DJ008
            ship = ParentalKey(Ship, on_delete=models.CASCADE, related_name="voyages")
            place = models.CharField(max_length=50)

            class Meta:
                app_label = "tests"

        (missing,) = missing_fields(Ship)
        assert (missing.line, missing.setting) == ("", "tests.Ship.voyages")


class TestReports:
    @pytest.fixture(autouse=True)
    def _article_without_introduction(self, site: Any, make_page: Any, monkeypatch: Any) -> None:
        make_page("Tide mill", "Grinds.")
        fields = [*Page.search_fields, index.SearchField("body")]
        monkeypatch.setattr(ArticlePage, "search_fields", fields)
        monkeypatch.setattr(ArticlePage, "embedding_fields", [])

    def test_dry_run(self) -> None:
        out = manage("index", "--dry-run").out
        assert 'index.SearchField("introduction"),' in out
        assert '"demo_site.ArticlePage.introduction"' in out
        assert "INCLUDE_FIELDS" in out
        assert manage("index", "--dry-run", "--json").json["left_out"] == [
            {
                "model": "demo_site.ArticlePage",
                "field": "introduction",
                "line": 'index.SearchField("introduction"),',
                "setting": "demo_site.ArticlePage.introduction",
            }
        ]

    def test_doctor(self) -> None:
        assert 'index.SearchField("introduction"),' in manage("doctor").out

    def test_page_index(self, admin: Admin) -> None:
        build()
        assert 'index.SearchField("introduction"),' in admin.get("index:index").text

    def test_setting_ends_the_report(self, settings: Any, admin: Admin) -> None:
        include(settings, "demo_site.ArticlePage.introduction")
        for out in (manage("index", "--dry-run").out, manage("doctor").out):
            assert "introduction" not in out
        assert "introduction" not in admin.get("index:index").text


class TestChecks:
    @pytest.mark.parametrize(
        ("entry", "told"),
        [
            ("demo_site.ArticlePage.introduktion", "demo_site.ArticlePage.introduction"),
            ("demo_site.ArtikelPage.introduction", "demo_site.ArticlePage"),
            ("introduction", "app_label.ModelName.field"),
        ],
    )
    def test_unknown_field(self, settings: Any, entry: str, told: str) -> None:
        include(settings, entry)
        (error,) = [e for e in run_checks() if e.id == "finetune_switch.E011"]
        assert repr(entry) in error.msg
        assert told in (error.hint or "")

    def test_known_fields(self, settings: Any) -> None:
        include(settings, "demo_site.ArticlePage.introduction", "demo_site.introducedpage.body")
        assert [e for e in run_checks() if e.id.startswith("finetune_switch.E")] == []


class TestStyling:
    """Choices, colours, slugs, addresses, identifiers and switches are no text."""

    @pytest.mark.parametrize(
        ("name", "block", "value"),
        [
            ("size", blocks.ChoiceBlock(choices=[("s", "Small")]), "s"),
            ("tags", blocks.MultipleChoiceBlock(choices=[("s", "Small")]), ["s"]),
            ("group", blocks.ChoiceBlock(choices=[("G", [("s", "Small")])]), "s"),
            ("colour", blocks.CharBlock(), "red"),
            ("tint", blocks.CharBlock(), "#ff00AA"),
            ("tint", blocks.RegexBlock(regex=".*"), "rgb(1, 2, 3)"),
            ("slug", blocks.CharBlock(), "opening-hours"),
            ("css_class", blocks.CharBlock(), "wide"),
            ("target", blocks.CharBlock(), "https://example.org/a?b=c"),
            ("target", blocks.TextBlock(), "/about/us/"),
            ("link", blocks.URLBlock(), "https://example.org"),
            ("key", blocks.CharBlock(), "0b5c9a52-4c0f-4cf1-a9cf-6d9b0f5e7a11"),
            ("text_alignment", blocks.CharBlock(), "left"),
            ("wide", blocks.BooleanBlock(), True),
        ],
    )
    def test_no_text(self, name: str, block: Any, value: Any) -> None:
        part = blocks.StructBlock([(name, block), ("text", blocks.TextBlock())])
        assert said(part, {name: value, "text": "Bread."}) == "Bread."
        assert said(blocks.ListBlock(part), [{name: value, "text": "Bread."}]) == "Bread."

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("size", "Small"),
            ("colour", "Comes in red and blue"),
            ("code", "BK-1042"),
            ("text", "See https://example.org/a for more."),
            ("tag", "#1 bakery"),
        ],
    )
    def test_text(self, name: str, value: str) -> None:
        assert said(blocks.StructBlock([(name, blocks.CharBlock())]), {name: value}) == value

    def test_day_of_opening_hours(self) -> None:
        row = blocks.StructBlock(
            [
                ("day", blocks.ChoiceBlock(choices=[("mon", "Monday")])),
                ("opens", blocks.TimeBlock()),
                ("icon", blocks.ChoiceBlock(choices=[("c", "Clock")])),
            ]
        )
        value = [{"day": "mon", "opens": "09:00", "icon": "c"}]
        assert said(blocks.ListBlock(row), value) == "Day: Monday, Opens: 9 a.m."

    def test_choice_in_a_table(self) -> None:
        typed = TypedTableBlock([("size", blocks.ChoiceBlock(choices=[("s", "Small")]))])
        value = {
            "columns": [{"type": "size", "heading": "Size"}],
            "rows": [{"values": ["s"]}],
            "caption": "",
        }
        assert said(typed, value) == "Size: Small"
