"""Look up many sources for one asker in a few queries."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable

from django.apps import apps
from django.db.models import Model
from wagtail.models import AbstractPage, Site

from finetune_switch.passages import Hit, Source

from .askers import Asker
from .visibility import objects_open_to, pages_open_to

logger = logging.getLogger("finetune_switch.retrieval")


class SourceAccess:
    """The sources that an asker may open, each looked up once.

    With ``locale_ids``, pages of other locales count as closed.
    """

    def __init__(self, asker: Asker, *, locale_ids: Collection[int] | None = None) -> None:
        self._asker = asker
        self._locale_ids = locale_ids
        self._objects: dict[tuple[int | None, str, str], Model | None] = {}

    def look_up(self, sources: Iterable[Source | Hit], site: Site | None) -> None:
        """Look up sources together, to save queries. Known ones are not looked up again."""
        site_id = site and site.pk
        page_models: dict[str, list[str]] = {}
        other_ids: dict[type[Model], set[str]] = {}
        for source in sources:
            key = (site_id, source.model, source.object_id)
            if key in self._objects:
                continue
            self._objects[key] = None
            model = _model(source.model)
            if model is None:
                continue
            if issubclass(model, AbstractPage):
                # Indexes may name a page by its own model or by the base model of all pages.
                page_models.setdefault(source.object_id, []).append(source.model)
            else:
                other_ids.setdefault(model, set()).add(source.object_id)
        pages = pages_open_to(
            self._asker, page_models.keys(), site=site, locale_ids=self._locale_ids
        )
        for pk, page in pages.items():
            for name in page_models[pk]:
                self._objects[site_id, name, pk] = page
        for model, ids in other_ids.items():
            for pk, row in objects_open_to(self._asker, model, ids, site=site).items():
                self._objects[site_id, model._meta.label_lower, pk] = row

    def get(self, source: Source | Hit, site: Site | None) -> Model | None:
        """The page or object, or ``None`` if the asker may not open it now."""
        self.look_up([source], site)
        return self._objects[site and site.pk, source.model, source.object_id]

    def are_open(self, sources: Collection[Source], site: Site | None) -> bool:
        """Whether the asker may open all of these sources now."""
        self.look_up(sources, site)
        return all(self.get(source, site) is not None for source in sources)


def _model(label: str) -> type[Model] | None:
    try:
        return apps.get_model(label)
    except (LookupError, ValueError):
        logger.warning("An index names the model %r, which does not exist (any more).", label)
        return None
