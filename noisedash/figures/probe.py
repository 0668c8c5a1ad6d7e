"""Figure 6 of the paper, measured: where the anchors of each group rest on the loss's curves, and what they pull.

P points in training, G groups. Curves and bars are those of `figures.losses`; groups are said in `probe_records`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from noisedash.figures.losses import NEGATIVE, POSITIVE, QUANTITY_TITLES, SCORES, Quantity, curve_values
from noisedash.figures.style import DROPPED as DROPPED_COLOR
from noisedash.figures.style import GREY, INK, KEPT, LineStyle, faded, in_style, loss_style, new_figure
from noisedash.focal import DontCare, FloatArray, Interval, dont_care, score_to_logit
from noisedash.probe_records import (
    ANNOTATED,
    BACKGROUND,
    DROPPED,
    GROUPS,
    INVENTED,
    IS_POSITIVE,
    NEAR,
    ProbeRecord,
    rest,
)
from noisedash.spec import CrossEntropy, Focal

GROUP_TITLES = ("annotated", "dropped", "invented", "near a dropped", "background")
GROUP_STYLES = (
    LineStyle(KEPT, "solid", "circle"),
    LineStyle(DROPPED_COLOR, "dash", "square"),
    LineStyle("#b07a00", "longdash", "cross"),
    LineStyle("#8e6bbf", "dashdot", "diamond"),
    LineStyle(GREY, "dot", "triangle-up"),
)
_ROWS = (BACKGROUND, NEAR, DROPPED, INVENTED, ANNOTATED)
"""From the bottom up."""
_EVEN_BINS = np.linspace(0, 1, 51)
_STRETCHED_BINS = 1 / (1 + np.exp(-np.arange(-9, 9.01, 0.25)))
_TICKS = (0.0005, 0.005, 0.05, 0.2, 0.5, 0.8, 0.95, 0.995, 0.9995)
_HEIGHT = 760


@dataclass(frozen=True)
class Scale:
    """How scores are laid along the axis: evenly, or by their logits, which stretches what is near 0 and 1."""

    stretched: bool

    @property
    def bins(self) -> FloatArray:
        """Ends of the bins that anchors are shown in."""
        return _STRETCHED_BINS if self.stretched else _EVEN_BINS

    @property
    def scores(self) -> FloatArray:
        """Where curves are drawn."""
        return 1 / (1 + np.exp(-np.linspace(-9, 9, 145))) if self.stretched else SCORES

    def places(self, scores: Sequence[float] | FloatArray) -> FloatArray:
        """Where scores in [0, 1] lie on the axis."""
        if not self.stretched:
            return np.asarray(scores, dtype=np.float64)
        low, high = _STRETCHED_BINS[0], _STRETCHED_BINS[-1]
        return score_to_logit(np.clip(scores, low, high)).round(4)


def figure_six_measured(
    record: ProbeRecord, loss: CrossEntropy | Focal, share: float, stretched: bool = False
) -> go.Figure:
    """Pull and loss over the score, and below them where each group's anchors lie, with a slider over training.

    Shaded is the don't-care band at `share`; a thick line below a group is where its kind does not care. `record` has
    a point at least.
    """
    scale, region = Scale(stretched), dont_care(_gamma(loss), share)
    groups = [group for group in _ROWS if record.anchors[group]]
    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, row_heights=[0.27, 0.27, 0.46], vertical_spacing=0.045)
    in_style(figure, "", "", _HEIGHT)
    _add_curves(figure, 1, "gradient", loss, scale)
    _add_curves(figure, 2, "loss", loss, scale)
    _add_region(figure, region, groups, scale)
    first = len(figure.data)
    figure.add_traces(_groups_at(record, len(record.steps) - 1, groups, loss, share, scale), rows=3, cols=1)
    moving = list(range(first, len(figure.data)))
    figure.frames = [
        go.Frame(name=str(step), data=_groups_at(record, point, groups, loss, share, scale), traces=moving)
        for point, step in enumerate(record.steps.tolist())
    ]
    _lay_out(figure, groups, scale)
    _add_slider(figure, record.steps.tolist())
    return figure


def gradient_shares(record: ProbeRecord) -> go.Figure:
    """The share of sum |dL/dlogit| that each group has, over training."""
    figure = new_figure("training step", "share of the gradient")
    for group in _present(record):
        figure.add_trace(_over_steps(record, record.gradient_share[:, group], GROUP_TITLES[group], GROUP_STYLES[group]))
    _as_shares(figure)
    return figure


def inside_over_steps(record: ProbeRecord, loss: CrossEntropy | Focal, share: float) -> go.Figure:
    """How much of the dropped boxes' anchors and of the background lies in the don't-care region, over training."""
    figure = new_figure("training step", "share of the anchors")
    gamma, style = _gamma(loss), GROUP_STYLES[DROPPED]
    if record.anchors[DROPPED]:
        found = rest(record, DROPPED, gamma, share)
        lines = [
            (found.inside, "dropped: in the region", "solid", "square"),
            (found.inside_clearly, "dropped: in it, score above .1", "dash", "diamond"),
            (found.mean_score, "dropped: mean score", "dot", "cross"),
        ]
        if dont_care(gamma, share).band is not None:
            lines.insert(2, (found.in_band, "dropped: in the band", "longdashdot", "triangle-up"))
        for values, name, dash, marker in lines:
            figure.add_trace(_over_steps(record, values, name, LineStyle(style.color, dash, marker)))
    background = rest(record, BACKGROUND, gamma, share).inside
    figure.add_trace(_over_steps(record, background, "background: in the region", GROUP_STYLES[BACKGROUND]))
    _as_shares(figure)
    return figure


@dataclass(frozen=True)
class RunAtRest:
    """One run of a study at its last point."""

    label: str
    kind: str
    gamma: float
    inside_clearly: float
    """Share of the dropped boxes' anchors in the region with a score above .1."""
    mean_score: float


def resting_over_gamma(runs: Sequence[RunAtRest]) -> go.Figure:
    """Over gamma, for each run: how many dropped boxes' anchors rest in the region as objects, and their mean score.

    Cross-entropy stands left of gamma 0. A line joins the means.
    """
    figure = new_figure("γ", "of the dropped boxes' anchors")
    gammas = sorted({_gamma_place(run) for run in runs})
    for name, dash, marker, values in (
        ("in the region, score above .1", "solid", "diamond", [run.inside_clearly for run in runs]),
        ("mean score", "dot", "cross", [run.mean_score for run in runs]),
    ):
        by_run = list(zip(map(_gamma_place, runs), values, strict=True))
        means = [float(np.mean([value for own, value in by_run if own == gamma])) for gamma in gammas]
        line = {"color": DROPPED_COLOR, "dash": dash, "width": 2}
        figure.add_trace(go.Scatter(x=gammas, y=means, mode="lines", line=line, showlegend=False, hoverinfo="skip"))
        figure.add_trace(
            go.Scatter(
                x=[_gamma_place(run) for run in runs],
                y=values,
                name=name,
                mode="markers",
                marker={
                    "symbol": marker,
                    "size": 10,
                    "color": [loss_style(run.kind, run.gamma).color for run in runs],
                    "line": {"width": 1, "color": GREY},
                },
                text=[run.label for run in runs],
                hovertemplate=f"%{{text}}<br>{name}: %{{y:.3f}}<extra></extra>",
            )
        )
    ticks = ["CE" if gamma < 0 else f"{gamma:g}" for gamma in gammas]
    figure.update_xaxes(tickvals=gammas, ticktext=ticks)
    _as_shares(figure)
    return figure


def _gamma(loss: CrossEntropy | Focal) -> float:
    return loss.gamma if isinstance(loss, Focal) else 0.0


def _gamma_place(run: RunAtRest) -> float:
    return run.gamma if run.kind == "focal" else -1.0


def _present(record: ProbeRecord) -> list[int]:
    return [group for group in range(len(GROUPS)) if record.anchors[group]]


def _add_curves(figure: go.Figure, row: int, quantity: Quantity, loss: CrossEntropy | Focal, scale: Scale) -> None:
    """The loss's own curves: alpha for positives, 1 - alpha for negatives; both 1 for cross-entropy."""
    scores = scale.scores
    for positive, style, name in ((True, POSITIVE, "a positive"), (False, NEGATIVE, "a negative")):
        alpha = 1.0 if isinstance(loss, CrossEntropy) else loss.alpha if positive else 1 - loss.alpha
        figure.add_trace(
            go.Scatter(
                x=scale.places(scores),
                y=curve_values(quantity, positive, _gamma(loss), alpha, scores),
                name=name,
                showlegend=row == 1,
                legendgroup=name,
                mode="lines",
                line={"color": style.color, "dash": style.dash, "width": 2.5},
                customdata=scores,
                hovertemplate=f"{name}<br>score %{{customdata:.3f}}<br>{quantity} %{{y:.4g}}<extra></extra>",
            ),
            row=row,
            col=1,
        )
    figure.update_yaxes(title={"text": QUANTITY_TITLES[quantity], "standoff": 12}, row=row, col=1)
    shown = (scores > 0.02) & (scores < 0.98)
    tops = [np.asarray(curve.y)[shown].max() for curve in figure.data[-2:]]
    figure.update_yaxes(range=[0, 1.05 * float(max(tops))], row=row, col=1)


def _add_region(figure: go.Figure, region: DontCare, groups: Sequence[int], scale: Scale) -> None:
    """The band behind all three panels, and below each group the scores where its kind does not care."""
    if region.band is not None:
        low, high = scale.places(region.band)
        every_panel = {"row": "all", "col": "all", "exclude_empty_subplots": False}
        figure.add_vrect(x0=low, x1=high, fillcolor=faded(GREY, 0.22), line_width=0, layer="below", **every_panel)
        text = f"don't care: both<br>pull < {region.share:.0%}"
        figure.add_annotation(x=(low + high) / 2, y=0.99, yref="paper", yanchor="top", text=text, showarrow=False)
    for place, group in enumerate(groups):
        kind = "positives" if IS_POSITIVE[group] else "negatives"
        for interval in region.positives if IS_POSITIVE[group] else region.negatives:
            low, high = scale.places(interval)
            figure.add_trace(
                go.Scatter(
                    x=[low, high],
                    y=[place - 0.05] * 2,
                    mode="lines",
                    showlegend=False,
                    line={"color": faded(GREY, 0.75), "width": 6},
                    hovertemplate=f"{kind} don't care: {interval[0]:.3f} to {interval[1]:.3f}<extra></extra>",
                ),
                row=3,
                col=1,
            )


def _groups_at(
    record: ProbeRecord, point: int, groups: Sequence[int], loss: CrossEntropy | Focal, share: float, scale: Scale
) -> list[go.Scatter]:
    """At one point in training: for each group the outline of its scores, and last the numbers beside each."""
    outlines = [_outline(record, point, place, group, scale) for place, group in enumerate(groups)]
    words = [_in_words(record, point, group, _gamma(loss), share) for group in groups]
    texts = go.Scatter(
        x=[float(scale.places(scale.bins)[-1])] * len(groups),
        y=[place + 0.4 for place in range(len(groups))],
        text=words,
        mode="text",
        textposition="middle right",
        cliponaxis=False,
        showlegend=False,
        hoverinfo="skip",
    )
    return [*outlines, texts]


def _outline(record: ProbeRecord, point: int, place: int, group: int, scale: Scale) -> go.Scatter:
    """Shares of a group's anchors by bin as steps, the highest one high."""
    pairs: list[Interval] = [(float(low), float(high)) for low, high in pairwise(scale.bins)]
    if scale.stretched:
        pairs[0], pairs[-1] = (0.0, pairs[0][1]), (pairs[-1][0], 1.0)
    shares = np.array([record.share_scoring(group, [pair])[point] for pair in pairs])
    heights = place + 0.85 * shares / shares.max()
    ends = scale.places(scale.bins)
    style = GROUP_STYLES[group]
    return go.Scatter(
        x=[ends[0], *np.repeat(ends, 2)[1:-1], ends[-1]],
        y=[float(place), *np.repeat(heights, 2).round(4), float(place)],
        name=GROUP_TITLES[group],
        mode="lines",
        fill="toself",
        fillcolor=faded(style.color, 0.35),
        line={"color": style.color, "width": 1.5, "dash": style.dash},
        showlegend=False,
        hoverinfo="name",
    )


def _in_words(record: ProbeRecord, point: int, group: int, gamma: float, share: float) -> str:
    found = rest(record, group, gamma, share)
    mean, inside = float(found.mean_score[point]), float(found.inside[point])
    number = int(record.anchors[group])
    return f" {number:,} anchors<br> mean score {mean:.3f}<br> {_percent(inside)} don't care"


def _percent(share: float) -> str:
    """A share for people: never 100 % or 0 % where it is not.

    >>> _percent(0.9996), _percent(1.0), _percent(0.004), _percent(0.0), _percent(0.123)
    ('> 99 %', '100 %', '< 1 %', '0 %', '12 %')
    """
    if 0.995 <= share < 1:
        return "> 99 %"
    if 0 < share < 0.005:
        return "< 1 %"
    return f"{share:.0%}".replace("%", " %")


def _lay_out(figure: go.Figure, groups: Sequence[int], scale: Scale) -> None:
    ends = scale.places(scale.bins)
    figure.update_xaxes(range=[float(ends[0]), float(ends[-1])])
    if scale.stretched:
        figure.update_xaxes(tickvals=scale.places(_TICKS), ticktext=[f"{tick:g}" for tick in _TICKS])
    title = "score of the class" + (", stretched towards 0 and 1" if scale.stretched else "")
    figure.update_xaxes(title={"text": title, "standoff": 8}, row=3, col=1)
    figure.update_yaxes(
        tickvals=[place + 0.3 for place in range(len(groups))],
        ticktext=[GROUP_TITLES[group].replace(" a ", "<br>a ") for group in groups],
        range=[-0.2, len(groups)],
        ticks="",
        showgrid=False,
        row=3,
        col=1,
    )
    figure.update_layout(margin={"l": 92, "r": 132, "b": 130})


def _add_slider(figure: go.Figure, steps: Sequence[int]) -> None:
    """A slider with a place for each point, and buttons that run through them."""
    # Without a redraw Plotly takes away what stands still in the other panels.
    at_once = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    running = {"fromcurrent": True, "frame": {"duration": 700, "redraw": True}, "transition": {"duration": 0}}
    figure.update_layout(
        sliders=[
            {
                "active": len(steps) - 1,
                "x": 0.14,
                "len": 0.86,
                "y": 0,
                "pad": {"t": 62, "b": 0},
                "currentvalue": {"prefix": "after training step ", "xanchor": "left"},
                "bordercolor": GREY,
                "bgcolor": faded(GREY, 0.2),
                "activebgcolor": GREY,
                "tickcolor": GREY,
                "font": {"color": INK},
                "steps": [
                    {"label": f"{step:,}", "method": "animate", "args": [[str(step)], at_once]} for step in steps
                ],
            }
        ],
        updatemenus=[
            {
                "type": "buttons",
                "direction": "right",
                "x": 0,
                "xanchor": "left",
                "y": 0,
                "yanchor": "top",
                "pad": {"t": 72, "l": -80},
                "showactive": False,
                "bordercolor": GREY,
                "bgcolor": "rgba(0,0,0,0)",
                "buttons": [
                    {"label": "▶ play", "method": "animate", "args": [None, running]},
                    {"label": "❚❚", "method": "animate", "args": [[None], at_once]},
                ],
            }
        ],
    )


def _as_shares(figure: go.Figure) -> None:
    figure.update_yaxes(range=[0, 1.02], tickformat=".0%")
    figure.update_layout(margin={"l": 72})


def _over_steps(record: ProbeRecord, values: FloatArray, name: str, style: LineStyle) -> go.Scatter:
    return go.Scatter(
        x=record.steps,
        y=[None if math.isnan(value) else round(value, 5) for value in values.tolist()],
        name=name,
        mode="lines+markers",
        line={"color": style.color, "dash": style.dash, "width": 2.5},
        marker={"symbol": style.marker, "size": 8},
        hovertemplate=f"{name}<br>step %{{x:,}}: %{{y:.2%}}<extra></extra>",
    )
