"""The root paths of all sites, also while the cache that Wagtail reads them from is down."""

from __future__ import annotations

import logging
import time
from typing import Any

from django.conf import settings
from django.core.cache import DEFAULT_CACHE_ALIAS
from wagtail.models import Site
from wagtail.models.sites import (
    SITE_ROOT_PATHS_CACHE_KEY,
    SITE_ROOT_PATHS_CACHE_VERSION,
    SiteRootPath,
)

from .guarded_cache import GuardedCache, guarded_cache

logger = logging.getLogger("finetune_switch.access")

WARNING_SECONDS = 60
# Where Wagtail's pages look for root paths before they ask the cache.
_ATTRIBUTE = "_wagtail_cached_site_root_paths"
_warned_at: float | None = None


def site_root_paths() -> list[Any]:
    """``Site.get_site_root_paths()``, from the database if the cache fails."""
    cache = guarded_cache(DEFAULT_CACHE_ALIAS)
    try:
        if isinstance(cache, GuardedCache):
            version = SITE_ROOT_PATHS_CACHE_VERSION
            if (found := cache.get(SITE_ROOT_PATHS_CACHE_KEY, version=version)) is not None:
                return [SiteRootPath(*path) for path in found]
        return Site.get_site_root_paths()
    except Exception as error:
        _warn(error)
        return _from_database()


def remember_root_paths(*objects: Any) -> None:
    """Give root paths to pages and requests, so that ``get_url()`` does not ask the cache."""
    if not isinstance(guarded_cache(DEFAULT_CACHE_ALIAS), GuardedCache):
        return
    missing = [one for one in objects if one is not None and not hasattr(one, _ATTRIBUTE)]
    if missing:
        paths = site_root_paths()
        for one in missing:
            setattr(one, _ATTRIBUTE, paths)


def _from_database() -> list[Any]:
    paths = []
    sites = Site.objects.select_related("root_page", "root_page__locale")
    for site in sites.order_by("-root_page__url_path", "-is_default_site", "hostname"):
        pages = [site.root_page]
        if getattr(settings, "WAGTAIL_I18N_ENABLED", False):
            pages = site.root_page.get_translations(inclusive=True).select_related("locale")
        paths += [
            SiteRootPath(site.pk, page.url_path, site.root_url, page.locale.language_code)
            for page in pages
        ]
    return paths


def _warn(error: Exception) -> None:
    global _warned_at
    if _warned_at is None or time.monotonic() - _warned_at > WARNING_SECONDS:
        _warned_at = time.monotonic()
        logger.warning("The cache failed; sites are read from the database: %s", error)
