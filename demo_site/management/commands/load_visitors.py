"""Asks questions as visitors, so that the demo's reports are not empty."""

from __future__ import annotations

import uuid
from typing import Any

from django.core.management.base import BaseCommand
from django.utils.translation import override

from demo_site.content import read_visitors
from demo_site.models import HomePage
from finetune_switch import conf
from finetune_switch.answers import Answer, answer
from finetune_switch.messages import Turn
from finetune_switch.models import Exchange, Feedback, Origin


class Command(BaseCommand):
    help = "Ask questions as visitors and give feedback, unless a visitor has asked already."

    def handle(self, *args: Any, **options: Any) -> None:
        home = HomePage.objects.first()
        if home is None or Exchange.objects.of_visitors().exists():
            return
        if not conf.record_visitor_questions():
            return
        visitors = read_visitors()
        locale = home.locale.language_code
        turns: list[Turn] = []
        conversation = None
        with override(locale):
            for visitor in visitors:
                if not visitor.get("follows"):
                    turns, conversation = [], uuid.uuid4()
                asked = answer(
                    visitor["question"],
                    site=home.get_site(),
                    locale=locale,
                    origin=Origin.SITE,
                    fact_lock=conf.fact_lock(),
                    prepared=True,
                    conversation=conversation,
                    turns=turns,
                )
                for _event in asked:
                    pass
                turns = [*turns, Turn(visitor["question"], asked.text_so_far)]
                self._give_thumb(visitor, asked)
        self.stdout.write(f"Asked {len(visitors)} questions as visitors.")

    def _give_thumb(self, visitor: dict[str, Any], asked: Answer) -> None:
        if "thumb" in visitor and asked.exchange_id is not None:
            Feedback.objects.create(
                exchange_id=asked.exchange_id,
                is_helpful=visitor["thumb"] == "up",
                comment=visitor.get("comment", ""),
            )
