"""``{% load finetune_switch_admin %}``: number formats of the admin's tables."""

from __future__ import annotations

from django import template
from django.template.defaultfilters import floatformat
from django.utils.translation import gettext as _

register = template.Library()


@register.filter
def percent(share: float | None) -> str:
    """0.5 as “50 %”."""
    return "" if share is None else _("%s %%") % floatformat(100 * share, 0)


@register.filter
def seconds(value: float | None) -> str:
    """1.23 as “1.2 s”, 0.123 as “0.12 s”."""
    if value is None:
        return "–"
    return _("%s s") % floatformat(value, 1 if value >= 1 else 2)


@register.filter
def dollars(value: float | None) -> str:
    """The cost of one answer as that of a thousand, in US dollars."""
    return "–" if value is None else f"$ {floatformat(1000 * value, 2)}"
