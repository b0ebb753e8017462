"""A question → the passages that this asker may see."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from django.apps import apps
from django.utils.translation import gettext as _
from wagtail.models import AbstractPage, Locale, PageViewRestriction, Site

from . import adapters
from .askers import Asker
from .exceptions import BackendError
from .passages import Hit, Passage, Source

logger = logging.getLogger("finetune_switch.retrieval")

# An index is only a hint: some of what it finds may not be shown, so this many times more is asked
# for, and then more again.
SURPLUS = (4, 16, 64)


def retrieve(
    question: str,
    *,
    asker: Asker,
    site: Site | None = None,
    locale: str | None = None,
    indexes: Sequence[str] = (),
    limit: int = 5,
    threshold: float = 0.0,
) -> list[Passage]:
    """The passages most like a question, best first, at most ``limit`` of them.

    ``indexes`` are aliases (none: all), ``threshold`` a cosine similarity from 0 to 1. What the
    asker may not open now (not live, private, of another site) is left out whatever an index says,
    and so are pages in other languages than the question's, where the site has pages in that one.
    Raises :class:`~finetune_switch.exceptions.BackendError` where an index cannot be searched.
    """
    passages: list[Passage] = []
    seen = 0
    for surplus in SURPLUS:
        hits = _search(question, indexes, limit * surplus)
        passages = _passages(hits, asker, site, locale, limit, threshold)
        all_there_is = len(hits) == seen or any(hit.score < threshold for hit in hits)
        if len(passages) == limit or all_there_is:
            break
        seen = len(hits)
    return passages


def _passages(
    hits: Iterable[Hit],
    asker: Asker,
    site: Site | None,
    locale: str | None,
    limit: int,
    threshold: float,
) -> list[Passage]:
    """What of the hits may be shown, best first, each text once."""
    pages = _visible_pages(hits, asker, site, _locales_for(locale))
    found: dict[tuple[str, str], Passage] = {}
    for hit in sorted(hits, key=lambda hit: -hit.score):
        page = pages.get((hit.model, hit.object_id))
        text = hit.text.strip()
        score = round(float(hit.score), 4)
        if page is None or score < threshold or (hit.object_id, text) in found:
            continue
        found[hit.object_id, text] = Passage(
            number=len(found) + 1,
            text=text.replace("\x00", ""),
            score=score,
            source=Source(
                title=page.title,
                url=page.get_url() or "",
                model=hit.model,
                object_id=hit.object_id,
            ),
            index=hit.index,
        )
        if len(found) == limit:
            break
    return list(found.values())


def _search(question: str, aliases: Sequence[str], limit: int) -> list[Hit]:
    known = adapters.indexes()
    hits: list[Hit] = []
    for alias in aliases or known:
        if alias not in known:
            logger.warning("The index %r of this site's switch does not exist (any more).", alias)
            continue
        try:
            hits.extend(known[alias].search(question, limit=limit))
        except BackendError:
            raise
        except Exception as error:
            logger.exception("The index %r could not be searched.", alias)
            raise BackendError(
                _("The site's pages could not be searched."),
                code="retrieval_failed",
                remedy=_('Rebuild the index "%s", and look at the log.') % alias,
            ) from error
    return hits


def _locales_for(language: str | None) -> set[int] | None:
    """The content locales of a language ("en-gb" is also asked of "en"); ``None`` means any."""
    locales = list(Locale.objects.all())
    if not language or len(locales) < 2:
        return None
    exact = {locale.pk for locale in locales if locale.language_code == language}
    primary = language.split("-")[0]
    return (
        exact
        or {locale.pk for locale in locales if locale.language_code.split("-")[0] == primary}
        or None
    )


def _visible_pages(
    hits: Iterable[Hit], asker: Asker, site: Site | None, locales: set[int] | None
) -> dict[tuple[str, str], AbstractPage]:
    """The pages among the hits that the asker may open now, by model and primary key."""
    visible = {}
    by_model: dict[str, set[str]] = {}
    for hit in hits:
        by_model.setdefault(hit.model, set()).add(hit.object_id)
    has_restrictions = PageViewRestriction.objects.exists()
    root_path = site.root_page.path if site is not None else ""
    for model_name, ids in by_model.items():
        model: Any = apps.get_model(model_name)
        if not issubclass(model, AbstractPage):
            continue
        for page in model.objects.filter(pk__in=ids, live=True).select_related("alias_of"):
            if not page.path.startswith(root_path):
                continue
            if locales is not None and page.locale_id not in locales:
                continue
            if not has_restrictions or _may_open(page, asker):
                visible[model_name, str(page.pk)] = page
    return visible


def _may_open(page: AbstractPage, asker: Asker) -> bool:
    # Wagtail's own list: it knows ancestors, and aliases made before their source was restricted.
    restrictions = page.get_view_restrictions().prefetch_related("groups")
    return all(asker.passes(restriction) for restriction in restrictions)
