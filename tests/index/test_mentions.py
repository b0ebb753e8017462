"""Titles of images, documents and pages in texts."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from django.test.utils import CaptureQueriesContext
from wagtail.blocks import RichTextBlock
from wagtail.documents.blocks import DocumentChooserBlock
from wagtail.images.blocks import ImageBlock, ImageChooserBlock
from wagtail.models import PageViewRestriction, ReferenceIndex

from demo_site.models import ArticlePage, HomePage
from finetune_switch.index.content import Content, Section, content_of, objects_that_use
from tests.index_helpers import said, texts_of

pytestmark = pytest.mark.django_db


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

    def test_rich_text(self, image: Any, document: Any) -> None:
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

    def test_page_with_only_images(self, make_page: Any, image: Any) -> None:
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
        assert texts_of(content)[1:] == [photo.title for photo in photos] * 2
        assert len(queries) == 2

    def test_texts_cannot_inject_markers(self, make_page: Any, image: Any) -> None:
        photo = image("Private title")
        page = make_page("T", f"\ufdd0image:{photo.pk}\ufdd1 &#xFDD0;image:{photo.pk}&#xFDD1;")
        assert "Private title" not in str(content_of(page))


class TestLinkedPages:
    def card(self, home: Any, page: Any) -> list[str]:
        home = home.specific
        home.body = [("cards", [{"page": page, "title": "", "text": "Go."}])]
        home.save()
        return texts_of(content_of(HomePage.objects.get(pk=home.pk)))

    def test_title_of_a_chosen_page(self, site: Any, make_page: Any) -> None:
        page = make_page("Tide mill", "Grinds.")
        assert self.card(site.root_page, page)[-1] == "Tide mill\nGo."

    def test_titles_of_drafts_and_private_pages_are_hidden(self, site: Any, make_page: Any) -> None:
        """Every visitor may see the passage, but not the titles of private pages."""
        parent = make_page("Members", "x")
        page = make_page("Plans to sell the mill", "x", parent=parent)
        PageViewRestriction.objects.create(page=parent, restriction_type="login")
        assert self.card(site.root_page, page)[-1] == "Go."
        PageViewRestriction.objects.all().delete()
        assert self.card(site.root_page, page)[-1] == "Plans to sell the mill\nGo."
        page.live = False
        page.save()
        assert self.card(site.root_page, page)[-1] == "Go."


class TestObjectsThatUse:
    def test_pages_with_an_image(self, make_page: Any, image: Any) -> None:
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

    def test_relations_in_search_fields(self, image: Any) -> None:
        photo = image("Mary Ann")
        photo.tags.add("coble")
        tag = photo.tags.get()
        assert list(objects_that_use("taggit.tag", tag.pk)) == [
            ("wagtailimages.image", str(photo.pk))
        ]
