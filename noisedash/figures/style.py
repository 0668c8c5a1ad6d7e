"""One look for every figure: what a colour, a dash and a marker mean, on light and dark alike.

Hues are Okabe and Ito's (2008), chosen or shaded so that each reaches 3:1 on white and on the dark theme. Cross-entropy
is warm; the focal losses run from green over blue to purple as gamma grows. Colour is never the only sign.
"""

import html
import math
from dataclasses import dataclass
from itertools import pairwise

import plotly.graph_objects as go

from noisedash.spec import CrossEntropy, Focal

VERMILLION = "#d55e00"
GREEN = "#009e73"
SKY = "#3496d4"
BLUE = "#0072b2"
PURPLE = "#cc79a7"
GREY = "#808a96"
INK = "#2a3140"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

KEPT = SKY
DROPPED = VERMILLION
"""A dropped box is a negative to the loss: both are drawn in this colour."""

_GAMMA_COLORS = ((0.0, GREEN), (2.0, SKY), (5.0, BLUE), (8.0, PURPLE))
_GAMMA_SIGNS = (
    ("dot", "circle"),
    ("dashdot", "triangle-up"),
    ("dash", "diamond"),
    ("longdash", "pentagon"),
    ("longdashdot", "triangle-down"),
    ("8px,3px", "star"),
    ("12px,4px,2px,4px", "hexagon"),
    ("2px,2px", "triangle-left"),
    ("4px,2px", "cross"),
)
"""Dash and marker of gamma 0, 1 … 8 and above; between them the nearest."""
_RATE_COLORS = ((0.0, BLUE), (0.45, PURPLE), (1.0, VERMILLION))
_RATE_DASHES = ("solid", "dash", "dashdot", "longdash", "longdashdot", "dot")
_RATE_MARKERS = ("circle", "diamond", "triangle-up", "pentagon", "hexagon", "square")
_LEGEND_WIDTH, _LEGEND_ROW, _LEGEND_MARK, _LEGEND_LETTER = 520, 20, 50, 7
"""Pixels, roughly: of a figure in two columns, of a legend's row, and of an entry's line and letters."""
_MANY_CATEGORIES = (SKY, VERMILLION, GREEN, PURPLE, BLUE, "#b07a00", GREY)


@dataclass(frozen=True)
class BoxStyle:
    """How a box of one fate is drawn on a picture."""

    color: str
    dash: str
    """SVG's stroke-dasharray, '' for a solid line."""
    sign: str
    """What stands before its name, so that the fate can be told without colour."""


BOX_STYLES = {
    "kept": BoxStyle("#56b4e9", "", ""),
    "dropped": BoxStyle("#d55e00", "8 5", "✕"),
    "moved": BoxStyle("#009e73", "16 4", "↔"),
    "relabelled": BoxStyle("#cc79a7", "10 3 2 3", "≠"),
    "invented": BoxStyle("#f0e442", "2 4", "+"),
    "crowd": BoxStyle("#d5dae2", "1 6", ""),
}
"""By fate, in Okabe and Ito's own hues: on pictures lines have a dark edge, which these hues stand out from."""


@dataclass(frozen=True)
class LineStyle:
    """How one thing is drawn wherever it appears."""

    color: str
    dash: str
    marker: str


def loss_style(kind: str, gamma: float) -> LineStyle:
    """The style of a loss of kind 'ce' or 'focal'; gamma is ignored for 'ce'.

    >>> loss_style("ce", 0.0).color == VERMILLION
    True
    >>> loss_style("focal", 2.0).color == SKY
    True
    """
    if kind == "ce":
        return LineStyle(VERMILLION, "solid", "square")
    return LineStyle(_on_scale(gamma, _GAMMA_COLORS), *_GAMMA_SIGNS[min(round(gamma), len(_GAMMA_SIGNS) - 1)])


def style_of(loss: CrossEntropy | Focal) -> LineStyle:
    """The style of a loss of a RunSpec."""
    return loss_style(loss.kind, loss.gamma if isinstance(loss, Focal) else 0.0)


def rate_style(rate: float) -> LineStyle:
    """The style of a noise rate in [0, 1]: blue where labels are clean, vermillion from one half missing on."""
    step = min(round(rate * 10), len(_RATE_DASHES) - 1)
    return LineStyle(_on_scale((2 * rate) ** 0.5, _RATE_COLORS), _RATE_DASHES[step], _RATE_MARKERS[step])


def category_style(index: int) -> LineStyle:
    """The style of the index-th of things without an order (classes, runs)."""
    return LineStyle(
        _MANY_CATEGORIES[index % len(_MANY_CATEGORIES)],
        ("solid", "dash", "dot", "dashdot", "longdash")[index // len(_MANY_CATEGORIES) % 5],
        _RATE_MARKERS[index % len(_RATE_MARKERS)],
    )


def new_figure(x_title: str, y_title: str, height: int = 380) -> go.Figure:
    """An empty figure in the house style, its two axes named."""
    return in_style(go.Figure(), x_title, y_title, height)


def in_style(figure: go.Figure, x_title: str, y_title: str, height: int) -> go.Figure:
    """The figure, made transparent, with its axes named and its legend in rows above the plot.

    The page draws its texts in its own colour; the colour set here is the one of a picture that is saved.
    """
    figure.update_layout(
        template="none",
        height=height,
        font={"family": FONT, "size": 13, "color": INK},
        margin={"l": 58, "r": 16, "t": 48, "b": 50},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        hovermode="closest",
        hoverlabel={"namelength": -1},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "itemwidth": 36},
        modebar={"remove": ["select2d", "lasso2d", "autoScale2d"], "bgcolor": "rgba(0,0,0,0)", "color": GREY},
    )
    axis = {"gridcolor": faded(GREY, 0.25), "linecolor": GREY, "tickcolor": GREY, "zeroline": False}
    figure.update_xaxes(**axis, showline=True, ticks="outside", showgrid=False)
    figure.update_yaxes(**axis, rangemode="tozero")
    figure.update_layout(xaxis_title={"text": x_title, "standoff": 10}, yaxis_title={"text": y_title, "standoff": 12})
    return figure


def with_room_for_legend(figure: go.Figure) -> go.Figure:
    """The figure, higher by the legend's rows beyond the first two: else a long legend takes its room from the plot."""
    names = [trace.name for trace in figure.data if trace.name and trace.showlegend is not False]
    widest = max((_LEGEND_LETTER * len(name) + _LEGEND_MARK for name in names), default=1)
    rows = math.ceil(len(names) / max(1, _LEGEND_WIDTH // widest))
    return figure.update_layout(height=figure.layout.height + _LEGEND_ROW * max(0, rows - 2))


def plain(text: str) -> str:
    """Text that a person typed, for a place where Plotly reads tags.

    >>> plain("<b>cup</b>")
    '&lt;b&gt;cup&lt;/b&gt;'
    """
    return html.escape(text, quote=False)


def faded(color: str, opacity: float) -> str:
    """'#rrggbb' as 'rgba(...)'.

    >>> faded("#0072b2", 0.5)
    'rgba(0,114,178,0.5)'
    """
    red, green, blue = _channels(color)
    return f"rgba({red},{green},{blue},{opacity:g})"


def _on_scale(value: float, scale: tuple[tuple[float, str], ...]) -> str:
    """The colour at `value` of a piecewise linear scale; its ends beyond it."""
    if value <= scale[0][0]:
        return scale[0][1]
    for (low, low_color), (high, high_color) in pairwise(scale):
        if value <= high:
            return _mix(low_color, high_color, (value - low) / (high - low))
    return scale[-1][1]


def _mix(first: str, second: str, share: float) -> str:
    mixed = (round(a + (b - a) * share) for a, b in zip(_channels(first), _channels(second), strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


def _channels(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
