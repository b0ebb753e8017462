"""What visitors asked, as editors read it: whose answer is open to them, and what of it was shown.

An answer says what stands on the pages that it was made from, and a follow-up's answer what stands
on those of the turns before it. So it is for those who may open all of these.
"""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.utils.translation import override

from finetune_switch.models import Exchange, Outcome, Switch
from finetune_switch.search.readers import BATCH, frozen_passages


def text_shown(exchange: Exchange) -> str:
    """The answer as its visitor read it: without what the fact lock held back."""
    if not exchange.withheld_facts:
        return exchange.answer
    # Reading facts takes a library that no start-up should wait for.
    from finetune_switch.text.fact_lock import FactLock

    locale = exchange.locale or settings.LANGUAGE_CODE
    switch = Switch.for_question(exchange.site)
    lock = FactLock(
        frozen_passages(exchange), exchange.locale or "en", [switch.nothing_found_text(locale)]
    )
    with override(locale):
        shown = lock.feed(exchange.answer)
        if exchange.outcome in (Outcome.COMPLETE, Outcome.NO_ANSWER):
            shown += lock.finish()
    return shown


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
