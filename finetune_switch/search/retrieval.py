"""Search the indexes for passages and pages that the asker may open."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

from django.conf import settings
from django.core.paginator import Page, Paginator
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from wagtail.models import AbstractPage, Locale, Site

from finetune_switch import adapters
from finetune_switch.access import Asker
from finetune_switch.access.addresses import Addresses, title_of
from finetune_switch.access.sites import current_request, site_language
from finetune_switch.access.source_access import SourceAccess
from finetune_switch.adapters import Scope, SearchableIndex
from finetune_switch.backends.embeddings.question_vectors import each_vector_once
from finetune_switch.exceptions import BackendError
from finetune_switch.models import Switch
from finetune_switch.passages import Hit, Passage, Source
from finetune_switch.text.excerpts import excerpt

logger = logging.getLogger("finetune_switch.retrieval")

OWN_INDEX = "pages"
# The asker may not open all hits of an index, so more hits than wanted are requested, in these
# multiples of the limit, until enough are open.
SURPLUS = (2, 8, 64)
# The results of a search: ten pages of ten.
MOST_FOUND = 100
# Texts of a page that follow each other and make one passage.
MOST_JOINED = 3


def retrieve(
    question: str,
    *,
    asker: Asker,
    site: Site | None = None,
    locale: str | None = None,
    indexes: Sequence[str | SearchableIndex] = (),
    limit: int = 5,
    threshold: float | None = None,
    each_source_once: bool = False,
    request: HttpRequest | None = None,
) -> list[Passage]:
    """The passages most similar to a question, best first, at most ``limit``.

    Repeated texts are left out; with ``each_source_once``, only the best passage of each page is
    returned. ``indexes`` are aliases or indexes; by default the site's own index or, without one,
    all others. ``threshold`` is the least cosine similarity of a passage that has few of the
    question's words, from 0 to 1; by default that of the index's embedding model. Sources lead to
    ``site``; those on the site of ``request``, by default the current one, have paths without a
    host.

    Pages that the asker may not open now (not live, private, of another site) are left out, even if
    an index returns them. So are pages in other languages than ``locale``, if the site has pages in
    it. Raises :class:`~finetune_switch.exceptions.BackendError` if an index cannot be searched.
    """
    retrieval = Retrieval(
        question,
        asker=asker,
        site=site,
        locale=locale,
        indexes=indexes,
        threshold=threshold,
        request=request,
    )
    return retrieval.passages(limit, each_source_once=each_source_once)


def retrieve_for(
    switch: Switch,
    question: str,
    *,
    asker: Asker,
    locale: str | None,
    indexes: Sequence[str | SearchableIndex] | None = None,
    limit: int | None = None,
    threshold: float | None = None,
    each_source_once: bool = False,
    request: HttpRequest | None = None,
) -> list[Passage]:
    """Like :func:`retrieve`, with the site and the retrieval settings of a switch.

    ``indexes``, ``limit`` and ``threshold`` override the switch's, unless ``None``.
    """
    retrieval = Retrieval.for_switch(
        switch,
        question,
        asker=asker,
        locale=locale,
        indexes=indexes,
        threshold=threshold,
        request=request,
    )
    return retrieval.passages(limit or switch.passages, each_source_once=each_source_once)


@dataclass(frozen=True)
class SearchResult:
    """A page or other object found by a search."""

    source: Source
    score: float
    excerpt: SafeString
    """The matching part of its best passage as safe HTML, with the words in ``<mark>``."""
    found_by: tuple[str, ...]


class Retrieval:
    """The hits of one question, available as passages and as pages of results.

    The arguments are those of :func:`retrieve`. The indexes are searched on first use, and again
    only if more hits are needed.
    """

    def __init__(
        self,
        question: str,
        *,
        asker: Asker,
        site: Site | None = None,
        locale: str | None = None,
        indexes: Sequence[str | SearchableIndex] = (),
        threshold: float | None = None,
        request: HttpRequest | None = None,
    ) -> None:
        self.question = question
        self.locale = site_language(locale) if locale else locale
        locale_ids = locales_for(locale)
        scope = Scope(
            site_id=site.pk if site is not None else None,
            locale_ids=locale_ids,
            include_restricted=asker != Asker.anonymous(),
        )
        self._search = _Search(question, _chosen(indexes), scope, threshold)
        self._site = site
        self._access = SourceAccess(asker, locale_ids=locale_ids)
        self._addresses = Addresses(site, request or current_request())

    @classmethod
    def for_switch(
        cls,
        switch: Switch,
        question: str,
        *,
        asker: Asker,
        locale: str | None,
        indexes: Sequence[str | SearchableIndex] | None = None,
        threshold: float | None = None,
        request: HttpRequest | None = None,
    ) -> Self:
        """The retrieval for a question on the switch's site; see :func:`retrieve_for`."""
        return cls(
            question,
            asker=asker,
            site=switch.site_or_none,
            locale=locale,
            indexes=switch.indexes if indexes is None else indexes,
            threshold=switch.similarity_threshold if threshold is None else threshold,
            request=request,
        )

    def passages(self, limit: int, *, each_source_once: bool = False) -> list[Passage]:
        """The best passages, at most ``limit``; see :func:`retrieve`."""
        passages: list[Passage] = []
        with each_vector_once():
            for surplus in SURPLUS:
                hits = self._search.best(limit * surplus)
                passages = self._open_passages(hits, limit, each_source_once)
                if len(passages) == limit or self._search.is_exhausted:
                    break
        return passages

    def _open_passages(
        self, hits: Sequence[Hit], limit: int, each_source_once: bool
    ) -> list[Passage]:
        """Passages of the hits that the asker may open, each text or each source once.

        Texts that follow each other on their page are one passage, at the place of the best.
        """
        found: dict[Any, _Found] = {}
        for some in _by(limit, hits):
            self._access.look_up(some, self._site)
            for hit in some:
                text = hit.text.replace("\x00", "").strip()
                source = self._access.get(hit, self._site)
                key = (hit.model, hit.object_id) if each_source_once else text
                if source is None or key in found or (title := title_of(source)) is None:
                    continue
                neighbour = next((one for one in found.values() if one.is_beside(hit)), None)
                if neighbour is not None and not each_source_once:
                    neighbour.texts[hit.position] = text
                    continue
                if len(found) == limit:
                    return [one.passage(number) for number, one in enumerate(found.values(), 1)]
                url = self._addresses.of(source, hit.anchor)
                found[key] = _Found(hit, title, url, {hit.position: text})
        return [one.passage(number) for number, one in enumerate(found.values(), 1)]

    def results(
        self, page: int | str | None = 1, *, per_page: int = 10, most: int = MOST_FOUND
    ) -> Page:
        """One page of :class:`SearchResult`; see :func:`search`."""
        pages = Paginator(self.passages(most, each_source_once=True), per_page)
        shown = pages.get_page(page)
        language = self.locale or get_language() or settings.LANGUAGE_CODE
        results = [
            SearchResult(
                passage.source,
                passage.score,
                excerpt(passage.text, self.question, language=language),
                passage.found_by,
            )
            for passage in shown.object_list
        ]
        return Page(results, shown.number, pages)


def search(
    question: str,
    *,
    asker: Asker | None = None,
    site: Site | None = None,
    locale: str | None = None,
    indexes: Sequence[str] = (),
    threshold: float | None = None,
    page: int | str | None = 1,
    per_page: int = 10,
    most: int = MOST_FOUND,
    request: HttpRequest | None = None,
) -> Page:
    """One page of search results, without asking a model.

    Returns a :class:`django.core.paginator.Page` of :class:`SearchResult`, each source once and at
    most ``most`` in all. A ``page`` out of range gives the nearest one. The other arguments are
    those of :func:`retrieve`; ``asker`` defaults to an anonymous visitor.
    """
    if not question.strip():
        return Page([], 1, Paginator([], per_page))
    retrieval = Retrieval(
        question,
        asker=asker or Asker.anonymous(),
        site=site,
        locale=locale or get_language() or settings.LANGUAGE_CODE,
        indexes=indexes,
        threshold=threshold,
        request=request,
    )
    return retrieval.results(page, per_page=per_page, most=most)


def similar_pages(
    page: AbstractPage, *, limit: int = 5, asker: Asker | None = None, site: Site | None = None
) -> list[AbstractPage]:
    """Pages similar to this one, most similar first; empty if it is not in the index.

    Only pages in its language that the asker may open now. ``asker`` defaults to an anonymous
    visitor, and ``site`` to the page's own site.
    """
    index = adapters.indexes().get(OWN_INDEX)
    if index is None or not hasattr(index, "like"):
        return []
    site = site or page.get_site()
    scope = Scope(site.pk if site else None, frozenset({page.locale_id}))
    access = SourceAccess(asker or Asker.anonymous(), locale_ids=scope.locale_ids)
    itself = {page.pk, page.alias_of_id} - {None}
    found: dict[int, AbstractPage] = {}
    for some in _by(4 * limit, index.like(page, limit=MOST_FOUND, scope=scope)):
        access.look_up(some, site)
        for hit in some:
            other: Any = access.get(hit, site)
            if other is None:
                continue
            if other.pk not in itself and other.alias_of_id not in itself:
                found.setdefault(other.pk, other)
        if len(found) >= limit:
            break
    return list(found.values())[:limit]


@dataclass(frozen=True)
class _Found:
    """A hit, the title and address of its object, and the texts of the hits around it."""

    hit: Hit
    title: str
    url: str
    texts: dict[int | None, str]

    def is_beside(self, hit: Hit) -> bool:
        """Whether a hit of the same object comes just before or after these texts."""
        is_same = (hit.model, hit.object_id) == (self.hit.model, self.hit.object_id)
        if hit.position is None or not is_same or len(self.texts) >= MOST_JOINED:
            return False
        return bool({hit.position - 1, hit.position + 1} & self.texts.keys())

    def passage(self, number: int) -> Passage:
        hit = self.hit
        return Passage(
            number=number,
            text="\n\n".join(self.texts[place] for place in sorted(self.texts, key=_place)),
            score=_score(hit),
            source=Source(
                title=self.title,
                url=self.url,
                model=hit.model,
                object_id=hit.object_id,
            ),
            index=hit.index,
            found_by=hit.found_by,
        )


def _place(position: int | None) -> int:
    return position or 0


class _Search:
    """The search of several indexes, each until it has no more hits."""

    def __init__(
        self,
        question: str,
        indexes: Sequence[SearchableIndex],
        scope: Scope,
        threshold: float | None,
    ) -> None:
        self.question = question
        self.scope = scope
        self.threshold = threshold
        self._hits: dict[str, list[Hit]] = {}
        self._open = {index.alias: index for index in indexes}

    @property
    def is_exhausted(self) -> bool:
        return not self._open

    def best(self, limit: int) -> list[Hit]:
        """The hits of all indexes, best first. Several indexes are merged by relevance."""
        for alias, index in list(self._open.items()):
            if len(self._hits.get(alias, ())) >= limit:
                continue
            found = self._ask(index, limit)
            self._hits[alias] = useful = [hit for hit in found if self._is_useful(hit)]
            if len(found) < limit or len(useful) < len(found):
                del self._open[alias]
        every = [hit for hits in self._hits.values() for hit in hits]
        if sum(map(bool, self._hits.values())) > 1:
            every.sort(key=lambda hit: -hit.relevance)
        return every

    def _is_useful(self, hit: Hit) -> bool:
        return self.threshold is None or "text" in hit.found_by or _score(hit) >= self.threshold

    def _ask(self, index: SearchableIndex, limit: int) -> Sequence[Hit]:
        try:
            return index.search(
                self.question, limit=limit, scope=self.scope, threshold=self.threshold
            )
        except BackendError:
            raise
        except Exception as error:
            logger.exception("The index %r could not be searched.", index.alias)
            raise BackendError(
                _("The site's pages could not be searched."),
                code="retrieval_failed",
                remedy=_('Rebuild the index "%s", and look at the log.') % index.alias,
            ) from error


def _by(size: int, hits: Sequence[Hit]) -> Iterator[Sequence[Hit]]:
    for start in range(0, len(hits), size):
        yield hits[start : start + size]


def _score(hit: Hit) -> float:
    return round(float(hit.score), 4)


def _chosen(wanted: Sequence[str | SearchableIndex]) -> list[SearchableIndex]:
    """The wanted indexes; by default the site's own or, without one, all others."""
    if wanted and not any(isinstance(index, str) for index in wanted):
        return [index for index in wanted if not isinstance(index, str)]
    if not wanted and (own := adapters.index(OWN_INDEX)) is not None:
        return [own]
    known = adapters.indexes()
    known |= {index.alias: index for index in wanted if not isinstance(index, str)}
    aliases = [index if isinstance(index, str) else index.alias for index in wanted]
    for alias in aliases:
        if alias not in known:
            logger.warning("The index %r of this site's switch does not exist (any more).", alias)
    if aliases:
        return [known[alias] for alias in dict.fromkeys(aliases) if alias in known]
    return list(known.values())


def locales_for(language: str | None) -> frozenset[int] | None:
    """Primary keys of the locales of a language; ``None`` means any locale.

    Without an exact match, all locales of the same base language: those of "en" for "en-gb".
    """
    if not language:
        return None
    codes = dict(Locale.objects.values_list("pk", "language_code"))
    if len(codes) < 2:
        return None
    language = language.replace("_", "-").lower()
    exact = {pk for pk, code in codes.items() if code.lower() == language}
    primary = language.split("-")[0]
    alike = {pk for pk, code in codes.items() if code.lower().split("-")[0] == primary}
    return frozenset(exact or alike) or None
