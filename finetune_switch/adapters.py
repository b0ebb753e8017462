"""Where optional packages plug in. The core asks this register and imports none of them.

An adapter registers itself in its ``AppConfig.ready()``; ``finetune_switch.vector_index`` is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .backends.base import BackendConfig, BaseChatBackend
    from .passages import Hit


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

    def build(self, alias: str, config: BackendConfig) -> BaseChatBackend:
        """One of them, behind our contract."""


class SearchableIndex(Protocol):
    """Something that finds texts like a question."""

    alias: str
    label: str

    def search(self, question: str, *, limit: int) -> Sequence[Hit]:
        """At most ``limit`` hits, best first. Nothing is checked yet: an index is only a hint."""


class IndexSource(Protocol):
    """A package whose indexes can be asked."""

    def indexes(self) -> Sequence[SearchableIndex]: ...


_backend_sources: list[BackendSource] = []
_index_sources: list[IndexSource] = []


def register_backends(source: BackendSource) -> None:
    _backend_sources.append(source)


def register_indexes(source: IndexSource) -> None:
    _index_sources.append(source)


def declared_backends() -> dict[str, DeclaredBackend]:
    """Every chat backend that the adapters' settings declare, by its alias there."""
    return {
        alias: declared
        for source in _backend_sources
        for alias, declared in source.declared().items()
    }


def build_backend(alias: str, config: BackendConfig) -> BaseChatBackend | None:
    """The adapters' backend of that alias, or ``None`` where no settings declare it (any more)."""
    for source in _backend_sources:
        if alias in source.declared():
            return source.build(alias, config)
    return None


def indexes() -> dict[str, SearchableIndex]:
    """Every index that can be asked, by alias."""
    return {index.alias: index for source in _index_sources for index in source.indexes()}
