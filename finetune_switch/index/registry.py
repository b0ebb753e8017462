"""Registers the site's own index with the adapters."""

from __future__ import annotations

from collections.abc import Sequence

from finetune_switch.adapters import SearchableIndex
from finetune_switch.models.index import searched_space


class SiteIndexes:
    """The site's own index, once a first build has begun. One query."""

    def indexes(self) -> Sequence[SearchableIndex]:
        space = searched_space()
        if space is None:
            return []
        from .site_index import SiteIndex

        return [SiteIndex(space)]
