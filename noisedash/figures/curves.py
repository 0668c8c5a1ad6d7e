"""Robustness curves: AP over the noise rate and over gamma, class by class, with the spread over seeds.

Frames are those of `studies.summary.aggregate`: a row per point with `loss` (label), `settings` (text, '' where all
runs agree), `kind` ('ce' or 'focal'), `gamma`, `missing_rate`, `class_name`, `mean`, `sd` (nan for one seed), `low`,
`high` and `n` (seeds).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from noisedash.figures.style import (
    GREY,
    LineStyle,
    faded,
    in_style,
    loss_style,
    new_figure,
    plain,
    rate_style,
    with_room_for_legend,
)
from noisedash.published import GammaCurve, NoiseCurve

Spread = Literal["sd", "range"]
_FILLINGS = ("-open", "-open-dot", "-dot")
_DODGE = 0.006
"""Curves are set apart by this share of the axis, so that their error bars do not hide each other."""


@dataclass(frozen=True)
class Measure:
    """What stands on the vertical axis."""

    title: str
    digits: int
    is_loss: bool = False
    """Whether it is points lost since clean labels; then what was published is turned into that too."""


MAP = Measure("mAP@.50", 4)
POINTS_LOST = Measure("mAP points lost since clean labels", 2, is_loss=True)


def lost_since_clean(points: pd.DataFrame) -> pd.DataFrame:
    """The frame with the drop since clean labels, in points, in place of AP; rows without a clean run left out."""
    low, high = points["drop_mean"] - points["drop_sd"].fillna(0), points["drop_mean"] + points["drop_sd"].fillna(0)
    lost = points.assign(mean=points["drop_mean"], sd=points["drop_sd"], low=low, high=high, n=points["drop_n"])
    return lost[lost["n"] > 0]


def ap_over_rate(
    points: pd.DataFrame, spread: Spread, published: Sequence[NoiseCurve] = (), measure: Measure = MAP
) -> go.Figure:
    """AP over the share of missing labels, a curve per loss; the paper's curves dashed in grey below them."""
    figure = new_figure("missing labels in training", measure.title)
    for curve in published:
        style = loss_style("ce" if curve.gamma is None else "focal", curve.gamma or 0.0)
        name = "paper: CE" if curve.gamma is None else f"paper: FL γ={curve.gamma:g}"
        figure.add_trace(_paper(curve.missing_rates, _as_measured(curve.mean_ap, measure), style.marker, name, "rate"))
    figure.add_traces(_loss_traces(points, spread, measure))
    _rate_axis(figure, {*points["missing_rate"], *(rate for curve in published for rate in curve.missing_rates)})
    return with_room_for_legend(figure)


def published_over_rate(published: Sequence[NoiseCurve]) -> go.Figure:
    """The paper's Figure 3 for one dataset, in the colours of its losses."""
    figure = new_figure("missing labels in training", MAP.title)
    for curve in published:
        kind, gamma = ("ce", 0.0) if curve.gamma is None else ("focal", curve.gamma)
        style, name = loss_style(kind, gamma), "CE" if curve.gamma is None else f"FL γ={gamma:g}"
        trace = _paper(curve.missing_rates, curve.mean_ap, style.marker, name, "rate")
        own = {"color": style.color, "dash": style.dash, "width": 2.25}
        figure.add_trace(trace.update(line=own, marker={"symbol": style.marker, "size": 9, "color": style.color}))
    _rate_axis(figure, set(published[0].missing_rates))
    figure.update_yaxes(rangemode="normal")
    return figure


def ap_over_gamma(
    points: pd.DataFrame, spread: Spread, published: Sequence[GammaCurve] = (), measure: Measure = MAP
) -> go.Figure:
    """AP over the focal loss's gamma, a curve per noise rate; cross-entropy as a level line in the rate's colour.

    Where some rates were trained at several gammas, those at a single one are left to the figure over the noise.
    """
    figure = new_figure("γ of the focal loss", measure.title)
    for curve in published:
        name, marker = f"paper: {100 * curve.missing_rate:g} %", rate_style(curve.missing_rate).marker
        clean = next(other.mean_ap for other in published if other.missing_rate == 0)
        figure.add_trace(_paper(curve.gammas, _as_measured(curve.mean_ap, measure, clean), marker, name, "gamma"))
    gammas = points.groupby(["missing_rate", "settings"])["gamma"].nunique()
    for rate, settings in (gammas[gammas > 1] if (gammas > 1).any() else gammas).index:
        group = points[(points["missing_rate"] == rate) & (points["settings"] == settings)]
        style, name = rate_style(rate), _with_settings(f"{100 * rate:g} % missing", settings)
        own = group[group["kind"] == "focal"].sort_values("gamma")
        if len(own):
            figure.add_trace(_measured(own, "gamma", 0.0, style, name, spread, measure))
        for level in group.loc[group["kind"] == "ce", "mean"]:
            ends = [points["gamma"].min(), points["gamma"].max()]
            figure.add_trace(_level(ends, level, style.color, f"CE, {name}", measure))
    figure.update_xaxes(dtick=1)
    return with_room_for_legend(figure)


def class_curves(
    points: pd.DataFrame, classes: Sequence[str], spread: Spread, measure: Measure = MAP, columns: int = 2
) -> go.Figure:
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
    in_style(figure, "", "", height=130 + 190 * rows)
    for index, name in enumerate(classes):
        traces = _loss_traces(points[points["class_name"] == name], spread, measure)
        for trace in traces:
            trace.update(showlegend=index == 0, legendgroup=trace.name)
        place = {"rows": index // columns + 1, "cols": index % columns + 1}
        figure.add_traces(traces, **{key: [value] * len(traces) for key, value in place.items()})
    _rate_axis(figure, set(points["missing_rate"]))
    figure.update_yaxes(title_text="points lost" if measure.is_loss else "AP@.50", col=1)
    figure.update_xaxes(title_text="missing labels", row=rows)
    figure.update_layout(legend={"y": 1 + 60 / (190 * rows)}, margin={"t": 110})
    return figure


@dataclass(frozen=True)
class Series:
    """One line of a figure over training steps."""

    name: str
    steps: Sequence[int]
    values: Sequence[float]
    style: LineStyle


def over_steps(series: Sequence[Series], y_title: str) -> go.Figure:
    """Lines over the training step, thinned to about 200 points each, the last one kept."""
    figure = new_figure("training step", y_title)
    figure.update_layout(showlegend=True)
    for line in series:
        shown = sorted({*range(0, len(line.steps), max(1, len(line.steps) // 200)), len(line.steps) - 1})
        figure.add_trace(
            go.Scatter(
                x=[line.steps[index] for index in shown if index >= 0],
                y=[round(line.values[index], 6) for index in shown if index >= 0],
                name=line.name,
                mode="lines+markers" if len(line.steps) < 12 else "lines",
                line={"color": line.style.color, "dash": line.style.dash, "width": 2},
                marker={"symbol": line.style.marker, "size": 7},
                hovertemplate="%{fullData.name}<br>step %{x:,}<br>%{y:.4g}<extra></extra>",
            )
        )
    return with_room_for_legend(figure)


def shared_range(frames: Sequence[pd.DataFrame], also: Sequence[float] = ()) -> tuple[float, float]:
    """One range for charts that stand side by side: all means with their spread, `also`, and some air.

    >>> shared_range([pd.DataFrame({"low": [0.5], "high": [0.7], "mean": [0.6], "sd": [float("nan")]})])
    (0.48, 0.72)
    """
    lows = [min(frame["low"].min(), (frame["mean"] - frame["sd"].fillna(0)).min()) for frame in frames if len(frame)]
    highs = [max(frame["high"].max(), (frame["mean"] + frame["sd"].fillna(0)).max()) for frame in frames if len(frame)]
    low, high = min([*lows, *also], default=0.0), max([*highs, *also], default=1.0)
    air = max(0.1 * (high - low), 0.01)
    return round(float(low - air), 4), round(float(high + air), 4)


def _loss_traces(points: pd.DataFrame, spread: Spread, measure: Measure) -> list[go.Scatter]:
    """A trace per loss and settings, cross-entropy first, then by gamma; each shifted a little along the rate."""
    order = points[["loss", "settings", "kind", "gamma"]].drop_duplicates().sort_values(["kind", "gamma", "settings"])
    texts = list(dict.fromkeys(order["settings"]))
    reach = max(points["missing_rate"].max(), 0.1) if len(points) else 0.0
    traces = []
    for position, (loss, settings, kind, gamma) in enumerate(order.itertuples(index=False)):
        own = points[(points["loss"] == loss) & (points["settings"] == settings)].sort_values("missing_rate")
        shift = (position - (len(order) - 1) / 2) * _DODGE * reach
        style = _variant(loss_style(kind, gamma), texts.index(settings))
        traces.append(_measured(own, "missing_rate", shift, style, _with_settings(loss, settings), spread, measure))
    return traces


def _variant(style: LineStyle, number: int) -> LineStyle:
    """The same loss under other settings: the same colour, paler, the marker's filling another."""
    if number == 0:
        return style
    filling = _FILLINGS[(number - 1) % len(_FILLINGS)]
    return replace(style, color=faded(style.color, max(0.4, 0.9 - 0.1 * number)), marker=f"{style.marker}{filling}")


def _with_settings(name: str, settings: str) -> str:
    return plain(f"{name} ({settings})" if settings else name)


def _measured(
    points: pd.DataFrame,
    x: Literal["missing_rate", "gamma"],
    shift: float,
    style: LineStyle,
    name: str,
    spread: Spread,
    measure: Measure,
) -> go.Scatter:
    where = "%{customdata[0]:.3~%} missing" if x == "missing_rate" else "γ = %{customdata[0]:g}"
    number = f".{measure.digits}f"
    details = (
        f"%{{fullData.name}}, {where}<br>mean %{{y:{number}}}, n = %{{customdata[3]}}"
        f"<br>from %{{customdata[1]:{number}}} to %{{customdata[2]:{number}}}<extra></extra>"
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
    shown = bool(len(points) and points["n"].max() > 1)
    bars = {"type": "data", "array": above.round(5), "arrayminus": below.round(5), "visible": shown}
    return {**bars, "color": color, "thickness": 1.5, "width": 4}


def _paper(
    x: Sequence[float], y: Sequence[float], marker: str, name: str, kind: Literal["rate", "gamma"]
) -> go.Scatter:
    where = "%{x:.3~%} missing" if kind == "rate" else "γ = %{x:g}"
    return go.Scatter(
        x=x,
        y=y,
        name=name,
        mode="lines+markers",
        line={"color": GREY, "dash": "dash", "width": 1.5},
        marker={"symbol": f"{marker}-open", "size": 8, "color": GREY},
        hovertemplate=f"%{{fullData.name}}, {where}<br>%{{y:.4~f}}<extra></extra>",
    )


def _as_measured(aps: Sequence[float], measure: Measure, clean: Sequence[float] | None = None) -> list[float]:
    """What was published, as AP or as points lost since clean labels (by default the curve's own first point)."""
    if not measure.is_loss:
        return list(aps)
    references = [aps[0]] * len(aps) if clean is None else clean
    return [round(100 * (reference - ap), 2) for reference, ap in zip(references, aps, strict=True)]


def _level(ends: Sequence[float], level: float, color: str, name: str, measure: Measure) -> go.Scatter:
    """A level line from one value of gamma to another, for a loss that has none."""
    return go.Scatter(
        x=list(ends),
        y=[round(level, 5)] * 2,
        name=name,
        mode="lines",
        line={"color": color, "width": 1.5, "dash": "2px,5px"},
        hovertemplate=f"%{{fullData.name}}<br>mean %{{y:.{measure.digits}f}}<extra></extra>",
    )


def _rate_axis(figure: go.Figure, rates: set[float]) -> None:
    figure.update_xaxes(tickvals=sorted(rates), tickformat=".3~%")
