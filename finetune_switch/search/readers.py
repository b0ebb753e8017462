"""Check in a few queries which of many comparisons or visitors' questions a user may read.

A record may be read by those who may open all sources of its passages.
"""

from __future__ import annotations

import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Self, TypeVar

from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest

from finetune_switch.access import Asker
from finetune_switch.access.source_access import SourceAccess
from finetune_switch.access.visibility import page_id_of, page_model
from finetune_switch.models import Comparison, Exchange
from finetune_switch.passages import Source

# The number of the latest exchanges whose cited pages are offered as filters.
LATEST = 500

BATCH = 200
T = TypeVar("T")
Asked = Comparison | Exchange


class Reader:
    """A user who reads comparisons or exchanges. Each source is looked up once."""

    def __init__(self, user: Any, asker: Asker) -> None:
        self.user = user
        self.access = SourceAccess(asker)

    @classmethod
    def of(cls, request: HttpRequest) -> Self:
        return cls(request.user, Asker.from_request(request))

    def may_read(self, asked: Sequence[Asked]) -> set[uuid.UUID]:
        """Primary keys of the rows whose sources the reader may all open now."""
        by_site: dict[Any, list[Asked]] = defaultdict(list)
        for one in asked:
            by_site[one.site].append(one)
        readable = set()
        for site, rows in by_site.items():
            sources = {row.pk: _sources_of(row) for row in rows}
            self.access.look_up({s for found in sources.values() for s in found}, site)
            readable |= {pk for pk, found in sources.items() if self.access.are_open(found, site)}
        return readable

    def readable_ids(self, comparisons: QuerySet[Comparison]) -> list[uuid.UUID]:
        """Primary keys of the comparisons that the reader may read, checked in batches."""
        rows = (
            comparisons.select_related(None)
            .select_related("site")
            .only("site", "passages")
            .order_by("pk")
        )
        return [
            row.pk
            for batch in batched(rows.only("site", "passages").iterator(chunk_size=BATCH))
            for readable in [self.may_read(batch)]
            for row in batch
            if row.pk in readable
        ]


def batched(rows: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """The rows, in lists of at most ``size``."""
    iterator = iter(rows)
    while batch := list(islice(iterator, size)):
        yield batch


def _sources_of(asked: Asked) -> list[Source]:
    return [passage.source for passage in asked.frozen_passages]


class QuestionReader:
    """A user who reads visitors' questions."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def may_read(self, exchanges: Sequence[Exchange]) -> set[uuid.UUID]:
        """Primary keys of the exchanges that may be read, with all turns of their conversations."""
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
        """Primary keys of the readable exchanges whose answers cite a page."""
        # SQLite cannot query JSON lists, so rows are preselected by the text of the JSON.
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
        """Primary keys of the pages cited by the latest answers, most cited first.

        Only pages that the reader may open. ``wanted`` is a key to include even if not cited.
        """
        latest = Exchange.objects.of_visitors().exclude(citations=[]).order_by("-opened_at")
        counted: Counter[int] = Counter()
        for row in latest.only("passages", "citations")[:LATEST]:
            counted.update(page_ids(cited_sources(row)))
        if str(wanted).isdecimal() and len(str(wanted)) < 10:
            counted.setdefault(int(wanted), 0)
        label = page_model()._meta.label_lower
        access = self._reader.access
        sources = {pk: Source("", "", label, str(pk)) for pk, _times in counted.most_common()}
        access.look_up(sources.values(), None)
        return [pk for pk, source in sources.items() if access.get(source, None) is not None]


def cited_sources(exchange: Exchange) -> list[Source]:
    """The sources that an answer cites, each once, in the order of the passages."""
    sources = {
        (passage.source.model, passage.source.object_id): passage.source
        for passage in exchange.frozen_passages
        if passage.number in exchange.citations
    }
    return list(sources.values())


def page_ids(sources: Iterable[Source]) -> set[int]:
    """Primary keys of the pages among these sources."""
    return {pk for source in sources if (pk := page_id_of(source)) is not None}
