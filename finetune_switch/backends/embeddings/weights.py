"""Files of weights, and those of the ONNX format without its runtime.

Fields are numbered as in https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, and encoded as in
https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

MODEL_GRAPH, GRAPH_INITIALIZER = 7, 5
TENSOR_DIMS, TENSOR_TYPE, TENSOR_NAME, TENSOR_DATA = 1, 2, 8, 9
TYPES = {1: "<f4", 3: "i1"}
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5


def check_digest(path: Path, sha256: str) -> bytes:
    """Read a file. Raises :class:`ValueError` if it is not the one with this digest."""
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{path.name} is not the version that vectors were made with so far.")
    return content


def read_onnx(content: bytes) -> dict[str, Any]:
    """The arrays of float32 and int8 in the file, by name, in the order of the file."""
    weights = {}
    for model_field, graph in _fields(memoryview(content)):
        if model_field != MODEL_GRAPH:
            continue
        for graph_field, tensor in _fields(graph):
            if graph_field == GRAPH_INITIALIZER:
                weights.update(_tensor(tensor))
    return weights


def _tensor(message: Any) -> dict[str, Any]:
    dims: list[int] = []
    kind, name, data = 0, "", b""
    for field, value in _fields(message):
        if field == TENSOR_DIMS:
            dims += [value] if isinstance(value, int) else list(_varints(value))
        elif field == TENSOR_TYPE:
            kind = value
        elif field == TENSOR_NAME:
            name = bytes(value).decode()
        elif field == TENSOR_DATA:
            data = value
    return {name: np.frombuffer(data, TYPES[kind]).reshape(dims)} if kind in TYPES else {}


def _fields(message: Any) -> Iterator[tuple[int, Any]]:
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        kind = tag & 7
        if kind == VARINT:
            value, position = _varint(message, position)
        else:
            size = {FIXED64: 8, FIXED32: 4}.get(kind)
            if size is None:
                size, position = _varint(message, position)
            value, position = message[position : position + size], position + size
        yield tag >> 3, value


def _varints(message: Any) -> Iterator[int]:
    position = 0
    while position < len(message):
        value, position = _varint(message, position)
        yield value


def _varint(message: Any, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position
