"""The site's own index: build it, keep it current, and search it."""
