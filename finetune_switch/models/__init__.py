from .backend import ChatBackend, SystemPrompt
from .comparison import Column, Comparison
from .evaluation import Question, QuestionSet
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
from .judgement import Grade, Preference, Reveal
from .switch import Switch

__all__ = [
    "ChatBackend",
    "Chunk",
    "Column",
    "Comparison",
    "Document",
    "EmbeddingSpace",
    "Exchange",
    "Exclusion",
    "Grade",
    "IndexBuild",
    "Origin",
    "Outcome",
    "PendingUpdate",
    "Preference",
    "Question",
    "QuestionSet",
    "RemovedChunk",
    "Reveal",
    "Switch",
    "SystemPrompt",
]
