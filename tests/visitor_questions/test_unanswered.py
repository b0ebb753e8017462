"""What visitors asked and we could not answer, as its readers see it and go on from it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.cache import cache
from wagtail.models import GroupPagePermission, PageViewRestriction

from tests.comparison_helpers import bar
from tests.index_helpers import build
from tests.pages import address
from tests.screens import add_page
from tests.visitor_helpers import make_exchange, unanswered

DOGS = "Are dogs allowed in the cafe?"


@pytest.fixture
def dogs(site):
    """A page beneath another one, in the index."""
    cache.clear()
    visit = add_page(site, "Visit")
    page = add_page(site, "Dogs allowed in the cafe", parent=visit)
    build()
    return page


@pytest.fixture
def reader(log_in):
    return log_in("visitor_reader")


def look(person, **query):
    return person.get("visitor_questions:unanswered", **query)


def cards(page):
    return [" ".join(card.get_text(" ").split()) for card in page.main.select("li.finetune-card")]


def give_pages(user, page):
    """May add and edit this page and what is beneath it."""
    group = Group.objects.create(name="Writers")
    for codename in ("add_page", "change_page"):
        permission = Permission.objects.get(codename=codename)
        GroupPagePermission.objects.create(group=group, page=page, permission=permission)
    user.groups.add(group)


def test_nothing(reader, site):
    unanswered("Long ago?", site, days_ago=31)
    text = look(reader).text
    assert "Nothing in the last 30 days: every question that was recorded got its answer." in text
    assert "Long ago?" in look(reader, days=90).text


def test_groups_and_what_they_lack(reader, site, dogs):
    for _times in range(2):
        unanswered("Do you have a helicopter pad?", site, locale="de")
    unanswered("Where can a helicopter land?", site)
    unanswered(DOGS, site)
    given = {"pages": [dogs], "texts": ["Dogs are allowed in the cafe."]}
    make_exchange("May dogs be in the cafe?", site, thumb=False, **given)
    page = look(reader)
    assert "5 questions of the last 30 days had no answer" in page.text
    helicopters, about_dogs = cards(page)
    assert helicopters.startswith("Do you have a helicopter pad? Asked 3 times")
    assert "No page No page that visitors may open covers this." in helicopters
    assert "Other wordings Where can a helicopter land?" in helicopters
    assert "Page not found 1 × A page covers this" in about_dogs
    assert "Page found but ignored 1 × The model was given a page" in about_dogs
    recorded, today = page.links("Dogs allowed")
    assert recorded == "/"
    assert today.endswith("/visit/dogs-allowed-in-the-cafe/")


def test_filters(reader, site, other_site):
    unanswered("Here?", site, locale="de")
    unanswered("There?", other_site)
    assert len(cards(look(reader))) == 2
    assert cards(look(reader, locale="de"))[0].startswith("Here?")
    assert cards(look(reader, site=other_site.pk))[0].startswith("There?")


def test_ten_groups_a_page(reader, site):
    words = "zebra apple violin rocket carpet thunder pencil glacier onion wizard tax"
    for word in words.split(" "):
        unanswered(word, site)
    assert len(cards(look(reader))) == 10
    assert len(cards(look(reader, p=2))) == 1


def test_the_embedding_model_is_down(reader, site, settings):
    settings.FINETUNE_SWITCH = {
        **settings.FINETUNE_SWITCH,
        "INDEX": {"EMBEDDINGS": {"CONNECTION": "gone", "MODEL_NAME": "embed-large"}},
    }
    unanswered("Is there wifi?", site)
    page = look(reader)
    assert "could not be compared by meaning" in page.text
    assert "only those with the same words stand together" in page.text
    assert len(cards(page)) == 1


def test_too_many_are_said_to_be(reader, site, monkeypatch):
    monkeypatch.setattr("finetune_switch.visitor_questions.grouping.MOST_QUESTIONS", 1)
    unanswered("One?", site)
    unanswered("Two?", site)
    assert "1 older one is left out." in look(reader).text


class TestNext:
    def test_a_reader_who_writes_nothing(self, reader, site, dogs):
        unanswered("Do you have a helicopter pad?", site)
        page = look(reader)
        for name in ("Create a page", "edit", "Open in compare", "Write a prepared answer"):
            assert page.links(name) == []

    def test_a_page_is_added_beside_the_likest_one(self, admin, site, dogs):
        exchange = unanswered("Do dogs pay?", site)
        page = look(admin)
        [url] = page.links("Create a page about this")
        assert url == address("wagtailadmin_pages:add_subpage", dogs.get_parent().pk)
        [button] = page.main.select("button[data-action='w-clipboard#copy']")
        assert button["data-w-clipboard-value-param"] == "Do dogs pay?"
        [url] = page.links("Open in compare")
        assert url == f"{address('compare:index')}?exchange={exchange.pk}"

    def test_or_where_the_reader_may(self, reader, site, dogs):
        """Not beside it, where they may not, but elsewhere."""
        news = add_page(site, "News")
        give_pages(reader.user, news)
        unanswered("Do dogs pay?", site)
        assert look(reader).links("Create a page") == [address("wagtailadmin_explore", news.pk)]

    def test_a_page_that_exists_is_edited(self, reader, site, dogs):
        give_pages(reader.user, dogs)
        unanswered(DOGS, site)
        [url] = look(reader).links("edit")
        assert url == address("wagtailadmin_pages:edit", dogs.pk)

    def test_a_closed_page_is_not_named(self, reader, site, dogs):
        given = {"pages": [dogs], "texts": ["Dogs are allowed in the cafe."]}
        unanswered(DOGS, site, standalone_question="Was said: a million?", **given)
        bar(dogs)
        page = look(reader)
        assert "Dogs allowed" not in page.text
        assert "a million" not in page.text

    def test_a_follow_up_with_what_it_was_made_into(self, reader, site):
        unanswered("And dogs?", site, standalone_question="Are dogs allowed in the cafe?")
        [card] = cards(look(reader))
        assert card.startswith("And dogs? Are dogs allowed in the cafe?")


def test_no_page_of_members_is_told_to_exist(reader, site, dogs):
    """Whoever reads may open it, and the visitor may not."""
    PageViewRestriction.objects.create(page=dogs, restriction_type=PageViewRestriction.LOGIN)
    unanswered(DOGS, site)
    assert "No page that visitors may open" in look(reader).text


def test_as_many_queries_for_a_group_of_many(reader, site, dogs, django_assert_max_num_queries):
    def queries():
        with django_assert_max_num_queries(300) as captured:
            look(reader)
        return len(captured)

    unanswered(DOGS, site)
    queries()
    one = queries()
    for _number in range(15):
        unanswered(DOGS, site)
    assert queries() == one


def test_the_home_page_says_how_many_this_week(admin, log_in, site):
    unanswered("One?", site)
    unanswered("Two?", site, days_ago=6)
    unanswered("Long ago?", site, days_ago=8)
    make_exchange("Fine?", site)
    page = admin.get("wagtailadmin_home")
    [url] = page.links("2 questions could not be answered this week")
    assert "2 questions of the last 7 days" in admin.client.get(url).content.decode()
    assert "could not be answered" not in log_in("settings").get("wagtailadmin_home").text
