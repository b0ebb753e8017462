"""The adapter to wagtail-vector-index. No other module imports that package.

To use it, add ``"finetune_switch.vector_index"`` to ``INSTALLED_APPS``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .chat import SwitchedChatBackend

__all__ = ["SwitchedChatBackend"]


def __getattr__(name: str) -> Any:
    # Imported lazily, since .chat needs models, which are not loaded when the app is imported.
    if name == "SwitchedChatBackend":
        from .chat import SwitchedChatBackend

        return SwitchedChatBackend
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
