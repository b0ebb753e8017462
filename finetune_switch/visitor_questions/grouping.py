"""Unanswered questions of visitors, grouped by similarity, and why each had no answer."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy, override
from wagtail.models import Site

from finetune_switch.access import Asker
from finetune_switch.exceptions import BackendError, EmbeddingError
from finetune_switch.models import Exchange, Switch
from finetune_switch.passages import Passage
from finetune_switch.search import retrieve_for
from finetune_switch.search.vectors import Thresholds, thresholds, vectors_of
from finetune_switch.text.words import content_words, language_name, stem_overlap, words

# The newest unanswered questions that one page reads and compares.
MOST_QUESTIONS = 1000
# The questions of a group that are examined for what was missing.
LOOKED_AT = 20
BROADER = 10
ANYTHING = -1.0


class Missing(models.TextChoices):
    """Why there was no answer."""

    NO_PAGE = "no_page", gettext_lazy("No page")
    NOT_FOUND = "not_found", gettext_lazy("Page not found")
    IGNORED = "ignored", gettext_lazy("Page found but ignored")
    UNKNOWN = "unknown", gettext_lazy("Not known")


@dataclass
class Group:
    """Questions with nearly the same meaning, newest first."""

    site: Site | None
    exchanges: list[Exchange]

    @property
    def wordings(self) -> list[tuple[Exchange, int]]:
        """The newest exchange of each wording, and how often it was asked, most frequent first."""
        counted: Counter[str] = Counter()
        newest: dict[str, Exchange] = {}
        for exchange in self.exchanges:
            plain = _plain(asked(exchange))
            counted[plain] += 1
            newest.setdefault(plain, exchange)
        found = [(newest[plain], times) for plain, times in counted.items()]
        # Among equally frequent wordings, questions come before search terms.
        return sorted(found, key=lambda one: (-one[1], not asked(one[0]).endswith("?")))

    @property
    def typical(self) -> Exchange:
        """The newest exchange with the most frequent wording."""
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
    """How many older ones exceed :data:`MOST_QUESTIONS`."""
    error: str = ""
    """Why they are grouped only by identical words, if so."""


@dataclass
class Lack:
    kinds: Counter[Missing] = field(default_factory=Counter)
    pages: dict[Missing, Passage] = field(default_factory=dict)
    """For each kind, the passage that is most about the question."""
    nearest: Passage | None = None
    """The most similar passage, even if it is not about the question."""


def asked(exchange: Exchange) -> str:
    """The question, or the standalone question that a follow-up was rewritten to."""
    return exchange.standalone_question or exchange.question


def group_unanswered(exchanges: QuerySet[Exchange]) -> Grouping:
    """Group exchanges with similar questions, separately for each site; the largest first.

    At most :data:`MOST_QUESTIONS`. Where embedding fails, only identical words are grouped.
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
    """Why the newest questions of a group had no answer.

    Compares the recorded passages with those found today for the group's most frequent question,
    without a threshold, as an anonymous visitor.
    """
    ids = [exchange.pk for exchange in group.exchanges[:LOOKED_AT]]
    rows = Exchange.objects.filter(pk__in=ids).only(
        "question", "standalone_question", "locale", "passages"
    )
    lack, least = Lack(), thresholds()
    typical = group.typical
    try:
        today = find_broadly(typical)
    except BackendError:
        today = None
    speaking = most_telling(typical, today or (), least)
    lack.nearest = today[0] if today else None
    for row in rows:
        given = row.frozen_passages
        sources = {(p.source.model, p.source.object_id) for p in given}
        page = most_telling(row, given, least)
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
    """What an anonymous visitor would find for a question today, without a threshold.

    Raises :class:`~finetune_switch.exceptions.BackendError`.
    """
    with override(exchange.locale or settings.LANGUAGE_CODE):
        return retrieve_for(
            Switch.for_question(exchange.site),
            asked(exchange),
            asker=Asker.anonymous(),
            locale=exchange.locale,
            limit=BROADER,
            threshold=ANYTHING,
            each_source_once=True,
        )


def most_telling(
    exchange: Exchange, passages: Iterable[Passage], least: Thresholds
) -> Passage | None:
    """The passage that is most about the question; ``None`` where none is."""
    language = language_name(exchange.locale or settings.LANGUAGE_CODE)
    wanted = content_words(asked(exchange), language)
    best, most = None, 0.0
    for passage in passages:
        shared = stem_overlap(wanted, f"{passage.source.title} {passage.text}", language)
        tells = shared + passage.score
        is_about = tells >= least.speaks_of or passage.score >= least.same_meaning
        if is_about and tells > most:
            best, most = passage, tells
    return best


def _plain(text: str) -> str:
    """A question's words in lower case, without punctuation."""
    return " ".join(words(text)) or text.strip()


def _by_similarity(
    alike: Sequence[list[Exchange]], vectors: dict[str, Any]
) -> Iterator[list[Exchange]]:
    """Merge groups with similar vectors; a group without a vector stays alone."""
    import numpy as np

    from .clustering import average_linkage

    known = [same for same in alike if asked(same[0]) in vectors]
    yield from (same for same in alike if asked(same[0]) not in vectors)
    if known:
        stacked = np.stack([vectors[asked(same[0])] for same in known])
        for rows in average_linkage(stacked, thresholds().same_subject):
            yield [exchange for row in rows for exchange in known[row]]
