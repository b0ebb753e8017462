"""Registers the site's own index with the adapters."""

from __future__ import annotations

from collections.abc import Sequence

from finetune_switch.adapters import SearchableIndex
from finetune_switch.models.index import active_space


class SiteIndexes:
    """The site's own index, if it is built. One query; numpy is imported only if it is."""

    def indexes(self) -> Sequence[SearchableIndex]:
        space = active_space()
        if space is None:
            return []
        from .site_index import SiteIndex

        return [SiteIndex(space)]
