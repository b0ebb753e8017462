"""Compute vectors in this process, with the weights in the ``wordllama`` package.

They have 256 dimensions. Loading takes 0.2 s and 121 MB, without a download.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from finetune_switch.exceptions import EmbeddingError

from .base import Vectors, check_vectors, clean_texts

MODEL_NAME = "wordllama-256"
DIMENSIONS = 256
# The model has no limit, but the mean over more words means little.
MAX_TOKENS = 512
# Shorter texts are embedded on the event loop, in 0.03 ms. A thread would take longer.
INLINE_CHARACTERS = 2_000

_lock = threading.Lock()


class EmbeddedEmbedder:
    """The default embedder: the mean of a text's word vectors."""

    connection = ""
    model_name = MODEL_NAME
    dimensions: int | None = DIMENSIONS
    max_tokens = MAX_TOKENS

    def embed(self, texts: Sequence[str]) -> Vectors:
        """See :class:`~.base.Embedder`. One question takes less than 0.1 ms."""
        texts = clean_texts(texts)
        tokenizer, weights = _model()
        if len(texts) == 1:
            encodings = [tokenizer.encode(texts[0], add_special_tokens=False)]
        else:
            encodings = tokenizer.encode_batch(texts, add_special_tokens=False)
        sums = np.empty((len(texts), DIMENSIONS), dtype=np.float32)
        # Text by text, because padding a batch to its longest text doubles the time, and needs
        # too much memory with a text of a megabyte.
        for row, encoding in zip(sums, encodings, strict=True):
            weights.take(encoding.ids, axis=0, mode="clip").sum(axis=0, out=row)
        return check_vectors(sums, len(texts), DIMENSIONS)

    async def aembed(self, texts: Sequence[str]) -> Vectors:
        if _load.cache_info().currsize and sum(map(len, texts)) <= INLINE_CHARACTERS:
            return self.embed(texts)
        return await asyncio.to_thread(self.embed, texts)

    def count_tokens(self, text: str) -> int:
        tokenizer, _weights = _model()
        text = text.encode("utf-8", "replace").decode()
        return len(tokenizer.encode(text, add_special_tokens=False).ids)


def _model() -> tuple[Any, Vectors]:
    """The tokenizer, and the vectors of its words: float32 of shape ``(32_000, 256)``."""
    with _lock:
        return _load()


@cache
def _load() -> tuple[Any, Vectors]:
    try:
        wordllama = _import_wordllama()
    except ImportError as error:
        raise EmbeddingError(
            gettext_lazy("Embeddings: the embedded model is not installed."),
            code="misconfigured",
            remedy=_("It comes with this package; install it again: pip install wordllama."),
        ) from error
    # Without downloads, wordllama looks for the tokenizer in a cache folder, whose name differs
    # from the one in its wheel.
    spec = find_spec("wordllama")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    with tempfile.TemporaryDirectory(prefix="finetune-switch-") as folder:
        shutil.copytree(package / "tokenizers", Path(folder) / "tokenizers")
        model = wordllama.WordLlama.load(cache_dir=folder, disable_download=True, dim=DIMENSIONS)
    model.tokenizer.no_padding()
    return model.tokenizer, model.embedding


def _import_wordllama() -> Any:
    """Import the package, and undo its changes to the root logger."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    try:
        import wordllama
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers
    return wordllama


def _forget_lock_after_fork() -> None:
    # In the child, the lock may be held for ever.
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock_after_fork)
