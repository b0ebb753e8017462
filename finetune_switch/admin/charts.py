"""Charts as SVG, coloured by the admin's stylesheet."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from django.forms.utils import flatatt
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

# The width of a phone's screen, less its margins.
WIDTH, HEIGHT = 280, 170


def percent_bars(bars: Sequence[tuple[float, str]]) -> SafeString:
    """An SVG element with a bar for each value from 0 to 100, and its label."""
    import leather

    chart = leather.Chart()
    chart.add_bars(bars)
    chart.set_x_scale(leather.Linear(0, 100))
    chart.add_x_axis(ticks=[0, 50, 100], tick_formatter=lambda value, *_others: f"{value} %")
    drawing = _as_html(chart.to_svg_group(WIDTH, HEIGHT))
    return format_html('<svg width="{}" height="{}">{}</svg>', WIDTH, HEIGHT, drawing)


def _as_html(element: Element) -> SafeString:
    # Django escapes each text and attribute here; the library's own markup is never used.
    children = format_html_join("", "{}", ((_as_html(child),) for child in element))
    return format_html(
        "<{0}{1}>{2}{3}</{0}>", element.tag, flatatt(element.attrib), element.text or "", children
    )
