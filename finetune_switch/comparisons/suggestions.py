"""Questions to begin with, while one types: asked lately, saved, or searched for by visitors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain, zip_longest
from typing import Any

from django.apps import apps

from finetune_switch.admin.permissions import may_see_visitors_questions
from finetune_switch.models import Comparison, Question

from .reading import ComparisonReader

MOST = 10
# How far back it is looked for questions that the reader may read.
LATEST = 50
RECENT, SAVED, SEARCHED = "recent", "saved", "searched"


@dataclass(frozen=True)
class Suggestion:
    text: str
    kind: str
    saved: int | None = None
    """The saved question's primary key."""

    def as_dict(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}


def suggest(words: str, reader: ComparisonReader) -> list[Suggestion]:
    """At most ten that contain the words, each text once, the three kinds taking turns."""
    words = words.replace("\x00", "").strip()
    searched = list(_searched(words)) if may_see_visitors_questions(reader.user) else []
    kinds = [_saved(words), _recent(words, reader), searched]
    # Of two with one text the saved one stays, which begins with its pages and its answer.
    first = {one.text.casefold(): one for kind in reversed(kinds) for one in reversed(kind)}
    turns = filter(None, chain.from_iterable(zip_longest(*kinds)))
    return [one for one in turns if first[one.text.casefold()] is one][:MOST]


def _saved(words: str) -> list[Suggestion]:
    rows = Question.objects.filter(text__icontains=words)[:MOST]
    return [Suggestion(row.text, SAVED, row.pk) for row in rows]


def _recent(words: str, reader: ComparisonReader) -> list[Suggestion]:
    rows = Comparison.objects.filter(question__icontains=words).select_related("site")[:LATEST]
    comparisons = list(rows)
    readable = reader.may_read(comparisons)
    texts = dict.fromkeys(row.question for row in comparisons if row.pk in readable)
    return [Suggestion(text, RECENT) for text in list(texts)[:MOST]]


def _searched(words: str) -> Iterator[Suggestion]:
    """What visitors searched for most, where Wagtail's own log of that is installed."""
    if not apps.is_installed("wagtail.contrib.search_promotions"):
        return
    from wagtail.contrib.search_promotions.models import Query

    for row in Query.get_most_popular().filter(query_string__icontains=words)[:MOST]:
        yield Suggestion(row.query_string, SEARCHED)
