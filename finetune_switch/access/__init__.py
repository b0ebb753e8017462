"""Access: who asks, and what they may open."""

from .askers import Asker, asking_as

__all__ = ["Asker", "asking_as"]
