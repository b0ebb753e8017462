"""The site's own index: what is in it, how it is kept, and how it is searched."""
