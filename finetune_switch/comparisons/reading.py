"""What a reader may see of many comparisons, in a few queries."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.db.models import Exists, OuterRef, Q, QuerySet

from finetune_switch.models import Column, Comparison, Exchange, Grade, Outcome, Preference, Reveal
from finetune_switch.search.readers import Reader

T = TypeVar("T")

FAILURES = (Outcome.FAILED, Outcome.CUT_OFF, Outcome.INTERRUPTED)
# Only such an answer can be judged, and counts.
ANSWERED = (Outcome.COMPLETE, Outcome.NO_ANSWER)


@dataclass(frozen=True)
class SeenAnswer:
    """A column as its reader may see it. ``name`` is empty where it is hidden."""

    column: Column
    name: str
    exchange: Exchange | None
    grades: Sequence[Grade]

    @property
    def is_answered(self) -> bool:
        return self.exchange is not None and self.exchange.outcome in ANSWERED

    @property
    def has_failed(self) -> bool:
        return self.exchange is not None and self.exchange.current_outcome in FAILURES


@dataclass(frozen=True)
class Seen:
    """A comparison as its reader may see it: the question, and the answers where ``may_read``."""

    comparison: Comparison
    may_read: bool
    knows_names: bool = False
    sees_others: bool = False
    """Whether other judges' grades and preferences are shown: after the reader's own."""
    answers: Sequence[SeenAnswer] = ()
    preferences: Sequence[Preference] = ()
    judges: frozenset[Any] = field(default_factory=frozenset)
    """Everyone who has judged, also where the reader may not see their judgements."""


class ComparisonReader(Reader):
    """A user who reads comparisons, and what they may see of each."""

    def with_known_names(self) -> Q:
        """The comparisons of which the reader may know who answered."""
        seen = Reveal.objects.filter(comparison=OuterRef("pk"), judge_id=self.user.pk)
        return Q(is_blind=False) | Q(Exists(seen))

    def with_others_words(self) -> Q:
        """The comparisons in which the reader may see other judges' grades and preferences."""
        own = {"judge_id": self.user.pk, "is_current": True}
        preferred = Preference.objects.filter(comparison=OuterRef("pk"), **own)
        graded = Grade.objects.filter(exchange__columns__comparison=OuterRef("pk"), **own)
        return self.with_known_names() | Q(Exists(preferred)) | Q(Exists(graded))

    def see(
        self, comparisons: Sequence[Comparison], exchanges: QuerySet[Exchange] | None = None
    ) -> list[Seen]:
        """What the reader may see of each, in a constant number of queries.

        ``exchanges`` may defer fields that are not used.
        """
        readable = self.may_read(comparisons)
        rows = [row for row in comparisons if row.pk in readable]
        known = self._known_names(rows)
        columns = grouped(
            Column.objects.filter(comparison__in=rows)
            .select_related("backend")
            .order_by("position"),
            "comparison_id",
        )
        ids = [column.exchange_id for found in columns.values() for column in found]
        if exchanges is None:
            exchanges = Exchange.objects.defer("passages", "citations")
        answered = exchanges.in_bulk(ids)
        grades = grouped(
            Grade.objects.filter(exchange__in=answered, is_current=True)
            .select_related("judge")
            .order_by("judged_at", "pk"),
            "exchange_id",
        )
        preferences = grouped(
            Preference.objects.filter(comparison__in=rows, is_current=True)
            .select_related("judge", "column")
            .order_by("judged_at", "pk"),
            "comparison_id",
        )
        return [
            self._seen(row, columns, answered, grades, preferences, row.pk in known)
            if row.pk in readable
            else Seen(row, may_read=False)
            for row in comparisons
        ]

    def _known_names(self, rows: Sequence[Comparison]) -> set[uuid.UUID]:
        seen = Reveal.objects.filter(comparison__in=rows, judge_id=self.user.pk)
        revealed = set(seen.values_list("comparison_id", flat=True))
        return {row.pk for row in rows if not row.is_blind or row.pk in revealed}

    def _seen(
        self,
        row: Comparison,
        columns: dict[Any, list[Column]],
        answered: dict[Any, Exchange],
        grades: dict[Any, list[Grade]],
        preferences: dict[Any, list[Preference]],
        knows_names: bool,
    ) -> Seen:
        own_columns = columns.get(row.pk, [])
        words: list[Any] = list(preferences.get(row.pk, []))
        for column in own_columns:
            words += grades.get(column.exchange_id, [])
        sees_others = knows_names or any(self._is_own(word) for word in words)

        def visible(found: list[T]) -> list[T]:
            return [word for word in found if sees_others or self._is_own(word)]

        return Seen(
            row,
            may_read=True,
            knows_names=knows_names,
            sees_others=sees_others,
            answers=[
                SeenAnswer(
                    column=column,
                    name=str(column.backend or column.label) if knows_names else "",
                    exchange=answered.get(column.exchange_id),
                    grades=visible(grades.get(column.exchange_id, [])),
                )
                for column in own_columns
            ],
            preferences=visible(preferences.get(row.pk, [])),
            # Judgements of deleted accounts cannot be grouped, so each counts as a judge.
            judges=frozenset(word.judge_id or -word.pk for word in words),
        )

    def _is_own(self, word: Any) -> bool:
        return word.judge_id is not None and word.judge_id == self.user.pk


def grouped(rows: Iterable[Any], name: str) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = defaultdict(list)
    for row in rows:
        groups[getattr(row, name)].append(row)
    return groups
