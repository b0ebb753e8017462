"""Ollama's model information, for ``/api/tags``, ``/api/ps`` and ``/api/show``."""

from __future__ import annotations

import hashlib
from typing import Any

from .behaviours import Model

MODIFIED_AT = "2026-11-02T07:30:00.000000001Z"


def _digest(model: Model) -> str:
    return hashlib.sha256(f"{model.tag_name}|{model.digest_salt}".encode()).hexdigest()


def _model_details(model: Model) -> dict[str, Any]:
    return {
        "parent_model": model.parent_model,
        "format": "gguf",
        "family": "llama",
        "families": ["llama"],
        "parameter_size": "1.97M",
        "quantization_level": "Q8_0",
    }


def entry(model: Model) -> dict[str, Any]:
    """An entry of ``/api/tags`` (api/types.go:797-832)."""
    return {
        "name": model.tag_name,
        "model": model.tag_name,
        "modified_at": MODIFIED_AT,
        "size": 2_126_560,
        "digest": _digest(model),
        "details": _model_details(model)
        | {"context_length": model.context_length, "embedding_length": 192},
        "capabilities": list(model.capabilities),
    }


def details(model: Model) -> dict[str, Any]:
    """The response of ``/api/show`` (api/types.go:737-755)."""
    base = model.parent_model or f"/models/blobs/sha256-{_digest(model)}"
    parameters = f'num_ctx {model.context_length}\nstop "<|end|>"'
    return {
        "license": "A stand-in: there are no weights.",
        "modelfile": (
            f'# A stand-in\nFROM {base}\nTEMPLATE """{model.template}"""\n'
            f"PARAMETER num_ctx {model.context_length}\nPARAMETER stop <|end|>\n"
        ),
        "parameters": parameters,
        "template": model.template,
        "details": _model_details(model),
        "model_info": {
            "general.architecture": "llama",
            "general.parameter_count": 1_970_000,
            "llama.context_length": model.context_length,
            "llama.embedding_length": 192,
            "tokenizer.ggml.model": "gpt2",
        },
        "capabilities": list(model.capabilities),
        "modified_at": MODIFIED_AT,
    }
