"""Charts, drawn as SVG whose colours are those of the admin's stylesheet."""

from __future__ import annotations

from django.utils.safestring import SafeString, mark_safe

from finetune_switch.comparisons.tally import BackendTally
from finetune_switch.models import Grade

# As wide as a telephone leaves room for.
WIDTH, HEIGHT = 280, 170


def grades_chart(row: BackendTally) -> SafeString:
    """How a backend's grades are shared out, in hundredths of all that it was given."""
    import leather

    chart = leather.Chart()
    shares = [
        (100 * count / row.graded, str(label))
        for count, label in zip(row.grade_counts, Grade.Value.labels, strict=True)
    ]
    chart.add_bars(shares)
    chart.set_x_scale(leather.Linear(0, 100))
    chart.add_x_axis(ticks=[0, 50, 100], tick_formatter=lambda value, *_others: f"{value} %")
    # It holds our own labels and numbers, escaped by the library: no name that somebody chose.
    return mark_safe(chart.to_svg(width=WIDTH, height=HEIGHT))  # noqa: S308
