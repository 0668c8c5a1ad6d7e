"""Robustness curves: AP over the noise rate and over gamma, class by class, with the spread over seeds.

Frames hold a row per point: `loss` (label), `kind` ('ce' or 'focal'), `gamma`, `missing_rate`, `mean`, `sd`, `low`,
`high`, `n` (seeds); per class also `class_name`. AP is a fraction. `sd` is nan where there is one seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from noisedash.figures.style import GREY, LineStyle, faded, in_style, loss_style, new_figure, plain, rate_style
from noisedash.published import GammaCurve, NoiseCurve

Spread = Literal["sd", "range"]
AP_TITLE = "mAP@.50"
_DODGE = 0.006
"""Curves are set apart by this share of the axis, so that their error bars do not hide each other."""
_PAPER = LineStyle(GREY, "dash", "circle-open")


def ap_over_rate(points: pd.DataFrame, spread: Spread, published: Sequence[NoiseCurve] = ()) -> go.Figure:
    """mAP over the share of missing labels, a curve per loss; the paper's curves dashed in grey below them."""
    figure = new_figure("missing labels in training", AP_TITLE)
    for curve in published:
        style = loss_style("ce" if curve.gamma is None else "focal", curve.gamma or 0.0)
        name = "paper: CE" if curve.gamma is None else f"paper: FL γ={curve.gamma:g}"
        figure.add_trace(_paper(curve.missing_rates, curve.mean_ap, style.marker, name))
    figure.add_traces(_loss_traces(points, spread))
    rates = {*points["missing_rate"], *(rate for curve in published for rate in curve.missing_rates)}
    _rate_axis(figure, rates)
    return figure


def ap_over_gamma(points: pd.DataFrame, spread: Spread, published: Sequence[GammaCurve] = ()) -> go.Figure:
    """mAP over the focal loss's gamma, a curve per noise rate; cross-entropy as a level line in the rate's colour."""
    figure = new_figure("γ of the focal loss", AP_TITLE)
    for curve in published:
        marker = rate_style(curve.missing_rate).marker
        figure.add_trace(_paper(curve.gammas, curve.mean_ap, marker, f"paper: {100 * curve.missing_rate:g} %"))
    focal, ce = points[points["kind"] == "focal"], points[points["kind"] == "ce"]
    for rate in sorted(points["missing_rate"].unique()):
        style, name = rate_style(rate), f"{100 * rate:g} % missing"
        own = focal[focal["missing_rate"] == rate].sort_values("gamma")
        if len(own):
            figure.add_trace(_measured(own, "gamma", 0.0, style, name, spread))
        for level in ce.loc[ce["missing_rate"] == rate, "mean"]:
            _add_level(figure, level, style.color, f"CE, {100 * rate:g} %")
    figure.update_xaxes(dtick=1)
    return figure


def class_curves(points: pd.DataFrame, classes: Sequence[str], spread: Spread, columns: int = 2) -> go.Figure:
    """AP of single classes over the noise rate, a panel for each, all on the same axes."""
    rows = max(1, -(-len(classes) // columns))
    figure = make_subplots(
        rows,
        columns,
        subplot_titles=[plain(name) for name in classes],
        shared_xaxes="all",
        shared_yaxes="all",
        vertical_spacing=0.3 / rows,
        horizontal_spacing=0.07,
    )
    in_style(figure, "", "", height=120 + 190 * rows)
    for index, name in enumerate(classes):
        own = points[points["class_name"] == name]
        traces = _loss_traces(own, spread)
        for trace in traces:
            trace.update(showlegend=index == 0, legendgroup=trace.name)
        place = {"rows": index // columns + 1, "cols": index % columns + 1}
        figure.add_traces(traces, **{key: [value] * len(traces) for key, value in place.items()})
    _rate_axis(figure, set(points["missing_rate"]))
    figure.update_yaxes(title_text="AP@.50", col=1)
    figure.update_xaxes(title_text="missing labels", row=rows)
    return figure


@dataclass(frozen=True)
class Series:
    """One line of a figure over training steps."""

    name: str
    steps: Sequence[int]
    values: Sequence[float]


def over_steps(series: Sequence[Series], y_title: str, colors: Sequence[LineStyle]) -> go.Figure:
    """Lines over the training step, at most 200 points each."""
    figure = new_figure("training step", y_title, height=300)
    for line, style in zip(series, colors, strict=True):
        every = max(1, -(-len(line.steps) // 200))
        figure.add_trace(
            go.Scatter(
                x=list(line.steps[::every]),
                y=list(line.values[::every]),
                name=line.name,
                mode="lines+markers" if len(line.steps) < 12 else "lines",
                line={"color": style.color, "dash": style.dash, "width": 2},
                marker={"symbol": style.marker, "size": 7},
                hovertemplate="%{fullData.name}<br>step %{x:,}<br>%{y:.4g}<extra></extra>",
            )
        )
    return figure


def shared_range(frames: Sequence[pd.DataFrame], also: Sequence[float] = ()) -> tuple[float, float]:
    """One range of AP for charts that stand side by side: all means with their spread, and some air.

    >>> shared_range([pd.DataFrame({"low": [0.5], "high": [0.7], "mean": [0.6], "sd": [float("nan")]})])
    (0.48, 0.72)
    """
    lows = [min(frame["low"].min(), (frame["mean"] - frame["sd"]).min()) for frame in frames if len(frame)]
    highs = [max(frame["high"].max(), (frame["mean"] + frame["sd"]).max()) for frame in frames if len(frame)]
    low, high = min([*lows, *also], default=0.0), max([*highs, *also], default=1.0)
    air = max(0.1 * (high - low), 0.01)
    return max(0.0, round(float(low - air), 4)), min(1.0, round(float(high + air), 4))


def _loss_traces(points: pd.DataFrame, spread: Spread) -> list[go.Scatter]:
    """A trace per loss, cross-entropy first, then by gamma; each shifted a little along the rate."""
    order = points[["loss", "kind", "gamma"]].drop_duplicates().sort_values(["kind", "gamma"])
    reach = max(points["missing_rate"].max(), 0.1) if len(points) else 0.0
    traces = []
    for position, (loss, kind, gamma) in enumerate(order.itertuples(index=False)):
        own = points[points["loss"] == loss].sort_values("missing_rate")
        shift = (position - (len(order) - 1) / 2) * _DODGE * reach
        traces.append(_measured(own, "missing_rate", shift, loss_style(kind, gamma), loss, spread))
    return traces


def _measured(
    points: pd.DataFrame, x: Literal["missing_rate", "gamma"], shift: float, style: LineStyle, name: str, spread: Spread
) -> go.Scatter:
    where = "%{customdata[0]:.3~%} missing" if x == "missing_rate" else "γ = %{customdata[0]:g}"
    details = (
        f"%{{fullData.name}}, {where}<br>mean %{{y:.4f}}, n = %{{customdata[3]}}"
        "<br>lowest %{customdata[1]:.4f}, highest %{customdata[2]:.4f}<extra></extra>"
    )
    return go.Scatter(
        x=(points[x] + shift).round(6),
        y=points["mean"].round(5),
        name=name,
        mode="lines+markers",
        line={"color": style.color, "dash": style.dash, "width": 2.25},
        marker={"symbol": style.marker, "size": 9, "color": style.color},
        error_y=_error_bars(points, spread, style.color),
        customdata=points[[x, "low", "high", "n"]],
        hovertemplate=details,
    )


def _error_bars(points: pd.DataFrame, spread: Spread, color: str) -> dict[str, Any]:
    if spread == "sd":
        above = below = points["sd"].fillna(0.0)
    else:
        above, below = points["high"] - points["mean"], points["mean"] - points["low"]
    bars = {"type": "data", "array": above.round(5), "arrayminus": below.round(5)}
    return {**bars, "color": faded(color, 0.8), "thickness": 1.5, "width": 4, "visible": bool(points["n"].max() > 1)}


def _paper(x: Sequence[float], y: Sequence[float], marker: str, name: str) -> go.Scatter:
    style = replace(_PAPER, marker=f"{marker}-open")
    return go.Scatter(
        x=x,
        y=y,
        name=name,
        mode="lines+markers",
        line={"color": style.color, "dash": style.dash, "width": 1.5},
        marker={"symbol": style.marker, "size": 8, "color": style.color},
        hovertemplate="%{fullData.name}<br>%{y:.4f} at %{x}<extra></extra>",
    )


def _add_level(figure: go.Figure, level: float, color: str, text: str) -> None:
    figure.add_hline(
        y=level,
        line={"color": color, "width": 1.25, "dash": "dot"},
        annotation={"text": text, "xanchor": "right", "yanchor": "bottom", "font": {"size": 12}},
        annotation_position="top right",
    )


def _rate_axis(figure: go.Figure, rates: set[float]) -> None:
    figure.update_xaxes(tickvals=sorted(rates), tickformat=".3~%")
