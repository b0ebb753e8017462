"""Charts, drawn as SVG whose colours are those of the admin's stylesheet."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.safestring import SafeString, mark_safe

# As wide as a telephone leaves room for.
WIDTH, HEIGHT = 280, 170


def percent_bars(bars: Sequence[tuple[float, str]]) -> SafeString:
    """A bar for each value from 0 to 100, with its label, as an SVG element."""
    import leather

    chart = leather.Chart()
    chart.add_bars(bars)
    chart.set_x_scale(leather.Linear(0, 100))
    chart.add_x_axis(ticks=[0, 50, 100], tick_formatter=lambda value, *_others: f"{value} %")
    # The library escapes the labels.
    return mark_safe(chart.to_svg(width=WIDTH, height=HEIGHT))  # noqa: S308
