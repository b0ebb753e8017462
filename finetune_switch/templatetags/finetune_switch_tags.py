"""``{% load finetune_switch_tags %}``"""

from __future__ import annotations

from typing import Any

from django import template
from wagtail.models import AbstractPage, Site

from ..askers import Asker
from ..retrieval import similar_pages as find_similar_pages

register = template.Library()


@register.simple_tag(takes_context=True)
def similar_pages(context: dict[str, Any], page: AbstractPage, limit: int = 5) -> list[Any]:
    """``{% similar_pages page limit=3 as pages %}``: what the reader might want to read next.

    Only pages that whoever sends the request may open.
    """
    request = context.get("request")
    if request is None:
        return find_similar_pages(page, limit=limit)
    asker, site = Asker.from_request(request), Site.find_for_request(request)
    return find_similar_pages(page, limit=limit, asker=asker, site=site)
