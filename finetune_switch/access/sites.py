"""The current site, and the names of sites."""

from __future__ import annotations

from contextvars import ContextVar

from django.http import HttpRequest
from wagtail.models import Site

_current_request: ContextVar[HttpRequest | None] = ContextVar(
    "finetune_switch_request", default=None
)


def site_name(site: Site) -> str:
    """The site's name, without the port and the "[default]" of ``str(site)``."""
    return site.site_name or site.hostname


def current_request() -> HttpRequest | None:
    return _current_request.get()


def site_for(request: HttpRequest | None) -> Site | None:
    """The site of a request, or the default site without a request."""
    if request is not None:
        return Site.find_for_request(request)
    return Site.objects.filter(is_default_site=True).first()
