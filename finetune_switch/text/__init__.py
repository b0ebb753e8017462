"""Language without a database: words, citations, excerpts, facts, grounding and masking."""
