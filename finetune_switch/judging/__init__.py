"""Statistics of judgements, and the form that grades an answer."""
