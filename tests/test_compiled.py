"""A lookup that is compiled once finds what the ORM finds, each time anew."""

from __future__ import annotations

import threading

import pytest
from django.db import connection
from django.db.models import Exists, OuterRef
from wagtail.models import Page, Site

from finetune_switch.compiled import CompiledLookup
from finetune_switch.models import ChatBackend, Switch
from tests.helpers import make_backend

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lookup():
    return CompiledLookup(lambda: Site.objects.select_related("root_page").filter(pk=0))


@pytest.fixture
def sites(site):
    page = Page.get_first_root_node().add_child(instance=Page(title="Other", slug="other"))
    return [site, Site.objects.create(hostname="other.example", root_page=page)]


def test_each_parameter_finds_its_own_row(lookup, sites):
    for wanted in (*sites, *reversed(sites)):
        assert lookup.first(wanted.pk) == wanted
    assert lookup.first(0) is None


def test_joined_rows_come_with_it_in_one_query(lookup, sites, django_assert_num_queries):
    lookup.first(sites[0].pk)
    with django_assert_num_queries(1):
        assert lookup.first(sites[1].pk).root_page.title == "Other"


def test_every_column_is_what_the_orm_makes_of_it(site, connections):
    switch = Switch.objects.create(site=site, nothing_found={"de": "Weiß nicht"}, passages=7)
    backend = make_backend("ollama", parameters={"temperature": 0.5})
    switch.activate(backend, expected=None)
    for found in (Switch.for_question(site), Switch.for_question(None)):
        for model, row in ((Switch, found), (ChatBackend, found.active)):
            expected = model.objects.get(pk=row.pk)
            names = [field.attname for field in model._meta.concrete_fields]
            assert {name: getattr(row, name) for name in names} == {
                name: getattr(expected, name) for name in names
            }


def test_what_changed_is_seen(lookup, sites):
    lookup.first(sites[1].pk)
    Site.objects.filter(pk=sites[1].pk).update(site_name="New")
    assert lookup.first(sites[1].pk).site_name == "New"


def test_in_many_threads_at_once(lookup, sites):
    found: list[tuple[int, int]] = []

    def look():
        for _ in range(20):
            found.extend((site.pk, lookup.first(site.pk).pk) for site in sites)
        connection.close()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 160
    assert all(asked == got for asked, got in found)


def test_one_parameter_too_many_is_an_error(lookup):
    with pytest.raises(TypeError, match="1 parameters, not 2"):
        lookup.first(1, 2)


def test_parameters_of_what_is_selected_stay(sites):
    """Those of an annotation come before the ones that a lookup is given."""
    lookup = CompiledLookup(
        lambda: Site.objects.annotate(
            is_other=Exists(Page.objects.filter(pk=OuterRef("root_page_id"), slug="other"))
        ).filter(pk=0)
    )
    found = [lookup.first(site.pk) for site in (*sites, *sites)]
    assert [(site.pk, site.is_other) for site in found] == 2 * [
        (sites[0].pk, False),
        (sites[1].pk, True),
    ]
