"""What a site is called on our screens."""

from __future__ import annotations

from wagtail.models import Site


def site_name(site: Site) -> str:
    """Its name, without the port and the "[default]" that Wagtail's own text adds."""
    return site.site_name or site.hostname
