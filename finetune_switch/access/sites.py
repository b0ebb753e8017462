"""The current site, and the names of sites."""

from __future__ import annotations

from contextvars import ContextVar

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import get_supported_language_variant
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


def site_language(code: str | None) -> str:
    """The language of ``LANGUAGES`` that is nearest to this one, or the default language.

    ``en`` for ``en-GB``, if the site has only ``en``.
    """
    known = {name.lower(): name for name, _label in settings.LANGUAGES}
    wanted = (code or "").replace("_", "-").lower()
    if wanted in known:
        return known[wanted]
    try:
        return get_supported_language_variant(wanted)
    except LookupError:
        return settings.LANGUAGE_CODE
