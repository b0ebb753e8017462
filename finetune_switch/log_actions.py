"""How a turn of the switch reads in Wagtail's audit log."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from wagtail.log_actions import LogFormatter

from .models.switch import SWITCH_ACTION


class SwitchFormatter(LogFormatter):
    label = gettext_lazy("Switch the chat backend")

    def format_message(self, log_entry: Any) -> str:
        change = log_entry.data.get("backend") or {}
        old, new = change.get("old") or {}, change.get("new") or {}
        return _("Switched the chat backend from “%(old)s” to “%(new)s”") % {
            "old": old.get("label", "–"),
            "new": new.get("label", "–"),
        }


def register_log_actions(actions: Any) -> None:
    actions.register_action(SWITCH_ACTION)(SwitchFormatter)
