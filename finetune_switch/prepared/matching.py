"""Find the prepared answer to a question."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from django.db.models import Q
from django.http import HttpRequest
from wagtail.models import Site

from finetune_switch.access import Asker
from finetune_switch.access.addresses import Addresses
from finetune_switch.access.sites import current_request
from finetune_switch.access.visibility import pages_open_to
from finetune_switch.models import PreparedAnswer
from finetune_switch.models.prepared import split_lines
from finetune_switch.passages import Passage, Source
from finetune_switch.search.retrieval import locales_for
from finetune_switch.text.citations import parse_citations
from finetune_switch.text.words import plain

from .similarity import Row, similarity

Kind = PreparedAnswer.Kind

# Thai, Lao, Burmese, Japanese and Chinese are written without spaces between words.
_WITHOUT_SPACES = re.compile("[\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff]")


@dataclass(frozen=True)
class PreparedReply:
    """A prepared answer that this asker may read."""

    prepared_answer_id: int
    kind: str
    text: str
    passages: list[Passage]
    """The linked page as the only passage; empty without one."""


def find_prepared(
    question: str,
    *,
    asker: Asker,
    site: Site | None,
    locale: str,
    request: HttpRequest | None = None,
) -> PreparedReply | None:
    """The prepared answer to this question, on this site and in this language, if there is one.

    Fixed replies come before corrections; within each kind, matches by words come before those by
    similarity, most similar first. Answers whose page this asker may not open are skipped. One
    query where there are no prepared answers.
    """
    in_use = PreparedAnswer.objects.filter(Q(site=site) | Q(site__isnull=True), is_on=True)
    rows = map(Row._make, in_use.values_list(*Row._fields))
    every = [row._replace(vectors=bytes(row.vectors or b"")) for row in rows]
    for row in _fitting(question, _in_language(every, locale)):
        if row.page_id is None:
            return PreparedReply(row.pk, row.kind, row.answer.strip(), [])
        page = pages_open_to(asker, [str(row.page_id)], site=site).get(str(row.page_id))
        if page is not None:
            url = Addresses(site, request or current_request()).of(page)
            passage = Passage(
                number=1,
                text=page.title,
                score=1.0,
                source=Source(page.title, url, page._meta.label_lower, str(page.pk)),
                found_by=("prepared",),
            )
            return PreparedReply(row.pk, row.kind, _citing(row.answer.strip(), passage), [passage])
    return None


def _fitting(question: str, rows: Sequence[Row]) -> Iterator[Row]:
    """The answers that match the question, best first."""
    # Lazy, because the vector may need a request to a model server.
    alike = cache(lambda: similarity(question, rows))
    asked = plain(question)
    for kind in (Kind.FIXED, Kind.CORRECTION):
        some = [row for row in rows if row.kind == kind]
        yield from (row for row in some if has_phrase(asked, split_lines(row.words)))
        if any(row.vectors for row in some):
            like = [row for row in some if alike().get(row.pk, -1.0) >= row.threshold]
            yield from sorted(like, key=lambda row: -alike()[row.pk])


def has_phrase(asked: str, phrases: Sequence[str]) -> bool:
    """Whether a :func:`plain` text contains one of the phrases as whole words."""
    return any(_stands_in(asked, plain(phrase)) for phrase in phrases)


def _stands_in(text: str, phrase: str) -> bool:
    if not phrase:
        return False
    if _WITHOUT_SPACES.search(phrase):
        return phrase.replace(" ", "") in text.replace(" ", "")
    return f" {phrase} " in f" {text} "


def _in_language(rows: list[Row], locale: str) -> list[Row]:
    if not locale or all(row.locale__language_code == locale for row in rows):
        return rows
    ids = locales_for(locale)
    return rows if ids is None else [row for row in rows if row.locale_id in ids]


def _citing(text: str, passage: Passage) -> str:
    return text if parse_citations(text, [passage]) else f"{text} [{passage.number}]"
