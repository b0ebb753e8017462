"""Search: a question in, the passages that its asker may see out."""

from .retrieval import Retrieval, SearchResult, retrieve, search, similar_pages

__all__ = ["Retrieval", "SearchResult", "retrieve", "search", "similar_pages"]
