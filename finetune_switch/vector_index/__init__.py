"""The adapter to wagtail-vector-index, and the only place that imports it.

Add ``"finetune_switch.vector_index"`` to ``INSTALLED_APPS`` in a project that has the package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .chat import SwitchedChatBackend

__all__ = ["SwitchedChatBackend"]


def __getattr__(name: str) -> Any:
    # Settings name this path, and apps are set up before its models can be imported.
    if name == "SwitchedChatBackend":
        from .chat import SwitchedChatBackend

        return SwitchedChatBackend
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
