"""The chat backends of the case that the project starts from, and who may switch them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.core.management.base import BaseCommand

from finetune_switch.models import ChatBackend
from finetune_switch.registration import synchronise_backends

HOUSE_PROMPT = """\
You are the voice of Tarrowby Harbour: warm, plain, a little salty, never grand.

Answer visitors' questions from the passages that come with them, in two or three short sentences.
After each fact, give the number of its passage in square brackets, like [1].
Give telephone numbers, prices, dates and times exactly as they are written.
If the passages do not hold the answer, do not guess."""


class Command(BaseCommand):
    help = "Add the demo's chat backends, and a group that may switch them. Safe to run again."

    def handle(self, *args: Any, **options: Any) -> None:
        synchronise_backends()
        added = [label for label, values in self._rows() if self._add(label, values)]
        self.stdout.write(f"Chat backends: {', '.join(added) or 'all there already'}.")
        self._add_team()

    def _rows(self) -> list[tuple[str, dict[str, Any]]]:
        if settings.OLLAMA_API_BASE:
            return []
        return [
            (
                "Our fine-tune (stand-in on Ollama)",
                {
                    "alias": "fine-tune",
                    "model_name": "standin-finetuned:latest",
                    "system_prompt": HOUSE_PROMPT,
                    "hourly_price": Decimal("0.60"),
                    "parameters": {"temperature": 0.7, "keep_alive": "30m"},
                },
            ),
            (
                "The untuned base model (stand-in on Ollama)",
                {
                    "alias": "base",
                    "model_name": "standin-base:latest",
                    "hourly_price": Decimal("0.60"),
                },
            ),
            (
                "A fine-tune that hears nothing (stand-in on Ollama)",
                {"alias": "deaf", "model_name": "standin-deaf:latest"},
            ),
        ]

    def _add(self, label: str, values: dict[str, Any]) -> bool:
        if ChatBackend.objects.filter(alias=values["alias"]).exists():
            return False
        backend = ChatBackend(label=label, connection="ollama", **values)
        backend.full_clean()
        backend.save()
        return True

    def _add_team(self) -> None:
        group, _created = Group.objects.get_or_create(name="Answers team")
        group.permissions.add(
            *Permission.objects.filter(
                content_type__app_label="finetune_switch",
                codename__in=[
                    "activate_switch",
                    "change_switch",
                    "add_chatbackend",
                    "change_chatbackend",
                    "view_chatbackend",
                ],
            ),
            Permission.objects.get(codename="access_admin"),
        )
        if (
            settings.DEBUG
            and (lead := get_user_model().objects.filter(username="lead").first()) is None
        ):
            lead = get_user_model().objects.create_user(
                "lead", "lead@tarrowby.example", "demo", first_name="Nell", last_name="Marwood"
            )
        if settings.DEBUG:
            lead.groups.add(group, *Group.objects.filter(name="Editors"))
