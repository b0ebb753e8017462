"""The site's own index as a storage provider of wagtail-vector-index.

wagtail-vector-index imports this module while models are being loaded, so modules that need models
are imported in the methods. So are those that need names which its versions have in other places: a
system check then says which version is supported.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wagtail_vector_index.storage.base import StorageProvider

if TYPE_CHECKING:
    from wagtail_vector_index.storage.base import Document

    from .queries import SiteQueryResponse


@dataclass(kw_only=True)
class SiteStorageConfig:
    """Without options. The index is configured in ``FINETUNE_SWITCH["INDEX"]``."""


class SiteIndexMixin:
    """An index of wagtail-vector-index as a part of the site's own index.

    The part consists of the objects of its querysets. Searches return what retrieval returns:
    content of the current site, in the active language, that an anonymous visitor may open, or the
    asker of ``with asking_as(asker)``. They never write. Objects that the site's index leaves out
    (drafts, excluded pages) are not found either.
    """

    def rebuild_index(self) -> None:
        """Update the documents of its objects, embedding only changed texts.

        If the embedding model has changed, the whole index of the site is built. Raises
        :class:`~finetune_switch.exceptions.BackendError` if texts cannot be embedded. The documents
        are unchanged in this case.
        """
        from . import updates

        updates.rebuild(self)

    def upsert(self, *, documents: Iterable[Document]) -> None:
        """Index the objects that these documents were made from, in their current state."""
        from . import updates

        updates.update(self, documents)

    def delete(self, *, document_ids: Sequence[str]) -> None:
        """Remove the objects that these documents belong to, until they are indexed again."""
        from . import updates

        updates.delete(self, document_ids)

    def clear(self) -> None:
        """Remove all of its objects from the site's index, until they are indexed again."""
        from . import updates

        updates.clear(self)

    def get_similar_documents(
        self, query_vector: Sequence[float], *, limit: int = 5
    ) -> Generator[Document, None, None]:
        """The documents with the most similar vectors that the asker may see."""
        from . import queries

        yield from queries.similar_documents(self, query_vector, limit=limit)

    def search(self, query: str, *, limit: int = 5) -> list[Any]:
        """The distinct objects most similar to a question, best first."""
        from . import queries

        return queries.search(self, query, limit=limit)

    async def asearch(self, query: str, *, limit: int = 5) -> list[Any]:
        from . import queries

        return await queries.in_thread(queries.search, self, query, limit=limit)

    def find_similar(self, object: Any, *, include_self: bool = False, limit: int = 5) -> list[Any]:
        """The objects most similar to this one, which need not be in the index."""
        from . import queries

        return queries.find_similar(self, object, include_self=include_self, limit=limit)

    async def afind_similar(
        self, object: Any, *, include_self: bool = False, limit: int = 5
    ) -> list[Any]:
        from . import queries

        return await queries.in_thread(
            queries.find_similar, self, object, include_self=include_self, limit=limit
        )

    def query(
        self, query: str, *, sources_limit: int = 5, chat_backend_alias: str = "default"
    ) -> SiteQueryResponse:
        """Answer a question from at most ``sources_limit`` objects, by the switch by default.

        The prompt is the chat backend's own. The exchange is recorded. Raises
        :class:`~finetune_switch.exceptions.BackendError`, whose message is safe to show.
        """
        from . import queries

        return queries.query(
            self, query, sources_limit=sources_limit, chat_backend_alias=chat_backend_alias
        )

    async def aquery(
        self, query: str, *, sources_limit: int = 5, chat_backend_alias: str = "default"
    ) -> SiteQueryResponse:
        from . import queries

        return await queries.aquery(
            self, query, sources_limit=sources_limit, chat_backend_alias=chat_backend_alias
        )


class SiteStorageProvider(StorageProvider[SiteStorageConfig, SiteIndexMixin]):
    """Stores indexes of wagtail-vector-index in the site's own index. It takes no options."""

    config_class = SiteStorageConfig
    index_mixin = SiteIndexMixin
