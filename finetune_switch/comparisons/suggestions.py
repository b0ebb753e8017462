"""Suggestions for the question field: saved, recent, and searched for by visitors."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain, zip_longest
from typing import Any

from django.apps import apps

from finetune_switch.admin.permissions import may_see_visitors_questions
from finetune_switch.models import Comparison, Question

from .reading import ComparisonReader

MOST = 10
# The number of latest comparisons that are searched for readable questions.
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
    """At most ten distinct questions that contain the words, alternating between the kinds."""
    words = words.replace("\x00", "").strip()
    searched = list(_searched(words)) if may_see_visitors_questions(reader.user) else []
    kinds = [_saved(words), _recent(words, reader), searched]
    # A saved question wins over others with its text: it brings its pages and reference answer.
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
    """The most popular searches, where Wagtail's search promotions are installed."""
    if not apps.is_installed("wagtail.contrib.search_promotions"):
        return
    from wagtail.contrib.search_promotions.models import Query

    for row in Query.get_most_popular().filter(query_string__icontains=words)[:MOST]:
        yield Suggestion(row.query_string, SEARCHED)
