"""The site's own index, for the register of those that can be asked."""

from __future__ import annotations

from collections.abc import Sequence

from ..adapters import SearchableIndex
from ..compiled import CompiledLookup
from ..models import EmbeddingSpace

_ACTIVE_SPACE: CompiledLookup[EmbeddingSpace] = CompiledLookup(
    lambda: EmbeddingSpace.objects.filter(is_active=True)
)


class SiteIndexes:
    """Gives the site's own index once there is one. One query, and no numpy before that."""

    def indexes(self) -> Sequence[SearchableIndex]:
        space = _ACTIVE_SPACE.first()
        if space is None:
            return []
        from .searching import SiteIndex

        return [SiteIndex(space)]
