"""The site's own index as a storage provider of wagtail-vector-index.

wagtail-vector-index imports this module while models are still being loaded, so nothing that needs
one is imported before a call.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wagtail_vector_index.storage.base import Document, StorageProvider

if TYPE_CHECKING:
    from .queries import SiteQueryResponse


@dataclass(kw_only=True)
class SiteStorageConfig:
    """There is nothing to configure here: ``FINETUNE_SWITCH["INDEX"]`` says it all."""


class SiteIndexMixin:
    """An index of wagtail-vector-index as a part of the site's own: the objects of its querysets.

    What is found is what retrieval finds: of the current site, in the language of the moment, what
    an anonymous visitor may open, or whom ``with asking_as(asker)`` names. Searching never writes.
    What is in the site's index, and as which text, is for that to say: objects that it leaves out
    (drafts, excluded pages) are not in here either.
    """

    def rebuild_index(self) -> None:
        """Bring the documents of its objects up to date; only texts that changed are embedded.

        The whole of the site's index is built where the embedding model has changed: vectors of two
        models are never compared. Raises :class:`~finetune_switch.exceptions.BackendError` where
        texts cannot be embedded; the documents stay as they were.
        """
        from . import updates as writing

        writing.rebuild(self)

    def upsert(self, *, documents: Iterable[Document]) -> None:
        """Bring the objects that these documents come from up to date, as they are now."""
        from . import updates as writing

        writing.update(self, documents)

    def delete(self, *, document_ids: Sequence[str]) -> None:
        """Remove the objects that these documents belong to, until they are indexed again."""
        from . import updates as writing

        writing.delete(self, document_ids)

    def clear(self) -> None:
        """Remove all of its objects from the site's index, until they are indexed again."""
        from . import updates as writing

        writing.clear(self)

    def get_similar_documents(
        self, query_vector: Sequence[float], *, limit: int = 5
    ) -> Generator[Document, None, None]:
        """The texts whose vectors are most like this one, which the asker may see."""
        from . import queries as asking

        yield from asking.similar_documents(self, query_vector, limit=limit)

    def search(self, query: str, *, limit: int = 5) -> list[Any]:
        """The objects most like a question, best first, each once: ``limit``, if there are."""
        from . import queries as asking

        return asking.search(self, query, limit=limit)

    async def asearch(self, query: str, *, limit: int = 5) -> list[Any]:
        from . import queries as asking

        return await asking.in_thread(asking.search, self, query, limit=limit)

    def find_similar(self, object: Any, *, include_self: bool = False, limit: int = 5) -> list[Any]:
        """The objects most like this one, whether it is in the index or not."""
        from . import queries as asking

        return asking.find_similar(self, object, include_self=include_self, limit=limit)

    async def afind_similar(
        self, object: Any, *, include_self: bool = False, limit: int = 5
    ) -> list[Any]:
        from . import queries as asking

        return await asking.in_thread(
            asking.find_similar, self, object, include_self=include_self, limit=limit
        )

    def query(
        self, query: str, *, sources_limit: int = 5, chat_backend_alias: str = "default"
    ) -> SiteQueryResponse:
        """What the site's switch, or another chat backend, answers from at most so many objects.

        The prompt is the chat backend's own. The exchange is recorded. Raises
        :class:`~finetune_switch.exceptions.BackendError`, whose message is safe to show.
        """
        from . import queries as asking

        return asking.query(
            self, query, sources_limit=sources_limit, chat_backend_alias=chat_backend_alias
        )

    async def aquery(
        self, query: str, *, sources_limit: int = 5, chat_backend_alias: str = "default"
    ) -> SiteQueryResponse:
        from . import queries as asking

        return await asking.aquery(
            self, query, sources_limit=sources_limit, chat_backend_alias=chat_backend_alias
        )


class SiteStorageProvider(StorageProvider[SiteStorageConfig, SiteIndexMixin]):
    """Keeps an index of wagtail-vector-index in the site's own. It takes no options."""

    config_class = SiteStorageConfig
    index_mixin = SiteIndexMixin
