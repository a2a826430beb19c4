# SPDX-License-Identifier: GPL-2.0-only
"""The curves of a campaign as inline SVG: without scripts and external resources, in the colours of the page."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pygal
from pygal.style import Style

from ..campaign.view.history import Moment, speeds
from ..campaign.view.lines import duration

# pygal installs an import hook that looks for plug-ins at each later import, and Python warns of it. Remove the hook.
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != "pygal"]

_WIDE: Final = 640
_HIGH: Final = 280
# Variables of the page's style sheet, so that a dark page has light curves.
_STYLE: Final = Style(
    background="transparent",
    plot_background="transparent",
    foreground="var(--text)",
    foreground_strong="var(--text)",
    foreground_subtle="var(--dim)",
    colors=("var(--new)", "var(--good)"),
    font_family="inherit",
    label_font_size=17,
    major_label_font_size=17,
    legend_font_size=17,
)
# pygal adds its address, the date, and the settings of a script that is not included.
_LEFT_OUT: Final = re.compile(r"<!--.*?-->|<script.*?</script>", re.DOTALL)
Curve = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart on the page.

    :param title: the heading above it
    :param svg: the chart, inserted into the page without escaping
    """

    title: str
    svg: str


def drawn(name: str, curves: dict[str, Curve]) -> str:
    """Return curves over campaign time as SVG; "" if no curve has two points.

    :param name: a name that is unique on the page
    :param curves: the curves by title
    """
    if all(len(curve) < 2 for curve in curves.values()):
        return ""
    chart = pygal.XY(
        style=_STYLE,
        js=(),
        width=_WIDE,
        height=_HIGH,
        show_dots=False,
        show_x_guides=False,
        show_legend=len(curves) > 1,
        legend_at_bottom=True,
        truncate_legend=-1,
        include_x_axis=True,
        x_label_rotation=0,
        x_value_formatter=duration,
        value_formatter=lambda value: f"{value:,.10g}",
        x_labels=_ticks(max(curve[-1][0] for curve in curves.values() if curve)),
        disable_xml_declaration=True,
        classes=("chart",),
    )
    # The default is random, which would make each page different.
    chart.uuid = name
    for title, curve in curves.items():
        chart.add(title, [(at, value) for at, value in curve])
    return _LEFT_OUT.sub("", str(chart.render(is_unicode=True)))


def _ticks(end: float) -> list[float]:
    """Return five positions on the time axis."""
    return [end * part / 4 for part in range(5)]


def charts(moments: list[Moment]) -> list[Chart]:
    """Return the charts of a campaign's history."""
    made: list[tuple[str, str, dict[str, Curve]]] = [
        ("Features", "features", {"features": [(each.elapsed, each.features) for each in moments]}),
        ("Programs in the corpus", "corpus", {"corpus": [(each.elapsed, each.corpus) for each in moments]}),
        ("Programs per second", "speed", {"programs/s": speeds(moments)}),
        ("Findings", "findings-curve", {"findings": [(each.elapsed, each.findings) for each in moments]}),
    ]
    return [Chart(title, svg) for title, name, curves in made if (svg := drawn(name, curves))]
