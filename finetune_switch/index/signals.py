"""Signals that the index sends."""

from django.dispatch import Signal

index_activated = Signal()
"""A full build has ended, and its vectors answer from now on. Arguments: ``space``."""
