"""Search: a question in, the passages that its asker may see out."""

from .retrieval import SearchResult, retrieve, search, similar_pages

__all__ = ["SearchResult", "retrieve", "search", "similar_pages"]
