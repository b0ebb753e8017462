"""Log actions, and their messages in Wagtail's audit log."""

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from wagtail.log_actions import LogFormatter

from finetune_switch.models.switch import SWITCH_ACTION

INDEX_ACTION = "finetune_switch.index"
LEAVE_OUT_ACTION = "finetune_switch.leave_out"


class SwitchFormatter(LogFormatter):
    label = gettext_lazy("Switch the chat backend")

    def format_message(self, log_entry: Any) -> str:
        change = log_entry.data.get("backend") or {}
        old, new = change.get("old") or {}, change.get("new") or {}
        return _("Switched the chat backend from “%(old)s” to “%(new)s”") % {
            "old": old.get("label", "–"),
            "new": new.get("label", "–"),
        }


class IndexFormatter(LogFormatter):
    label = gettext_lazy("Build the index")

    def format_message(self, log_entry: Any) -> str:
        if log_entry.data.get("changed_only"):
            return _("Started to bring the index up to date")
        return _("Started to build the whole index")


class LeaveOutFormatter(LogFormatter):
    label = gettext_lazy("Leave out of AI answers")

    def format_message(self, log_entry: Any) -> str:
        if not log_entry.data.get("left_out"):
            return _("Let AI answers use the page again")
        if log_entry.data.get("subtree"):
            return _("Left the page and everything beneath it out of AI answers")
        return _("Left the page out of AI answers")


def register_log_actions(actions: Any) -> None:
    actions.register_action(INDEX_ACTION)(IndexFormatter)
    actions.register_action(LEAVE_OUT_ACTION)(LeaveOutFormatter)
    actions.register_action(SWITCH_ACTION)(SwitchFormatter)
