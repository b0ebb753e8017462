"""Search without an answer, and similar pages."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.template import Context, Template
from django.test import RequestFactory
from wagtail.models import Page, PageViewRestriction

from finetune_switch.access import Asker
from finetune_switch.search import search, similar_pages
from finetune_switch.text.excerpts import EXCERPT_CHARACTERS, excerpt
from tests.index_helpers import build

pytestmark = pytest.mark.django_db

LAMP = "The lighthouse lamp was first lit in 1871 by Ada Pender, the keeper's daughter."


@pytest.fixture
def pages(make_page):
    made = [
        make_page("Lamp", LAMP),
        make_page("Keepers", "The keepers of the lighthouse lit its lamp every evening."),
        make_page("Soup", "Kipper soup with brown bread, served from noon until three."),
        make_page("Bread", "Our baker bakes brown bread and rolls for the soup at noon."),
    ]
    build()
    return made


def titles(results):
    return [result.source.title for result in results]


class TestSearch:
    def test_each_source_once_best_first_with_its_words_marked(self, pages, site):
        results = search("Who lit the lamps?", site=site)
        assert set(titles(results)[:2]) == {"Lamp", "Keepers"}
        assert len(titles(results)) == len(set(titles(results)))
        first = next(result for result in results if result.source.title == "Lamp")
        assert "<mark>lamp</mark> was first <mark>lit</mark>" in first.excerpt
        assert first.source.url == "/lamp/"
        assert set(first.found_by) == {"vector", "text"}

    def test_page_by_page(self, pages, site):
        first = search("lighthouse soup", site=site, per_page=2)
        second = search("lighthouse soup", site=site, per_page=2, page=2)
        assert (first.has_next(), second.number) == (True, 2)
        assert not set(titles(first)) & set(titles(second))
        assert search("lighthouse soup", site=site, per_page=2, page="99").number == (
            first.paginator.num_pages
        )

    def test_an_empty_question_needs_no_query(self, pages, site, django_assert_num_queries):
        with django_assert_num_queries(0):
            assert titles(search("  ", site=site)) == []

    @pytest.mark.parametrize("question", ["😀", "‮שלום", "\x00", "a" * 20_000, "') OR 1=1 --"])
    def test_unusual_questions(self, pages, site, question):
        assert len(titles(search(question, site=site, threshold=0.9))) <= 1

    def test_private_pages_are_found_by_those_who_may_open_them(self, pages, site):
        PageViewRestriction.objects.create(page=pages[0], restriction_type="login")
        assert "Lamp" not in titles(search("lighthouse lamp", site=site))
        member = Asker.from_user(User.objects.create_user("member"))
        assert "Lamp" in titles(search("lighthouse lamp", site=site, asker=member))


class TestExcerpt:
    def test_is_escaped(self):
        assert excerpt("<b>lamp</b> & more", "lamp", language="en") == (
            "&lt;b&gt;<mark>lamp</mark>&lt;/b&gt; &amp; more"
        )

    def test_shows_the_part_with_the_words(self):
        text = "Nothing here. " * 60 + "At last the lamp was lit. " + "Nothing more. " * 60
        shown = excerpt(text, "Who lit the lamp?", language="en")
        assert "<mark>lamp</mark> was <mark>lit</mark>" in shown
        assert shown.startswith("… ")
        assert shown.endswith(" …")
        assert len(shown) < EXCERPT_CHARACTERS + 60

    def test_without_matching_words_it_shows_the_beginning(self):
        assert excerpt("word " * 100, "lamp").startswith("word word")


class TestSimilarPages:
    def test_most_similar_first(self, pages, site, django_assert_max_num_queries):
        with django_assert_max_num_queries(12):
            (best,) = similar_pages(pages[0], limit=1)
        assert best.title == "Keepers"
        assert [page.title for page in similar_pages(pages[2], limit=1)] == ["Bread"]

    def test_never_itself_nor_an_alias_of_it(self, pages, site):
        Page.objects.get(pk=pages[0].pk).create_alias(
            parent=Page.objects.get(pk=site.root_page.pk), update_slug="lamp-2"
        )
        build()
        assert "Lamp" not in [page.title for page in similar_pages(pages[0], limit=10)]

    def test_not_indexed(self, make_page):
        assert similar_pages(make_page("Alone", "Text.")) == []

    def test_as_a_tag_for_whoever_reads(self, pages, site):
        template = Template(
            "{% load finetune_switch_tags %}{% similar_pages page limit=1 as found %}"
            "{% for other in found %}{{ other.title }}{% endfor %}"
        )
        request = RequestFactory().get("/", headers={"host": "localhost"})
        request.user = AnonymousUser()
        context = Context({"request": request, "page": pages[0]})
        assert template.render(context) == "Keepers"
        PageViewRestriction.objects.create(page=pages[1], restriction_type="login")
        assert template.render(context) != "Keepers"
        request.user = User.objects.create_user("member")
        assert template.render(context) == "Keepers"
