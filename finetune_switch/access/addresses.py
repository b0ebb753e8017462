"""The addresses and titles of pages and other objects."""

from __future__ import annotations

from contextlib import nullcontext
from functools import cached_property
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest
from django.utils.translation import get_language, override
from wagtail.coreutils import get_dummy_request
from wagtail.models import AbstractPage, Site

from .faults import FATAL, report
from .root_paths import remember_root_paths
from .sites import site_for, site_language


class Addresses:
    """Makes the addresses of a site's objects for the reader of a request.

    Addresses of the reader's own site are paths. Without a request, or for another site, they begin
    with the host if there are several sites.
    """

    def __init__(self, site: Site | None = None, request: HttpRequest | None = None) -> None:
        self._site = site
        self._reader = request

    def of(self, source: Any, anchor: str = "") -> str:
        """The address with the anchor; empty if the object has none or fails to make it."""
        language = get_language()
        known = site_language(language)
        try:
            with override(known) if language and known != language else nullcontext():
                url = self._url(source) or ""
        except FATAL:
            raise
        except Exception as error:
            report(source, "has no address: it is shown without a link.", error)
            return ""
        return f"{url}#{anchor}" if url and anchor else url

    def _url(self, source: Any) -> str | None:
        if isinstance(source, AbstractPage):
            # An unsaved site is none of the page's, so that the address has a host.
            remember_root_paths(source if self._request is None else self._request)
            return source.get_url(self._request, current_site=self._here or Site())
        address = getattr(source, "get_url", None) or getattr(source, "get_absolute_url", None)
        return None if address is None else str(address() or "")

    @cached_property
    def _here(self) -> Site | None:
        """The reader's site."""
        try:
            return Site.find_for_request(self._reader)
        except SuspiciousOperation:
            return None

    @cached_property
    def _request(self) -> HttpRequest | None:
        """A request to the site of the addresses. Wagtail chooses between sites by the request."""
        site = self._site or self._here or site_for(None)
        if site is None or (self._here is not None and self._here.pk == site.pk):
            return self._reader
        request = get_dummy_request(site=site)
        try:
            request.get_host()
        except SuspiciousOperation:
            # The host is missing in ALLOWED_HOSTS.
            return self._reader
        return request


def title_of(source: Any) -> str | None:
    """The title of a page or another object; ``None`` if it fails to say it."""
    try:
        return getattr(source, "title", None) or str(source)
    except FATAL:
        raise
    except Exception as error:
        report(source, "has no title: it is left out.", error)
        return None
