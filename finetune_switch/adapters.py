"""The registry for adapters to optional packages, so that the core imports none of these.

An adapter, such as ``finetune_switch.vector_index``, registers itself in ``AppConfig.ready()``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from django.utils.functional import Promise

if TYPE_CHECKING:
    from django.db.models import Model

    from .passages import Hit


@dataclass(frozen=True)
class Scope:
    """The documents that a search covers. ``None`` means all sites or locales.

    Documents without a site or a locale belong to all of them. An index may ignore the scope, since
    retrieval checks its hits again.
    """

    site_id: int | None = None
    locale_ids: frozenset[int] | None = None
    include_restricted: bool = True


@dataclass(frozen=True)
class DeclaredBackend:
    """A chat backend declared in the settings of another package."""

    alias: str
    model_name: str
    label: str
    context_window: int | None = None


class BackendSource(Protocol):
    """A package with chat backends of its own."""

    def declared(self) -> Mapping[str, DeclaredBackend]:
        """The currently declared backends, by alias."""

    def build(self, alias: str, config: Any) -> Any:
        """Make the ``finetune_switch.backends.BaseChatBackend`` for a ``BackendConfig``."""


class SearchableIndex(Protocol):
    """An index that finds texts similar to a question."""

    alias: str

    @property
    def label(self) -> str | Promise:
        """The name shown to editors."""

    def search(
        self, question: str, *, limit: int, scope: Scope, threshold: float | None
    ) -> Sequence[Hit]:
        """At most ``limit`` hits, best first. Retrieval checks permissions afterwards.

        Fewer than ``limit`` hits mean that there are no more. Hits below ``threshold``, a cosine
        similarity, may be left out; ``None`` means that of the index's embedding model, or none.
        """


class IndexSource(Protocol):
    """A package with indexes of its own."""

    def indexes(self) -> Sequence[SearchableIndex]:
        """The available indexes. New instances for each question."""


_backend_sources: list[BackendSource] = []
_index_sources: list[IndexSource] = []
_model_sources: list[Callable[[], Iterable[type[Model]]]] = []
_field_sources: list[Callable[[type[Model]], Sequence[str] | None]] = []


def register_backends(source: BackendSource) -> None:
    _backend_sources.append(source)


def register_indexes(source: IndexSource) -> None:
    _index_sources.append(source)


def register_indexed_models(models: Callable[[], Iterable[type[Model]]]) -> None:
    """Add models other than pages to the site's own index.

    The callable is called on each use, since models may be registered later.
    """
    _model_sources.append(models)


def register_indexed_fields(names: Callable[[type[Model]], Sequence[str] | None]) -> None:
    """Index these fields of a model instead of its ``search_fields``; ``None`` for others."""
    _field_sources.append(names)


def adapter_fields(model: type[Model]) -> Sequence[str] | None:
    """The names of the fields that an adapter indexes of a model; ``None`` without a decision."""
    found = (source(model) for source in _field_sources)
    return next((names for names in found if names is not None), None)


def has_model_sources() -> bool:
    return bool(_model_sources)


def adapter_models() -> list[type[Model]]:
    """The models that adapters add to the site's own index."""
    return list(dict.fromkeys(model for source in _model_sources for model in source()))


def declared_backends() -> dict[str, DeclaredBackend]:
    """The chat backends declared in the adapters' settings, by alias."""
    return {
        alias: declared
        for source in _backend_sources
        for alias, declared in source.declared().items()
    }


def build_backend(alias: str, config: Any) -> Any | None:
    """The adapters' chat backend with this alias; ``None`` if it is not declared."""
    for source in _backend_sources:
        if alias in source.declared():
            return source.build(alias, config)
    return None


def indexes() -> dict[str, SearchableIndex]:
    """All available indexes, by alias."""
    return {index.alias: index for source in _index_sources for index in source.indexes()}


def index(alias: str) -> SearchableIndex | None:
    """The index with this alias, if available."""
    # A generator, so that later sources need not create their indexes.
    candidates = (found for source in _index_sources for found in source.indexes())
    return next((found for found in candidates if found.alias == alias), None)
