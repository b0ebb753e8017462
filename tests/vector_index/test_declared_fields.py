"""What a model declares for wagtail-vector-index is what its index in our storage holds."""

from __future__ import annotations

import pytest
from wagtail.models import Page
from wagtail.search import index
from wagtail_vector_index.storage.models import EmbeddingField

from demo_site.models import ArticlePage
from finetune_switch.index.fields import missing_fields
from finetune_switch.models import Chunk
from tests.index_helpers import build

pytestmark = pytest.mark.django_db

TITLE = EmbeddingField("title", important=True)


def text_of(page):
    chunks = Chunk.objects.filter(document__object_id=str(page.pk)).order_by("position")
    return "\n".join(chunks.values_list("text", flat=True))


@pytest.fixture
def page(make_page):
    page = make_page("Lamp", "The lamp was lit in 1871.")
    page.body = [("paragraph", "<p>Its keeper was Ada Pender.</p>")]
    page.save_revision().publish()
    return page


def test_a_declared_field_that_is_not_searched(page, monkeypatch):
    monkeypatch.setattr(ArticlePage, "search_fields", Page.search_fields)
    monkeypatch.setattr(ArticlePage, "embedding_fields", [TITLE, EmbeddingField("body")])
    build()
    assert "Ada Pender" in text_of(page)
    assert "1871" not in text_of(page)


def test_a_searched_field_that_is_not_declared(page, monkeypatch):
    fields = [*Page.search_fields, index.SearchField("introduction"), index.SearchField("body")]
    monkeypatch.setattr(ArticlePage, "search_fields", fields)
    monkeypatch.setattr(ArticlePage, "embedding_fields", [TITLE, EmbeddingField("introduction")])
    build()
    assert "1871" in text_of(page)
    assert "Ada Pender" not in text_of(page)


def test_without_a_declaration_the_search_fields_count(page, monkeypatch):
    monkeypatch.setattr(ArticlePage, "embedding_fields", [])
    build()
    assert "1871" in text_of(page)
    assert "Ada Pender" in text_of(page)


def test_a_missing_field_is_named_as_it_is_declared(monkeypatch):
    monkeypatch.setattr(ArticlePage, "embedding_fields", [TITLE, EmbeddingField("introduction")])
    assert [one.line for one in missing_fields(ArticlePage)] == ['EmbeddingField("body"),']
