"""What evaluation says, as pictures: thresholds, precision and recall, false alarms, causes of errors, intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from noisedash.evaluation.causes import Cause, FixedCause
from noisedash.evaluation.falsealarms import PER_IMAGE, RecallAtFalsePositives
from noisedash.evaluation.precision import PrecisionRecall
from noisedash.figures.style import GREY, LineStyle, faded, loss_style, new_figure, plain

_CURVE_RECALLS = np.linspace(0.0, 1.0, 101)
_PATTERNS = ("", "/", "x", ".", "\\", "-", "+")
CAUSE_TEXTS: dict[Cause, str] = {
    Cause.CLASSIFICATION: "classification: right place, wrong class",
    Cause.LOCALISATION: "localisation: right class, wrong place",
    Cause.BOTH: "both: wrong class, wrong place",
    Cause.DUPLICATE: "duplicate: the object was found already",
    Cause.BACKGROUND: "background: no object there",
    Cause.MISSED: "missed: the object was not found",
}


@dataclass(frozen=True)
class Curve:
    """One line of a figure, with a band round it where `low` and `high` are given."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: LineStyle
    low: Sequence[float] = ()
    high: Sequence[float] = ()


def ap_over_threshold(curves: Sequence[Curve], marked: Sequence[float] = (0.01, 0.3)) -> go.Figure:
    """mAP over the score threshold, a curve per run or loss; upright lines at the `marked` thresholds.

    Where curves that lie apart at the authors' .3 meet at 0, what parted them was how high scores are, not how well
    they are ordered.
    """
    figure = new_figure("score threshold", "mAP@.50")
    for curve in curves:
        figure.add_traces(_traces(curve, "threshold %{x:.3~f}<br>mAP %{y:.4f}"))
    for threshold in marked:
        figure.add_vline(x=threshold, line={"color": GREY, "width": 1, "dash": "dot"}, layer="below")
    figure.update_xaxes(range=[0, 1])
    return figure


def precision_over_recall(curves: Sequence[tuple[str, PrecisionRecall, LineStyle]]) -> go.Figure:
    """Precision over recall of named classes or losses, the highest precision from each recall on (as in AP)."""
    figure = new_figure("recall", "precision")
    for name, curve, style in curves:
        title, precision = f"{name} (AP {curve.average_precision:.3f})", curve.at_recalls(_CURVE_RECALLS)
        line = Curve(title, _CURVE_RECALLS.tolist(), precision.tolist(), style)
        figure.add_traces(_traces(line, "recall %{x:.2f}<br>precision %{y:.3f}"))
    figure.update_xaxes(range=[0, 1])
    figure.update_yaxes(range=[0, 1.02])
    return figure


def recall_over_false_positives(curves: Sequence[tuple[str, RecallAtFalsePositives, LineStyle]]) -> go.Figure:
    """Recall over false positives an image (logarithmic), all classes by one score threshold."""
    figure = new_figure("false positives an image", "recall")
    ticks = sorted({*PER_IMAGE, *(rate for _, made, _ in curves for rate in made.per_image.tolist())})
    for name, made, style in curves:
        figure.add_traces(
            _traces(
                Curve(name, made.per_image.tolist(), made.pooled.tolist(), style),
                "%{x:.3~f} false positives an image<br>recall %{y:.3f}<br>from score %{customdata:.3f} on",
                made.pooled_score.tolist(),
                markers=True,
            )
        )
    figure.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])
    figure.update_yaxes(range=[0, 1.02])
    return figure


def causes_of_errors(runs: Sequence[tuple[str, Sequence[FixedCause], LineStyle]]) -> go.Figure:
    """What fixing each cause alone would give, in points of mAP: a group of bars per cause, a bar per run."""
    figure = new_figure("points of mAP that fixing it would give", "", height=120 + 26 * len(Cause) * max(1, len(runs)))
    for number, (name, fixed, style) in enumerate(runs):
        figure.add_trace(
            go.Bar(
                x=[round(100 * one.gain, 3) for one in fixed],
                y=[CAUSE_TEXTS[one.cause] for one in fixed],
                orientation="h",
                name=plain(name),
                marker={"color": style.color, "pattern": {"shape": _PATTERNS[number % len(_PATTERNS)]}},
                customdata=[[one.count, one.mean_ap] for one in fixed],
                hovertemplate=(
                    "%{fullData.name}: %{y}<br>%{customdata[0]:,} of them<br>"
                    "mAP %{customdata[1]:.4f} if fixed, %{x:+.2f} points<extra></extra>"
                ),
            )
        )
    figure.update_layout(barmode="group", showlegend=True, margin={"l": 270})
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(showgrid=True)
    return figure


def bands_over_rate(table: pd.DataFrame, y_title: str) -> go.Figure:
    """Means over the share of missing labels with their intervals as bands, a curve per loss and settings.

    `table` is one of `studies.robustness` for one class, threshold and step, with `value` and, save for `min_max`,
    `low` and `high`; where an interval is unknown (a single run) there is no band.
    """
    figure = new_figure("missing labels in training", y_title)
    measured = "low" in table
    order = table[["loss", "settings", "kind", "gamma"]].drop_duplicates().sort_values(["kind", "gamma", "settings"])
    for loss, settings, kind, gamma in order.itertuples(index=False):
        own = table[(table["loss"] == loss) & (table["settings"] == settings)].sort_values("missing_rate")
        curve = Curve(
            f"{loss} ({settings})" if settings else str(loss),
            own["missing_rate"].tolist(),
            own["value"].tolist(),
            loss_style(kind, gamma),
            own["low"].tolist() if measured else (),
            own["high"].tolist() if measured else (),
        )
        details = "%{x:.3~%} missing<br>mean %{y:.4~f}"
        if measured:
            details += "<br>%{customdata[0]}<br>runs: %{customdata[1]}<br>varies: %{customdata[2]}"
        figure.add_traces(_traces(curve, details, _told_of(own) if measured else None, markers=True))
    figure.update_xaxes(tickvals=sorted(set(table["missing_rate"])), tickformat=".3~%")
    return figure


def _told_of(table: pd.DataFrame) -> list[list[str]]:
    """What is said of each row of a table with intervals."""
    return [
        [f"{_told(low)} to {_told(high)}" if low == low else "its error is not known", f"{runs}", plain(varies)]
        for low, high, runs, varies in table[["low", "high", "runs", "varies"]].itertuples(index=False)
    ]


@dataclass(frozen=True)
class Whisker:
    """One row of a figure of intervals. An end or value of inf lies beyond what was measured; nan is not known."""

    name: str
    value: float
    low: float
    high: float
    style: LineStyle


def whiskers(rows: Sequence[Whisker], x_title: str, beyond: float | None = None, zero: bool = False) -> go.Figure:
    """Values with their intervals one below the other: losses, classes, or differences between them.

    What is inf is drawn at `beyond` with an arrow; `zero` draws an upright line at 0, for differences.
    """
    figure = new_figure(x_title, "", height=110 + 30 * max(1, len(rows)))
    for row in rows:
        value, low, high = (beyond if end == np.inf else end for end in (row.value, row.low, row.high))
        known = not np.isnan([row.low, row.high]).any()
        name = plain(row.name)
        if known:
            line = {"color": row.style.color, "width": 2.5}
            figure.add_trace(_whisker_part([low, high], name, "lines", row, {"line": line}))
        marker = {"symbol": row.style.marker, "size": 10, "color": row.style.color}
        if row.value < np.inf:
            figure.add_trace(_whisker_part([value], name, "markers", row, {"marker": marker}))
        if np.inf in (row.value, row.high):
            arrow = {"symbol": "arrow-right", "size": 12, "color": row.style.color}
            figure.add_trace(_whisker_part([beyond], name, "markers", row, {"marker": arrow}))
    if zero:
        figure.add_vline(x=0, line={"color": GREY, "width": 1}, layer="below")
    figure.update_layout(showlegend=False)
    figure.update_yaxes(autorange="reversed", type="category", automargin=True)
    figure.update_xaxes(showgrid=True)
    return figure


def _whisker_part(
    x: list[float | None], name: str, mode: str, row: Whisker, drawn: dict[str, dict[str, object]]
) -> go.Scatter:
    told = f"{name}<br>{_told(row.value)}, from {_told(row.low)} to {_told(row.high)}<extra></extra>"
    return go.Scatter(x=x, y=[name] * len(x), name=name, mode=mode, hovertemplate=told, **drawn)


def _told(number: float) -> str:
    """A number for people.

    >>> [_told(number) for number in (0.12345, float("inf"), float("nan"))]
    ['0.1235', 'beyond what was measured', 'unknown']
    """
    if np.isnan(number):
        return "unknown"
    return "beyond what was measured" if number == np.inf else f"{number:.4g}"


def _traces(curve: Curve, details: str, customdata: object = None, markers: bool = False) -> list[go.Scatter]:
    """The band, if there is one, and the line over it; both go with one entry of the legend."""
    line = go.Scatter(
        x=list(curve.x),
        y=np.round(curve.y, 5),
        name=plain(curve.name),
        legendgroup=plain(curve.name),
        mode="lines+markers" if markers else "lines",
        line={"color": curve.style.color, "dash": curve.style.dash, "width": 2.25},
        marker={"symbol": curve.style.marker, "size": 9, "color": curve.style.color},
        customdata=customdata,
        hovertemplate=f"%{{fullData.name}}<br>{details}<extra></extra>",
    )
    known = [place for place, low in enumerate(curve.low) if not np.isnan(low)]
    if not known:
        return [line]
    band = go.Scatter(
        x=[curve.x[place] for place in [*known, *reversed(known)]],
        y=np.round([*(curve.high[place] for place in known), *(curve.low[place] for place in reversed(known))], 5),
        fill="toself",
        fillcolor=faded(curve.style.color, 0.16),
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
        legendgroup=plain(curve.name),
        mode="lines",
    )
    return [band, line]
