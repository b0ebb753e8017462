"""Search: a question in, the passages that its asker may see out."""

from finetune_switch.backends.embeddings.question_vectors import each_vector_once

from .retrieval import Retrieval, SearchResult, retrieve, retrieve_for, search, similar_pages

__all__ = [
    "Retrieval",
    "SearchResult",
    "each_vector_once",
    "retrieve",
    "retrieve_for",
    "search",
    "similar_pages",
]
