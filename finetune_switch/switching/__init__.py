"""Choose the chat backend of a site, and look after chat backends."""
