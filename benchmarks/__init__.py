"""What the plugin costs, side by side with doing without it. ``python -m benchmarks``."""
