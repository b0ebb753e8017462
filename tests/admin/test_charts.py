"""Charts say what they are given, and a label is never markup."""

from __future__ import annotations

import leather
import pytest
from bs4 import BeautifulSoup

from finetune_switch.admin.charts import HEIGHT, WIDTH, percent_bars


def labels(svg):
    return [text.get_text() for text in BeautifulSoup(svg, "html.parser").select("text")]


def test_a_bar_for_each_value():
    svg = BeautifulSoup(percent_bars([(75.0, "Correct"), (25.0, "Wrong")]), "html.parser")
    bars = svg.select(".series rect")
    long, short = sorted((float(bar["width"]) for bar in bars), reverse=True)
    assert long == pytest.approx(3 * short, rel=0.05)
    assert {"Correct", "Wrong", "0 %", "50 %", "100 %"} == set(labels(str(svg)))


@pytest.mark.parametrize(
    "label",
    [
        "<script>alert(1)</script>",
        "</text></svg><img src=x onerror=alert(1)>",
        '"><style>*{display:none}</style>',
        "Tom & Jerry &lt;3",
        "]]><!-- it's {braces} {0} %s",
    ],
)
def test_a_label_is_text(label):
    svg = percent_bars([(50.0, label)])
    soup = BeautifulSoup(svg, "html.parser")
    assert label in labels(svg)
    assert {tag.name for tag in soup.find_all(True)} <= {"svg", "g", "rect", "line", "text"}
    assert not [tag for tag in soup.find_all(True) if any(name[:2] == "on" for name in tag.attrs)]


def test_the_drawing_is_the_librarys():
    chart = leather.Chart()
    chart.add_bars([(40.0, "Yes")])
    chart.set_x_scale(leather.Linear(0, 100))
    chart.add_x_axis(ticks=[0, 50, 100], tick_formatter=lambda value, *_others: f"{value} %")
    theirs = BeautifulSoup(str(chart.to_svg(width=WIDTH, height=HEIGHT)), "html.parser")
    ours = BeautifulSoup(percent_bars([(40.0, "Yes")]), "html.parser")
    seen = [
        [(tag.name, dict(tag.attrs)) for tag in soup.svg.find_all(True)] for soup in (ours, theirs)
    ]
    assert seen[0] == seen[1]
