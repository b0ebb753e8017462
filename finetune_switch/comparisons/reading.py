"""What a reader may see of many comparisons, in a few queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from finetune_switch.models import Column, Comparison, Exchange, Grade, Outcome, Preference

FAILURES = (Outcome.FAILED, Outcome.INTERRUPTED)


@dataclass(frozen=True)
class SeenAnswer:
    """A column of a comparison. Without a name where that is hidden; only grades to be seen."""

    column: Column
    name: str
    exchange: Exchange | None
    grades: Sequence[Grade]

    @property
    def has_failed(self) -> bool:
        """Whether it came to nothing: refused, or broken off."""
        return self.exchange is not None and self.exchange.current_outcome in FAILURES


@dataclass(frozen=True)
class Seen:
    """A comparison with what its reader may see of it: nothing but the question, at the least."""

    comparison: Comparison
    may_read: bool
    knows_names: bool = False
    sees_others: bool = False
    """Whether the words of other judges are shown: not before one has given one's own."""
    answers: Sequence[SeenAnswer] = ()
    preferences: Sequence[Preference] = ()
    judges: frozenset[Any] = field(default_factory=frozenset)
    """Who has judged anything of it, whether or not the reader may see what they said."""
