"""SourceAccess looks up each source once."""

from __future__ import annotations

import pytest
from wagtail.models import Page, PageViewRestriction

from finetune_switch.access import Asker
from finetune_switch.access.source_access import SourceAccess
from finetune_switch.passages import Hit, Source

pytestmark = pytest.mark.django_db


def source_of(page: Page, model: str = "wagtailcore.page") -> Source:
    return Source(page.title, "", model, str(page.pk))


@pytest.fixture
def pages(make_page):
    opened, closed = make_page("Tides", "High water."), make_page("Rota", "For the crew.")
    PageViewRestriction.objects.create(page=closed, restriction_type=PageViewRestriction.LOGIN)
    return opened, closed


def test_all_sources_have_to_be_open(pages, site):
    opened, closed = map(source_of, pages)
    access = SourceAccess(Asker.anonymous())
    assert access.are_open([opened], site)
    assert not access.are_open([opened, closed], site)
    assert SourceAccess(Asker(is_authenticated=True)).are_open([opened, closed], site)
    assert access.are_open([], site)


def test_each_source_is_looked_up_once(pages, site, django_assert_num_queries):
    sources = [source_of(page) for page in pages]
    access = SourceAccess(Asker.anonymous())
    access.look_up(sources, site)
    with django_assert_num_queries(0):
        assert [access.get(source, site) is not None for source in sources] == [True, False]


def test_a_page_under_two_model_names(pages, site):
    opened = pages[0]
    hit = Hit("", 0.0, opened._meta.label_lower, str(opened.pk))
    access = SourceAccess(Asker.anonymous())
    access.look_up([source_of(opened), hit], site)
    assert access.get(hit, site) == access.get(source_of(opened), site) == opened.page_ptr


def test_locales(pages, site):
    source = source_of(pages[0])
    assert SourceAccess(Asker.anonymous(), locale_ids=[0]).get(source, site) is None
    assert SourceAccess(Asker.anonymous()).get(source, None) is not None


def test_deleted_pages_and_unknown_models_are_closed(pages, site):
    source = source_of(pages[0])
    pages[0].delete()
    access = SourceAccess(Asker.anonymous())
    assert access.get(source, site) is None
    assert access.get(Source("", "", "gone.model", "1"), site) is None
