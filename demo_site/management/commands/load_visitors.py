"""Some questions as visitors ask them, so that the reports of the demo have something to show."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.utils.translation import override

from demo_site.content import read_visitors
from demo_site.models import HomePage
from finetune_switch import conf
from finetune_switch.answering import answer
from finetune_switch.models import Exchange, Feedback, Origin


class Command(BaseCommand):
    help = "Ask what visitors ask, and give their thumbs. Only where no visitor has asked yet."

    def handle(self, *args: Any, **options: Any) -> None:
        home = HomePage.objects.first()
        if home is None or Exchange.objects.of_visitors().exists():
            return
        if not conf.record_visitor_questions():
            return
        visitors = read_visitors()
        locale = home.locale.language_code
        with override(locale):
            for visitor in visitors:
                self._ask(visitor, home, locale)
        self.stdout.write(f"{len(visitors)} visitors have asked.")

    def _ask(self, visitor: dict[str, Any], home: HomePage, locale: str) -> None:
        asked = answer(
            visitor["question"],
            site=home.get_site(),
            locale=locale,
            origin=Origin.SITE,
            fact_lock=conf.fact_lock(),
        )
        list(asked)
        if "thumb" in visitor and asked.exchange_id is not None:
            Feedback.objects.create(
                exchange_id=asked.exchange_id,
                is_helpful=visitor["thumb"] == "up",
                comment=visitor.get("comment", ""),
            )
