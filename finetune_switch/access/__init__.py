"""Askers, and the pages and objects that they may open."""

from .askers import Asker, asking_as

__all__ = ["Asker", "asking_as"]
