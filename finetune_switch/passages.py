"""Search results: hits of an index, and passages that an asker may see."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.utils.http import url_has_allowed_host_and_scheme


@dataclass(frozen=True)
class Hit:
    """A search result of an index: a text, its cosine similarity and its object.

    Results are ordered by ``relevance``, by default the similarity.

    ``model`` is ``app_label.model_name`` and ``object_id`` the primary key as text. ``anchor`` is
    the fragment of the text on its page, if known. ``found_by`` names the rankings that found it:
    ``"vector"``, ``"text"``.
    """

    text: str
    score: float
    model: str
    object_id: str
    index: str = ""
    anchor: str = ""
    found_by: tuple[str, ...] = ("vector",)
    relevance: float = -math.inf
    position: int | None = None
    """The place of the text among those of its object, if known."""

    def __post_init__(self) -> None:
        if self.relevance == -math.inf:
            object.__setattr__(self, "relevance", self.score)


@dataclass(frozen=True)
class Source:
    """The page or other object that a passage comes from.

    ``url`` includes the anchor of the passage. It is a web address that is safe to link to, or
    empty.
    """

    title: str
    url: str
    model: str
    object_id: str

    def __post_init__(self) -> None:
        if not _is_web_address(self.url):
            object.__setattr__(self, "url", "")


def _is_web_address(url: str) -> bool:
    try:
        host = urlsplit(url).netloc
    except ValueError:
        return False
    # In "https://host@other/", "host" looks like the host but is not.
    return "@" not in host and url_has_allowed_host_and_scheme(url, allowed_hosts={host})


@dataclass(frozen=True)
class Passage:
    """A retrieved text with its score and source, as given to models.

    ``number`` counts from 1. Answers cite the passage as ``[number]``.
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
