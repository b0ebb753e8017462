"""Open a comparison, save its question, and decide who may read it and see its names."""

import random
from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib.auth.models import Group
from django.db import transaction
from django.utils.translation import gettext as _
from wagtail.log_actions import log
from wagtail.models import Site

from finetune_switch.access import Asker
from finetune_switch.access.source_access import SourceAccess
from finetune_switch.access.visibility import page_id_of
from finetune_switch.exceptions import InvalidQuestion
from finetune_switch.models import (
    ChatBackend,
    Column,
    Comparison,
    Exchange,
    Grade,
    Outcome,
    Preference,
    Question,
    Reveal,
    Switch,
)
from finetune_switch.models.comparison import LETTERS
from finetune_switch.models.exchange import clean_question
from finetune_switch.passages import Passage
from finetune_switch.search import retrieve_for
from finetune_switch.text.citations import without_citations

from .reading import ANSWERED

FEWEST, MOST = 2, len(LETTERS)


def open_comparison(
    question: str,
    *,
    backends: Sequence[ChatBackend],
    site: Site | None,
    locale: str,
    user: Any,
    as_group: Group | None = None,
    is_blind: bool = True,
    retrieval: bool = True,
    limit: int | None = None,
    indexes: Sequence[str] | None = None,
    instructions: str = "",
    saved_question: Question | None = None,
) -> Comparison:
    """Retrieve once, freeze the passages, and create a column for each backend. Asks no model.

    The asker is an anonymous visitor, or a member of ``as_group``. ``limit`` and ``indexes``
    default to those of the site's switch, ``instructions`` to each backend's own. Blind columns
    are shuffled.

    Raises :class:`~finetune_switch.exceptions.InvalidQuestion` where the question is empty or there
    are not two to four different backends, and
    :class:`~finetune_switch.exceptions.BackendError` where the site's pages cannot be searched.
    """
    question = clean_question(question)
    chosen = list({backend.pk: backend for backend in backends}.values())
    if not FEWEST <= len(chosen) <= MOST:
        raise InvalidQuestion(
            _("Choose %(fewest)d to %(most)d backends to compare; %(chosen)d were chosen.")
            % {"fewest": FEWEST, "most": MOST, "chosen": len(chosen)}
        )
    switch = Switch.for_question(site)
    passages: list[Passage] = []
    if retrieval:
        passages = retrieve_for(
            switch,
            question,
            asker=asker_of(as_group),
            locale=locale,
            indexes=indexes,
            limit=limit,
        )
    if is_blind:
        random.SystemRandom().shuffle(chosen)
    with transaction.atomic():
        comparison = Comparison.objects.create(
            site=switch.site_or_none,
            locale=locale,
            question=question,
            saved_question=saved_question,
            user=user,
            as_group=as_group,
            is_blind=is_blind,
            retrieval=retrieval,
            instructions=instructions,
            passages=[passage.as_dict() for passage in passages],
        )
        Column.objects.bulk_create(
            Column(
                comparison=comparison, position=position, backend=backend, label=str(backend)[:255]
            )
            for position, backend in enumerate(chosen)
        )
    return comparison


def asker_of(group: Group | None) -> Asker:
    """A member of the group, or an anonymous visitor where there is none."""
    return Asker.anonymous() if group is None else Asker.member_of(group)


def may_read(asker: Asker, comparison: Comparison) -> bool:
    """Whether the asker may now open every page that the answers were made from."""
    sources = [passage.source for passage in comparison.frozen_passages]
    return SourceAccess(asker).are_open(sources, comparison.site)


def save_question(comparison: Comparison, user: Any) -> None:
    """Save the question, once, with its pages and a reference answer.

    Its pages are those that an answer cites or is supported by. Its reference answer is the first
    correction by ``user``, else the first answer that ``user`` graded as correct.
    """
    with transaction.atomic():
        row = Comparison.objects.select_for_update().get(pk=comparison.pk)
        if row.saved_question is None:
            columns = list(row.columns.all())
            exchanges = exchanges_of(columns)
            given = [exchanges[c.exchange_id] for c in columns if c.exchange_id in exchanges]
            row.saved_question = Question.objects.create(
                text=row.question,
                page_ids=_pages_used(row, given),
                reference_answer=without_citations(_best_answer(given, user)),
                created_by=user,
            )
            row.save(update_fields=["saved_question"])
            log(instance=row.saved_question, action="wagtail.create", user=user)
    comparison.saved_question = row.saved_question


def _pages_used(comparison: Comparison, exchanges: Sequence[Exchange]) -> list[int]:
    # Imported here because compiling its patterns takes 0.2 s.
    from finetune_switch.text.grounding import assess

    passages = comparison.frozen_passages
    used: set[int | None] = set()
    for exchange in exchanges:
        used.update(exchange.citations)
        sentences = assess(exchange.answer, passages, comparison.locale)
        used.update(sentence.passage for sentence in sentences)
    pages = [page_id_of(passage.source) for passage in passages if passage.number in used]
    return list(dict.fromkeys(pk for pk in pages if pk is not None))


def _best_answer(exchanges: Sequence[Exchange], user: Any) -> str:
    grades = Grade.objects.filter(exchange__in=exchanges, judge=user, is_current=True)
    own = {grade.exchange_id: grade for grade in grades}
    graded = [(exchange, own[exchange.pk]) for exchange in exchanges if exchange.pk in own]
    corrected = [grade.correction for _exchange, grade in graded if grade.correction]
    correct = [exchange.answer for exchange, grade in graded if grade.value == Grade.Value.CORRECT]
    return next(iter(corrected + correct), "")


def exchanges_of(columns: Iterable[Column]) -> dict[Any, Exchange]:
    return Exchange.objects.in_bulk([column.exchange_id for column in columns])


def is_settled(columns: Iterable[Column]) -> bool:
    """Whether no column is still being answered.

    A column whose backend was deleted before it was asked counts as settled.
    """
    columns = list(columns)
    exchanges = exchanges_of(columns)
    return all(
        exchanges[column.exchange_id].current_outcome != Outcome.OPEN
        if column.exchange_id in exchanges
        else column.backend is None
        for column in columns
    )


def answered(columns: Iterable[Column]) -> list[Column]:
    """The columns with a whole answer. One that failed or was broken off cannot be judged."""
    columns = list(columns)
    exchanges = exchanges_of(columns)
    return [
        column
        for column in columns
        if column.exchange_id in exchanges and exchanges[column.exchange_id].outcome in ANSWERED
    ]


def may_reveal(comparison: Comparison, user: Any) -> bool:
    """Whether the user has stated a preference, or knows the names already."""
    judged = Preference.objects.filter(comparison=comparison, judge=user, is_current=True)
    return comparison.tells_names_to(user) or judged.exists()


def reveal(comparison: Comparison, user: Any) -> bool:
    """Show the user the names from now on. Returns whether they may know them."""
    if not may_reveal(comparison, user):
        return False
    if comparison.is_blind:
        Reveal.objects.get_or_create(comparison=comparison, judge=user)
    return True
