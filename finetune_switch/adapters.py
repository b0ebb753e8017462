"""Where optional packages plug in. The core asks this register and imports none of them.

An adapter registers itself in its ``AppConfig.ready()``; ``finetune_switch.vector_index`` is one.
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
    """Which documents a search is about. ``None`` means all of them.

    Documents without a site or a locale belong to every one. It is a hint to an index, which may
    leave it aside: what it finds is checked again.
    """

    site_id: int | None = None
    locale_ids: frozenset[int] | None = None
    include_restricted: bool = True


@dataclass(frozen=True)
class DeclaredBackend:
    """A chat backend that another package's settings declare."""

    alias: str
    model_name: str
    label: str
    context_window: int | None = None


class BackendSource(Protocol):
    """A package whose own chat backends can be switched to."""

    def declared(self) -> Mapping[str, DeclaredBackend]:
        """The backends that its settings declare now, by alias."""

    def build(self, alias: str, config: Any) -> Any:
        """One of them as a ``BaseChatBackend``, made from a ``BackendConfig``.

        Both are in ``finetune_switch.backends``, which this module does not import.
        """


class SearchableIndex(Protocol):
    """Something that finds texts like a question."""

    alias: str

    @property
    def label(self) -> str | Promise:
        """What editors see."""

    def search(self, question: str, *, limit: int, scope: Scope, threshold: float) -> Sequence[Hit]:
        """At most ``limit`` hits, best first. Nothing is checked yet: an index is only a hint.

        Fewer than ``limit`` mean that there are no more. Hits below ``threshold``, a cosine
        similarity, are of no use to anybody and may be left out.
        """


class IndexSource(Protocol):
    """A package whose indexes can be asked."""

    def indexes(self) -> Sequence[SearchableIndex]:
        """Those that can be asked now, made anew for each question."""


_backend_sources: list[BackendSource] = []
_index_sources: list[IndexSource] = []
_model_sources: list[Callable[[], Iterable[type[Model]]]] = []


def register_backends(source: BackendSource) -> None:
    _backend_sources.append(source)


def register_indexes(source: IndexSource) -> None:
    _index_sources.append(source)


def register_indexed_models(models: Callable[[], Iterable[type[Model]]]) -> None:
    """Have the site's own index hold these models as well, which are no pages.

    They are asked for again whenever it matters: a package may know its models later than we do.
    """
    _model_sources.append(models)


def adapter_models() -> list[type[Model]]:
    """Models beside pages that the adapters want to be in the site's own index."""
    return list(dict.fromkeys(model for source in _model_sources for model in source()))


def declared_backends() -> dict[str, DeclaredBackend]:
    """Every chat backend that the adapters' settings declare, by its alias there."""
    return {
        alias: declared
        for source in _backend_sources
        for alias, declared in source.declared().items()
    }


def build_backend(alias: str, config: Any) -> Any | None:
    """The adapters' backend of that alias, or ``None`` where no settings declare it (any more)."""
    for source in _backend_sources:
        if alias in source.declared():
            return source.build(alias, config)
    return None


def indexes() -> dict[str, SearchableIndex]:
    """Every index that can be asked, by alias."""
    return {index.alias: index for source in _index_sources for index in source.indexes()}


def index(alias: str) -> SearchableIndex | None:
    """The index of that alias, if it can be asked. Sources that come after its own make nothing."""
    every = (found for source in _index_sources for found in source.indexes())
    return next((found for found in every if found.alias == alias), None)
