"""Vectors made in this process, from weights that come inside the ``wordllama`` package.

No service, no download: 256 dimensions, 0.2 s to load, 121 MB. The ``embedded`` extra installs it.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

DIMENSIONS = 256
# Longer texts are cut by the model itself; chunks are kept well below.
MAX_TOKENS = 512

_lock = threading.Lock()


def embed(texts: Iterable[str]) -> list[list[float]]:
    """One unit vector of 256 numbers for each text."""
    texts = list(texts)
    if not texts:
        return []
    vectors = _model().embed(texts, norm=True)
    return [[float(number) for number in vector] for vector in vectors]


def _model() -> Any:
    with _lock:
        return _load()


@cache
def _load() -> Any:
    try:
        from wordllama import WordLlama
    except ImportError as error:
        raise ImproperlyConfigured(
            "In-process embeddings need the wordllama package: "
            "pip install 'wagtail-finetune-switch[embedded]'."
        ) from error
    # With downloads off it looks for the tokenizer in a cache folder, under another name than the
    # one its wheel ships it in; without them on, nothing may leave the machine.
    spec = find_spec("wordllama")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    with tempfile.TemporaryDirectory(prefix="finetune-switch-") as folder:
        shutil.copytree(package / "tokenizers", Path(folder) / "tokenizers")
        return WordLlama.load(cache_dir=folder, disable_download=True, dim=DIMENSIONS)
