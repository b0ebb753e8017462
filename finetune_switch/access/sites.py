"""What a site is called on our screens."""

from __future__ import annotations

from contextvars import ContextVar

from django.http import HttpRequest
from wagtail.models import Site

_current_request: ContextVar[HttpRequest | None] = ContextVar(
    "finetune_switch_request", default=None
)


def site_name(site: Site) -> str:
    """Its name, without the port and the "[default]" that Wagtail's own text adds."""
    return site.site_name or site.hostname


def current_request() -> HttpRequest | None:
    return _current_request.get()


def site_for(request: HttpRequest | None) -> Site | None:
    """The site that a request is for, or the default site where there is no request."""
    if request is not None:
        return Site.find_for_request(request)
    return Site.objects.filter(is_default_site=True).first()
