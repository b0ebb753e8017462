"""What visitors asked and got no answer to: grouped by similarity, and what each group lacked."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy, override
from wagtail.models import Site

from finetune_switch.access import Asker
from finetune_switch.exceptions import BackendError, EmbeddingError
from finetune_switch.models import Exchange, Switch
from finetune_switch.passages import Passage
from finetune_switch.search import retrieve
from finetune_switch.search.readers import frozen_passages
from finetune_switch.search.vectors import vectors_of
from finetune_switch.text.words import content_words, language_name, stem_overlap, words

if TYPE_CHECKING:
    pass

# As many as are read and compared with each other for one page: newest first.
MOST_QUESTIONS = 1000
# The cosine similarity of two groups' questions on average. Of the pairs of questions to one end in
# tests/visitor_questions/test_grouping.py, two thirds come together so, and none of the others; at
# 0.5, three quarters do, and "Are dogs allowed?" with "Are dogs allowed on the boat?".
ALIKE = 0.55
# Of a group, so many are looked at to say what was missing.
LOOKED_AT = 20
BROADER = 10
ANYTHING = -1.0
# The share of the question's words that a passage has, and its cosine similarity, added up: those
# that answer a question reach it, those that have a word by chance do not. Or the second alone.
SPEAKS_OF = 0.85
MEANS_THE_SAME = 0.6


class Missing(models.TextChoices):
    """Why there was no answer."""

    NO_PAGE = "no_page", gettext_lazy("No page")
    NOT_FOUND = "not_found", gettext_lazy("Page not found")
    IGNORED = "ignored", gettext_lazy("Page found but ignored")
    UNKNOWN = "unknown", gettext_lazy("Not known")


@dataclass
class Group:
    """Questions that mean much the same, newest first."""

    site: Site | None
    exchanges: list[Exchange]

    @property
    def wordings(self) -> list[tuple[Exchange, int]]:
        """Each wording with how often it came, most often first: the newest that has it."""
        counted: Counter[str] = Counter()
        newest: dict[str, Exchange] = {}
        for exchange in self.exchanges:
            plain = _plain(asked(exchange))
            counted[plain] += 1
            newest.setdefault(plain, exchange)
        found = [(newest[plain], times) for plain, times in counted.items()]
        # Of those that came as often, whole questions rather than a search's words.
        return sorted(found, key=lambda one: (-one[1], not asked(one[0]).endswith("?")))

    @property
    def typical(self) -> Exchange:
        """The newest with the commonest wording."""
        return self.wordings[0][0]

    @property
    def last_asked(self) -> datetime:
        return self.exchanges[0].opened_at

    @property
    def locales(self) -> list[str]:
        return sorted({exchange.locale for exchange in self.exchanges if exchange.locale})


@dataclass(frozen=True)
class Grouping:
    groups: list[Group]
    questions: int
    """How many are in the groups."""
    left_out: int
    """How many older ones are not, since there are too many."""
    error: str = ""
    """Why they are grouped by their words alone, where they are."""


@dataclass
class Lack:
    """What one group lacked."""

    kinds: Counter[Missing] = field(default_factory=Counter)
    pages: dict[Missing, Passage] = field(default_factory=dict)
    """By what was missing, the passage that speaks of the question most."""
    nearest: Passage | None = None
    """What is likest the question, whether it speaks of it or not."""


def asked(exchange: Exchange) -> str:
    """The question by itself: what a follow-up was made into."""
    return exchange.standalone_question or exchange.question


def group_unanswered(exchanges: QuerySet[Exchange]) -> Grouping:
    """These exchanges in groups of those that are alike, the largest group first.

    At most :data:`MOST_QUESTIONS`, those of each site by themselves. Where no vectors can be made,
    only those with the same words are together.
    """
    rows = list(
        exchanges.order_by("-opened_at", "pk")
        .select_related("site")
        .only("question", "standalone_question", "locale", "site", "opened_at")[:MOST_QUESTIONS]
    )
    total = len(rows) if len(rows) < MOST_QUESTIONS else exchanges.count()
    by_words: dict[tuple[Any, str], list[Exchange]] = defaultdict(list)
    for row in rows:
        by_words[row.site_id, _plain(asked(row))].append(row)
    error = ""
    try:
        vectors = vectors_of([asked(alike[0]) for alike in by_words.values()])
    except EmbeddingError as failure:
        vectors, error = {}, str(failure)
    by_site: dict[Any, list[list[Exchange]]] = defaultdict(list)
    for (site_id, _words), alike in by_words.items():
        by_site[site_id].append(alike)
    groups = [
        Group(found[0].site, sorted(found, key=lambda row: row.opened_at, reverse=True))
        for alike in by_site.values()
        for found in _by_similarity(alike, vectors)
    ]
    groups.sort(key=lambda group: (len(group.exchanges), group.last_asked), reverse=True)
    return Grouping(groups, len(rows), total - len(rows), error)


def what_was_missing(group: Group) -> Lack:
    """What the newest of a group lacked, by the passages that were recorded and those of today.

    Today's are looked for once, for the group's commonest question, without any threshold, and as
    an anonymous visitor.
    """
    ids = [exchange.pk for exchange in group.exchanges[:LOOKED_AT]]
    rows = Exchange.objects.filter(pk__in=ids).only(
        "question", "standalone_question", "locale", "passages"
    )
    lack = Lack()
    typical = group.typical
    try:
        today = find_broadly(typical)
    except BackendError:
        today = None
    speaking = most_telling(typical, today or ())
    lack.nearest = today[0] if today else None
    for row in rows:
        given = frozen_passages(row)
        sources = {(p.source.model, p.source.object_id) for p in given}
        page = most_telling(row, given)
        if page is not None:
            kind = Missing.IGNORED
        elif speaking is not None:
            page = speaking
            was_given = (page.source.model, page.source.object_id) in sources
            kind = Missing.IGNORED if was_given else Missing.NOT_FOUND
        else:
            kind = Missing.UNKNOWN if today is None else Missing.NO_PAGE
        lack.kinds[kind] += 1
        if page is not None:
            lack.pages.setdefault(kind, page)
        if lack.nearest is None and given:
            lack.nearest = given[0]
    return lack


def find_broadly(exchange: Exchange) -> list[Passage]:
    """What an anonymous visitor could find for a question today, however unlike it is.

    Raises :class:`~finetune_switch.exceptions.BackendError`.
    """
    with override(exchange.locale or settings.LANGUAGE_CODE):
        return retrieve(
            asked(exchange),
            asker=Asker.anonymous(),
            site=exchange.site,
            locale=exchange.locale,
            indexes=Switch.for_question(exchange.site).indexes,
            limit=BROADER,
            threshold=ANYTHING,
            each_source_once=True,
        )


def most_telling(exchange: Exchange, passages: Iterable[Passage]) -> Passage | None:
    """The passage that speaks of what was asked, and most of it; ``None`` where none does."""
    language = language_name(exchange.locale or settings.LANGUAGE_CODE)
    wanted = content_words(asked(exchange), language)
    best, most = None, 0.0
    for passage in passages:
        shared = stem_overlap(wanted, f"{passage.source.title} {passage.text}", language)
        tells = shared + passage.score
        if (tells >= SPEAKS_OF or passage.score >= MEANS_THE_SAME) and tells > most:
            best, most = passage, tells
    return best


def _plain(text: str) -> str:
    """A question's words, whatever their case and the signs between them."""
    return " ".join(words(text)) or text.strip()


def _by_similarity(
    alike: Sequence[list[Exchange]], vectors: dict[str, Any]
) -> Iterator[list[Exchange]]:
    """Those of the same words with those that are like them; what has no vector by itself."""
    import numpy as np

    from .clustering import average_linkage

    known = [same for same in alike if asked(same[0]) in vectors]
    yield from (same for same in alike if asked(same[0]) not in vectors)
    if known:
        stacked = np.stack([vectors[asked(same[0])] for same in known])
        for rows in average_linkage(stacked, ALIKE):
            yield [exchange for row in rows for exchange in known[row]]
