"""What is found for a question: hits of an index, and passages that an asker may see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Hit:
    """What an index returns: a text, its cosine similarity, and the object that it came from.

    ``model`` is ``app_label.model_name`` and ``object_id`` the primary key as text. ``anchor`` is
    the place of the text on its page, where that is known; ``found_by`` names the rankings that
    found it: ``"vector"``, ``"text"``.
    """

    text: str
    score: float
    model: str
    object_id: str
    index: str = ""
    anchor: str = ""
    found_by: tuple[str, ...] = ("vector",)


@dataclass(frozen=True)
class Source:
    """The page (or other object) that a passage came from. ``url`` leads to the very place."""

    title: str
    url: str
    model: str
    object_id: str


@dataclass(frozen=True)
class Passage:
    """A retrieved piece of text with its score and its source, as the models get it.

    ``number`` counts from 1; it is what an answer cites as ``[number]``.
    """

    number: int
    text: str
    score: float
    source: Source
    index: str = ""
    found_by: tuple[str, ...] = ("vector",)

    def as_dict(self) -> dict[str, Any]:
        return {
            **vars(self),
            "source": dict(vars(self.source)),
            "found_by": list(self.found_by),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Passage:
        found_by = tuple(data.get("found_by", ("vector",)))
        return cls(**{**data, "source": Source(**data["source"]), "found_by": found_by})
