"""What visitors asked, as editors read it: whose answer is open to them, and what of it was shown.

An answer says what stands on the pages that it was made from, and a follow-up's answer what stands
on those of the turns before it. So it is for those who may open all of these.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.conf import settings
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast
from django.utils.translation import override

from .access.visibility import page_id_of, page_model
from .models import Exchange, Outcome, Switch
from .passages import Passage, Source
from .reading import BATCH, Reader, batched

# Whose pages are offered to filter by.
LATEST = 500


class QuestionReader:
    """Somebody who reads what visitors asked."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def may_read(self, exchanges: Sequence[Exchange]) -> set[uuid.UUID]:
        """Of which of them the answer, and all that it was made from, may be read."""
        conversations = {row.conversation for row in exchanges if row.conversation}
        turns = list(
            Exchange.objects.of_visitors()
            .filter(conversation__in=conversations)
            .select_related("site")
            .only("site", "passages", "conversation")
            if conversations
            else ()
        )
        known = {row.pk for row in exchanges}
        every = [*exchanges, *(turn for turn in turns if turn.pk not in known)]
        readable = self._reader.may_read(every)
        closed = {row.conversation for row in every if row.pk not in readable} - {None}
        return {
            row.pk for row in exchanges if row.pk in readable and row.conversation not in closed
        }

    def citing_ids(self, exchanges: QuerySet[Exchange], page_id: int) -> list[uuid.UUID]:
        """Primary keys of those that may be read and whose answer cites a page."""
        # No query looks into lists of both databases. As text, both write a key like this; what is
        # found so is looked at.
        written = f'"object_id": "{page_id}"'
        rows = (
            exchanges.order_by("pk")
            .annotate(written=Cast("passages", TextField()))
            .filter(written__contains=written)
            .select_related(None)
            .select_related("site")
            .only("site", "passages", "citations", "conversation")
        )
        found = []
        for batch in batched(rows.iterator(chunk_size=BATCH)):
            readable = self.may_read(batch)
            for row in batch:
                if row.pk in readable and page_id in page_ids(cited_sources(row)):
                    found.append(row.pk)
        return found

    def cited_pages(self, wanted: Any = None) -> list[int]:
        """Primary keys of the pages that the latest answers cite, most cited first.

        Only those that the reader may open; ``wanted`` is one of them wherever it is cited.
        """
        latest = Exchange.objects.of_visitors().exclude(citations=[]).order_by("-opened_at")
        counted: Counter[int] = Counter()
        for row in latest.only("passages", "citations")[:LATEST]:
            counted.update(page_ids(cited_sources(row)))
        if str(wanted).isdecimal() and len(str(wanted)) < 10:
            counted.setdefault(int(wanted), 0)
        label = page_model()._meta.label_lower
        doors = self._reader.doors
        sources = {pk: Source("", "", label, str(pk)) for pk, _times in counted.most_common()}
        doors.look_at(sources.values(), None)
        return [pk for pk, source in sources.items() if doors.are_open([source], None)]


def cited_sources(exchange: Exchange) -> list[Source]:
    """The sources that an answer cites, each once, in the order of their numbers."""
    sources = {
        (source["model"], source["object_id"]): Source(**source)
        for passage in exchange.passages
        if passage["number"] in exchange.citations
        for source in [passage["source"]]
    }
    return list(sources.values())


def page_ids(sources: Iterable[Source]) -> set[int]:
    """Primary keys of the pages among these sources."""
    return {pk for source in sources if (pk := page_id_of(source)) is not None}


def frozen_passages(exchange: Exchange) -> list[Passage]:
    return [Passage.from_dict(data) for data in exchange.passages]


def text_shown(exchange: Exchange) -> str:
    """The answer as its visitor read it: without what the fact lock held back."""
    if not exchange.held_back:
        return exchange.answer
    # Reading facts takes a library that no start-up should wait for.
    from .text.fact_lock import FactLock

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
    for fact in sorted(exchange.held_back, key=lambda fact: fact["start"]):
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
