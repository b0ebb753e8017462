"""What the model said to a visitor, and what was asked around it, as editors read it."""

from __future__ import annotations

from collections.abc import Iterator

from finetune_switch.models import Exchange
from finetune_switch.search.readers import BATCH


def pieces_said(exchange: Exchange) -> Iterator[tuple[str, bool]]:
    """The answer as the model gave it, in pieces: the facts that were held back apart."""
    at = 0
    for fact in sorted(exchange.withheld_facts, key=lambda fact: fact["start"]):
        start, end = max(at, fact["start"]), fact["end"]
        if start >= end:
            continue
        yield exchange.answer[at:start], False
        yield exchange.answer[start:end], True
        at = end
    yield exchange.answer[at:], False


def turns_of(exchange: Exchange) -> list[Exchange]:
    """What the same visitor asked before and after it in one conversation, oldest first."""
    if exchange.conversation is None:
        return []
    turns = Exchange.objects.of_visitors().filter(conversation=exchange.conversation)
    return list(turns.exclude(pk=exchange.pk).order_by("opened_at", "pk")[:BATCH])
