"""Public endpoints, the chat widget and the search page."""
