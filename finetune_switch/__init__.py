"""Choose which language model answers on a Wagtail site, and switch it from the admin."""

__version__ = "0.1.0"
