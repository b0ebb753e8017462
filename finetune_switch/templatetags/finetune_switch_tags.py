"""``{% load finetune_switch_tags %}``"""

from __future__ import annotations

import json
from typing import Any

from django import template
from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from wagtail.models import AbstractPage, Site

from finetune_switch.access import Asker
from finetune_switch.search import similar_pages as find_similar_pages

# The names of the URLs that the widget uses.
ADDRESSES = ("ask", "conversation", "feedback", "results", "search", "about")

register = template.Library()


@register.simple_tag(takes_context=True)
def similar_pages(context: dict[str, Any], page: AbstractPage, limit: int = 5) -> list[Any]:
    """``{% similar_pages page limit=3 as pages %}``: pages similar to this one.

    Only pages that the request's user may open.
    """
    request = context.get("request")
    if request is None:
        return find_similar_pages(page, limit=limit)
    asker, site = Asker.from_request(request), Site.find_for_request(request)
    return find_similar_pages(page, limit=limit, asker=asker, site=site)


@register.inclusion_tag("finetune_switch/visitors/chat.html")
def finetune_chat(
    *, dialog: bool = False, mode: str = "", question: str = "", heading_level: int = 2
) -> dict[str, Any]:
    """``{% finetune_chat %}``: the chat widget.

    With ``dialog=True`` or ``mode="dialog"``, a button opens it in a dialog. A ``question`` is
    asked when the page loads. ``heading_level`` is the level of the questions' headings. The
    output contains nothing about the current visitor, so the page can be cached publicly.
    """
    return {
        "addresses": {name: reverse(f"finetune_visitors:{name}") for name in ADDRESSES},
        "search_url": reverse("finetune_visitors:search"),
        "is_dialog": dialog or mode == "dialog",
        "question": question,
        "heading_level": heading_level,
        "language": get_language(),
        "texts": json.dumps(_chat_texts(), ensure_ascii=False),
    }


def _chat_texts() -> dict[str, str]:
    """The widget's texts, by their names in its script."""
    return {
        "label": _("Your question"),
        "follow": _("Ask a follow-up question"),
        "ask": _("Ask"),
        "stop": _("Stop"),
        "again": _("Start again"),
        "retry": _("Ask again"),
        "pages": _("The best pages for this"),
        "waiting": _("Looking for an answer …"),
        "answer": _("Answer"),
        "stopped": _("The answer was stopped."),
        "lost": _("The connection was lost. Ask again."),
        "failed": _("This did not work. Ask again in a moment."),
        "off": _("Questions are not answered at the moment. You can search the pages."),
        "search": _("Search the pages"),
        "destination": _("Your question was sent to:"),
        "copy": _("Copy"),
        "copied": _("Copied."),
        "uncopied": _("It could not be copied. Select the text and copy it yourself."),
        "helpful": _("Helpful"),
        "unhelpful": _("Not helpful"),
        "good": _("What was good about it? (optional)"),
        "bad": _("What was wrong with it? (optional)"),
        "send": _("Send"),
        "thanks": _("Thank you."),
        "taken": _("Taken back."),
        "open": _("Ask a question"),
        "title": _("Ask a question"),
        "close": _("Close"),
    }
