"""Texts of pages, snippets and other objects."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, models
from django.test.utils import isolate_apps
from django.utils.safestring import mark_safe
from wagtail.fields import RichTextField
from wagtail.models import Page
from wagtail.search import index

from demo_site.models import ArticlePage, HomePage, PersonPage
from finetune_switch.index.content import Content, Section, content_of
from finetune_switch.index.markup import html_to_text
from tests.index_helpers import texts_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def set_search_fields(monkeypatch: Any) -> Callable[..., None]:
    """Function to give a model other ``search_fields``, which ``embedding_fields`` would hide."""

    def set_fields(model: type[models.Model], fields: list[index.BaseField]) -> None:
        monkeypatch.setattr(model, "embedding_fields", [])
        monkeypatch.setattr(model, "search_fields", fields)

    return set_fields


class TestPages:
    def test_title_and_search_fields(self, make_page: Any) -> None:
        content = content_of(make_page("Tide mill", "The mill grinds."))
        assert content.title == "Tide mill"
        # Introduction and body are equal here.
        assert texts_of(content) == ["The mill grinds."]

    def test_order_of_fields(self, site: Any) -> None:
        assert texts_of(content_of(site.root_page.specific)) == [
            "A harbour with boats.",
            "Strapline: Boats",
        ]

    def test_most_specific_type(self, make_page: Any) -> None:
        page = make_page("Tide mill", "The mill grinds.")
        assert content_of(Page.objects.get(pk=page.pk)) == content_of(page)

    def test_page_with_only_a_title(self, site: Any) -> None:
        bare = site.root_page.add_child(instance=Page(title="Only a title", slug="only"))
        assert content_of(bare) == Content("Only a title", ())

    def test_properties(self, site: Any) -> None:
        person = PersonPage(
            title="Ada", role="Rigger", introduction="Hello.", body="<p>Ropes.</p>", slug="ada"
        )
        site.root_page.add_child(instance=person)
        assert texts_of(content_of(person)) == ["Hello.", "Ropes.", "Ada: Rigger."]

    def test_autocomplete_and_filter_fields_are_ignored(
        self, make_page: Any, set_search_fields: Any
    ) -> None:
        fields = [index.AutocompleteField("introduction"), index.FilterField("slug")]
        set_search_fields(ArticlePage, fields)
        assert texts_of(content_of(make_page("Tide mill", "The mill grinds."))) == []

    def test_digest(self, make_page: Any) -> None:
        page = make_page("Tide mill", "The mill grinds.")
        digests = {content_of(page).digest}
        page.title = "Wind mill"
        digests.add(content_of(page).digest)
        page.introduction = "Flour."
        digests.add(content_of(page).digest)
        digests.add(content_of(page, block_anchor="b-{id}").digest)
        assert len(digests) == 4
        assert content_of(page).digest == content_of(page).digest

    def test_language_of_the_request_is_ignored(
        self, site: Any, monkeypatch: Any, set_search_fields: Any
    ) -> None:
        """The language is that of the page, not that of the editor."""
        import datetime

        from django.utils import translation
        from django.utils.formats import date_format

        monkeypatch.setattr(
            HomePage, "opened", lambda self: date_format(datetime.date(1901, 5, 3)), raising=False
        )
        set_search_fields(HomePage, [index.SearchField("opened")])
        home = site.root_page.specific
        with translation.override("fr"):
            assert texts_of(content_of(home)) == ["3 May 1901"]


class TestFields:
    def test_broken_field_is_skipped(
        self, make_page: Any, monkeypatch: Any, set_search_fields: Any, caplog: Any
    ) -> None:
        def broken(self: Any) -> str:
            raise RuntimeError("no tide table")

        monkeypatch.setattr(ArticlePage, "tides", broken, raising=False)
        set_search_fields(ArticlePage, [index.SearchField("tides"), *ArticlePage.search_fields])
        page = make_page("Tide mill", "The mill grinds.")
        assert texts_of(content_of(page)) == ["The mill grinds."]
        assert "tides" in caplog.text
        assert str(page.pk) in caplog.text

    def test_database_errors_are_raised(
        self, make_page: Any, monkeypatch: Any, set_search_fields: Any
    ) -> None:
        def gone(self: Any) -> str:
            raise OperationalError("server closed the connection")

        monkeypatch.setattr(ArticlePage, "tides", gone, raising=False)
        set_search_fields(ArticlePage, [index.SearchField("tides")])
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
    def test_values_of_methods(
        self, make_page: Any, monkeypatch: Any, set_search_fields: Any, value: Any, text: str | None
    ) -> None:
        monkeypatch.setattr(ArticlePage, "extra", lambda self: value, raising=False)
        set_search_fields(ArticlePage, [index.SearchField("extra")])
        assert texts_of(content_of(make_page("T", "x"))) == ([] if text is None else [text])

    def test_megabyte(self, make_page: Any) -> None:
        page = make_page("Long", "x")
        page.introduction = "rope " * 200_000
        page.body = [("paragraph", "<p>sail</p>" * 100_000)]
        introduction, body = texts_of(content_of(page))
        assert introduction.count("rope") == 200_000
        assert body.count("\n\n") == 99_999

    def test_unclosed_markup(self) -> None:
        """Each of these took minutes with html.parser."""
        started = time.monotonic()
        for part in ("<a ", "<!--", '<a href="', "<![CDATA[", "<"):
            assert html_to_text("before " + part * 100_000).startswith("before")
        assert time.monotonic() - started < 20


class TestLabels:
    """A value such as a price says nothing without its label."""

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ("£5.60", "Extra: £5.60"),
            ("Quarry Lane 14\nAldersea AL1 4QT", "Extra: Quarry Lane 14, Aldersea AL1 4QT"),
            ("Quarry Lane 14,\n\nAldersea", "Extra: Quarry Lane 14, Aldersea"),
            ("hello@example.org", "Extra: hello@example.org"),
            ("Head of ropes", "Extra: Head of ropes"),
            ("Open all day.", "Open all day."),
            ("Everything about ropes and knots", "Everything about ropes and knots"),
            ("In 1908 " + "she sailed " * 20, ("In 1908 " + "she sailed " * 20).strip()),
        ],
    )
    @isolate_apps("tests")
    def test_short_values(self, value: str, text: str) -> None:
        class Boat(index.Indexed, models.Model):  # noqa: DJ008
            name = models.CharField(max_length=50)
            extra = models.TextField()
            search_fields = (index.SearchField("extra"),)

            class Meta:
                app_label = "tests"

        assert texts_of(content_of(Boat(name="Wren", extra=value))) == [text]


class TestOtherModels:
    @isolate_apps("tests")
    def test_model_without_search_fields(self) -> None:
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
        assert texts_of(content) == ["Twice a month.", "Level: High water", "Moon"]
        assert texts_of(content_of(tide, excluded_fields=["TESTS.tide.note"])) == [
            "Level: High water",
            "Moon",
        ]

    @isolate_apps("tests")
    def test_object_without_name_field(self) -> None:
        class Buoy(index.Indexed, models.Model):
            number = models.IntegerField()
            search_fields = (index.SearchField("number"),)

            class Meta:
                app_label = "tests"

            def __str__(self) -> str:
                return f"Buoy {self.number}"

        assert content_of(Buoy(number=7)) == Content("Buoy 7", (Section("Number: 7"),))

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
        assert texts_of(content_of(boat)) == ["Craster\nSmall."]
        for left_out in ("tests.Boat.harbour.story", "tests.Harbour.story"):
            assert texts_of(content_of(boat, excluded_fields=[left_out])) == ["Harbour: Craster"]
        assert texts_of(content_of(boat, excluded_fields=["tests.boat.harbour"])) == []
        assert texts_of(content_of(Boat(name="Adrift"))) == []

    def test_tags_of_an_image(self, image: Any) -> None:
        photo = image("Mary Ann")
        photo.tags.add("coble", "1908")
        content = content_of(photo)
        assert content.title == "Mary Ann"
        assert texts_of(content) in (["Tags: 1908, coble"], ["Tags: coble, 1908"])


class TestExcludedFields:
    def test_excluded_fields_and_blocks(self, make_page: Any) -> None:
        page = make_page("Mill", "Grinds.")
        page.body = [
            ("quote", {"text": "Flour!", "attribution": "A miller"}),
            ("faq", {"question": "When?", "answer": "<p>Daily.</p>"}),
        ]

        def read(*excluded: str) -> list[str]:
            return texts_of(content_of(page, excluded_fields=excluded))

        assert read() == ["Grinds.", "Flour!\nA miller", "When?\nDaily."]
        assert read("demo_site.ArticlePage.introduction")[0] == "Flour!\nA miller"
        assert read("Demo_Site.introducedpage.introduction")[0] == "Flour!\nA miller"
        assert read("demo_site.HomePage.introduction")[0] == "Grinds."
        assert read("demo_site.ArticlePage.body") == ["Grinds."]
        assert read("demo_site.ArticlePage.body.faq") == ["Grinds.", "Flour!\nA miller"]
        assert read(
            "demo_site.ArticlePage.body.attribution", "demo_site.ArticlePage.body.answer"
        ) == ["Grinds.", "Flour!", "When?"]

    def test_excluded_blocks_in_custom_searchable_content(self, make_page: Any) -> None:
        page = make_page("Ask", "Us.")
        page.body = [
            (
                "contact",
                {"name": "Ada", "role": "Rigger", "phone": "01665 5", "email": "", "address": ""},
            )
        ]
        assert "telephone 01665 5" in texts_of(content_of(page))[1]
        left = content_of(page, excluded_fields=["demo_site.ArticlePage.body.phone"])
        assert texts_of(left)[1] == "Ada\nRigger"
