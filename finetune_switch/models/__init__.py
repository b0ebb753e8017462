from .backend import ChatBackend, SystemPrompt
from .exchange import Exchange, Origin, Outcome
from .index import (
    Chunk,
    Document,
    EmbeddingSpace,
    Exclusion,
    IndexBuild,
    PendingUpdate,
    RemovedChunk,
)
from .switch import Switch

__all__ = [
    "ChatBackend",
    "Chunk",
    "Document",
    "EmbeddingSpace",
    "Exchange",
    "Exclusion",
    "IndexBuild",
    "Origin",
    "Outcome",
    "PendingUpdate",
    "RemovedChunk",
    "Switch",
    "SystemPrompt",
]
