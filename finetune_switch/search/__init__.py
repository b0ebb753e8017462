"""Retrieval of passages and pages that the asker may open."""

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
