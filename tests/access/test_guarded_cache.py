"""A cache that is down or frozen stops no answers."""

from __future__ import annotations

import time

import pytest
from django.core.cache.backends.locmem import LocMemCache
from wagtail.models import Site

from finetune_switch.access import Asker, guarded_cache
from finetune_switch.access.addresses import Addresses
from finetune_switch.access.guarded_cache import CacheFailed
from finetune_switch.access.root_paths import site_root_paths
from finetune_switch.access.visibility import pages_open_to
from finetune_switch.models import Outcome
from tests.index_helpers import build

pytestmark = pytest.mark.django_db
FROZEN_SECONDS = 1.5
calls = []


class DownCache(LocMemCache):
    def get(self, *args, **kwargs):
        calls.append(args)
        raise ConnectionError("no cache at redis://10.0.0.7")

    add = set = incr = get_many = set_many = delete = get_or_set = get


class FrozenCache(LocMemCache):
    def get(self, *args, **kwargs):
        calls.append(args)
        time.sleep(FROZEN_SECONDS)
        raise TimeoutError("timed out")

    add = set = incr = get_many = set_many = delete = get_or_set = get


class RemoteCache(LocMemCache):
    """One that works."""


def use(settings, cache_class):
    calls.clear()
    name = f"{__name__}.{cache_class.__name__}"
    others = {"BACKEND": name, "LOCATION": f"{cache_class.__name__} {time.monotonic()}"}
    settings.CACHES = {**settings.CACHES, "default": others}


@pytest.fixture(params=[DownCache, FrozenCache])
def failing(request, settings):
    return lambda: use(settings, request.param)


def test_answers_from_pages_go_on(failing, site, connections, make_page, ask):
    make_page("Lighthouse", "The lighthouse opens at nine on every day.")
    build()
    failing()
    asked = ask("When does the lighthouse open?", site=site)
    assert asked.done.outcome == Outcome.COMPLETE
    assert [p.source.title for p in asked.sources.passages] == ["Lighthouse"]
    assert asked.sources.passages[0].source.url == "/lighthouse/"
    assert asked.seconds < FROZEN_SECONDS


def test_pages_and_addresses_without_it(failing, site, make_page):
    page = make_page("Lighthouse", "It opens at nine.")
    expected = Addresses(site).of(page)
    paths = [tuple(path) for path in Site.get_site_root_paths()]
    failing()
    started = time.monotonic()
    assert [tuple(path) for path in site_root_paths()] == paths
    found = pages_open_to(Asker.anonymous(), [str(page.pk)], site=site)
    assert list(found) == [str(page.pk)]
    assert Addresses(site).of(found[str(page.pk)]) == expected == "/lighthouse/"
    assert time.monotonic() - started < FROZEN_SECONDS
    assert len(calls) == 1


def test_it_is_asked_again_after_a_while(settings, monkeypatch):
    use(settings, DownCache)
    cache = guarded_cache.guarded_cache("default")
    for _time in range(3):
        with pytest.raises(CacheFailed):
            cache.get("key")
    assert len(calls) == 1
    monkeypatch.setattr(guarded_cache, "RETRY_SECONDS", 0)
    with pytest.raises(CacheFailed):
        cache.get("key")
    assert len(calls) == 2


def test_one_that_works(settings, site):
    use(settings, RemoteCache)
    cache = guarded_cache.guarded_cache("default")
    assert isinstance(cache, guarded_cache.GuardedCache)
    assert cache.add("count", 1, 60) is True
    assert cache.incr("count", 2) == 3
    with pytest.raises(ValueError, match="missing"):
        cache.incr("missing")
    cache.set_many({"a": 1, "b": 2}, 60)
    assert cache.get_many(["a", "b", "c"]) == {"a": 1, "b": 2}
    assert cache.get_or_set("d", lambda: 4, 60) == 4
    assert cache.delete("a") is True
    assert cache.get("a") is None
    assert site_root_paths() == site_root_paths() == Site.get_site_root_paths()
