"""The notice for visitors: where their questions go, and what is kept of them."""

from django.utils.translation import gettext as _
from django.utils.translation import ngettext, override

from finetune_switch import conf
from finetune_switch.models import Switch


def notice_text(switch: Switch, locale: str) -> str:
    """The notice in this language: the site's own, or one made from its settings."""
    if text := switch.text_in(switch.notice, locale):
        return text
    with override(locale):
        return " ".join(
            filter(None, [_destination(switch), _record(), _("Do not write anything personal.")])
        )


def _destination(switch: Switch) -> str:
    where = switch.backend.data_destination
    return _("Your question goes to: %s.") % where if where else ""


def _record() -> str:
    if not conf.record_visitor_questions():
        return _("It is not kept.")
    if (days := conf.retention_days()) is None:
        return _("It is kept without your name or address.")
    return (
        ngettext(
            "It is kept for %d day, without your name or address.",
            "It is kept for %d days, without your name or address.",
            days,
        )
        % days
    )
