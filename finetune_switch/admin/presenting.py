"""Template context of exchanges and passages, shared by several screens."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from django.template.defaultfilters import floatformat
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from wagtail.models import Site
from wagtail.permissions import page_permission_policy

from finetune_switch.access.visibility import page_id_of, page_model
from finetune_switch.models import Exchange
from finetune_switch.passages import Passage


def details(exchange: Exchange) -> list[tuple[str, str]]:
    """Times, tokens and cost of an answer, as far as known, with their labels."""
    first, load = exchange.first_token_seconds, exchange.load_seconds
    total, written = exchange.duration_seconds, exchange.completion_tokens
    rows: list[tuple[str, str | None]] = [
        (_("Model loaded in"), _seconds(load)),
        (_("First word after"), _seconds(first and max(0.0, first - (load or 0)))),
        (_("Whole answer in"), _seconds(total)),
        (_("Speed"), _speed(exchange)),
        (_("Read"), _tokens(exchange.prompt_tokens)),
        (_("Written"), _tokens(written)),
    ]
    if exchange.cost is not None:
        rows += [
            (_("Cost of this answer"), _dollars(float(exchange.cost), 6)),
            (_("Cost of 1,000 such"), _dollars(1000 * float(exchange.cost), 2)),
        ]
    if exchange.backend is not None:
        rows.append((_("The question went to"), exchange.backend.data_destination))
    if exchange.left_out:
        left_out = ngettext(
            "%d passage, for lack of room", "%d passages, for lack of room", exchange.left_out
        )
        rows.append((_("Left out"), left_out % exchange.left_out))
    return [(label, value) for label, value in rows if value]


def _speed(exchange: Exchange) -> str | None:
    written, total = exchange.completion_tokens, exchange.duration_seconds
    if not written or total is None:
        return None
    writing = total - (exchange.first_token_seconds or 0)
    if writing <= 0:
        return None
    return _("%s tokens a second") % floatformat(written / writing, 0)


def _seconds(seconds: float | None) -> str | None:
    if not seconds:
        return None
    return _("%s s") % floatformat(seconds, 1 if seconds >= 1 else 2)


def _tokens(count: int | None) -> str | None:
    return None if count is None else ngettext("%d token", "%d tokens", count) % count


def _dollars(amount: float, digits: int) -> str:
    return f"$ {floatformat(amount, digits)}"


def passages_shown(passages: Sequence[Passage], user: Any) -> list[dict[str, Any]]:
    """The passages, each with the edit URL of its page where the user may edit it."""
    ids = [page_id_of(passage.source) for passage in passages]
    pages = page_model()._default_manager.in_bulk([pk for pk in ids if pk is not None])
    shown = []
    for passage, pk in zip(passages, ids, strict=True):
        page = pages.get(pk)
        edits = page and page.permissions_for_user(user).can_edit()
        shown.append(
            {
                "passage": passage,
                "percent": round(100 * max(0.0, min(1.0, passage.score))),
                "edit_url": page and edits and reverse("wagtailadmin_pages:edit", args=[page.pk]),
            }
        )
    return shown


def create_page_url(site: Site | None, user: Any) -> str:
    """The URL to add a page; empty where the user may add none.

    Below the site's root page, else below the first page where the user may, this site's first.
    """
    root = site and site.root_page
    if root and root.permissions_for_user(user).can_add_subpage():
        return reverse("wagtailadmin_pages:add_subpage", args=[root.pk])
    pages = page_permission_policy.instances_user_has_permission_for(user, "add").order_by("path")
    here = pages.descendant_of(root) if root else pages.none()
    for page in chain(here.iterator(), pages.iterator()):
        if page.permissions_for_user(user).can_add_subpage():
            return reverse("wagtailadmin_explore", args=[page.pk])
    return ""
