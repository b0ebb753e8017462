"""Text processing without a database: words, citations, excerpts, facts, grounding, masking."""
