"""The site's own index, for the register of those that can be asked."""

from __future__ import annotations

from collections.abc import Sequence

from finetune_switch.adapters import SearchableIndex
from finetune_switch.models.index import active_space


class SiteIndexes:
    """Gives the site's own index once there is one. One query, and no numpy before that."""

    def indexes(self) -> Sequence[SearchableIndex]:
        space = active_space()
        if space is None:
            return []
        from .site_index import SiteIndex

        return [SiteIndex(space)]
