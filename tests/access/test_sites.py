"""Objects that are no pages belong to a site if they say so."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import models
from django.test.utils import isolate_apps
from wagtail import hooks
from wagtail.models import Site

from demo_site.models import VisitorInformation
from finetune_switch.access import Asker
from finetune_switch.access.visibility import object_site_ids
from finetune_switch.models import Document
from finetune_switch.search import retrieve
from tests.index_helpers import ANYTHING, build

pytestmark = pytest.mark.django_db


@pytest.fixture
def sites(site: Site, settings: Any) -> tuple[Site, Site]:
    """Two sites, each with a telephone number in a setting that everybody may see."""
    settings.FINETUNE_SWITCH = {
        **settings.FINETUNE_SWITCH, "INDEX": {"MODELS": ["demo_site.VisitorInformation"]}
    }  # fmt: skip
    other = Site.objects.create(hostname="other.example", root_page=site.root_page)
    for row, phone in ((site, "01665 100"), (other, "01665 200")):
        VisitorInformation.objects.create(site=row, address="Harbour office", phone=phone)
    return site, other


def open_to_all(asker: Asker, instance: Any) -> bool:
    return True


def phones(site: Site | None, asker: Asker | None = None) -> set[str]:
    found = retrieve(
        "telephone of the harbour office",
        asker=asker or Asker.anonymous(),
        site=site,
        indexes=["pages"],
        threshold=ANYTHING,
        limit=50,
    )
    return {number for p in found for number in ("01665 100", "01665 200") if number in p.text}


def test_site_settings_belong_to_their_site(sites: tuple[Site, Site]) -> None:
    first, second = sites
    with hooks.register_temporarily("finetune_switch_may_see", open_to_all):
        build()
        assert phones(first) == {"01665 100"}
        assert phones(second) == {"01665 200"}
        assert phones(None) == {"01665 100", "01665 200"}
    rows = Document.objects.filter(model="demo_site.visitorinformation")
    assert set(rows.values_list("site_id", flat=True)) == {first.pk, second.pk}


def test_users_who_may_see_all(sites: tuple[Site, Site]) -> None:
    build()
    assert phones(sites[1], Asker(is_superuser=True)) == {"01665 200"}


def test_moved_to_another_site_since(sites: tuple[Site, Site]) -> None:
    """The site is checked when the question is asked. Nothing is indexed again here."""
    first, second = sites
    with hooks.register_temporarily("finetune_switch_may_see", open_to_all):
        build()
        VisitorInformation.objects.filter(site=second).delete()
        VisitorInformation.objects.filter(site=first).update(site=second)
        assert phones(first) == set()


def test_hook_says_the_site(sites: tuple[Site, Site]) -> None:
    first, second = sites

    def both(instance: Any) -> Any:
        return [first, second] if instance.phone == "01665 100" else None

    with (
        hooks.register_temporarily("finetune_switch_may_see", open_to_all),
        hooks.register_temporarily("finetune_switch_site_of", both),
    ):
        build()
        assert phones(first) == {"01665 100"}
        assert phones(second) == {"01665 100", "01665 200"}
        one = VisitorInformation.objects.get(site=second)
        assert object_site_ids(one) == {second.pk}
    with hooks.register_temporarily("finetune_switch_site_of", lambda instance: first):
        assert object_site_ids(one) == {first.pk}


def test_hook_that_fails_shows_nothing(sites: tuple[Site, Site]) -> None:
    with (
        hooks.register_temporarily("finetune_switch_may_see", open_to_all),
        hooks.register_temporarily("finetune_switch_site_of", lambda instance: instance.gone),
    ):
        build()
        assert phones(sites[0]) == set()


def test_visibility_hook_is_given_the_site(sites: tuple[Site, Site]) -> None:
    first, second = sites
    given = []

    def only_on_the_first(asker: Asker, instance: Any, site: Site | None) -> bool:
        given.append(site)
        return site == first

    with hooks.register_temporarily("finetune_switch_may_see", only_on_the_first):
        build()
        assert phones(first) == {"01665 100"}
        assert phones(second) == set()
    assert {first, second} <= set(given)


@isolate_apps("tests")
def test_relations_to_sites(site: Site) -> None:
    class Notice(models.Model):  # noqa: DJ008
        title = models.CharField(max_length=9)
        place = models.ForeignKey(Site, models.CASCADE, null=True)

        class Meta:
            app_label = "tests"

    assert object_site_ids(Notice(title="x", place=site)) == {site.pk}
    assert object_site_ids(Notice(title="x")) is None
