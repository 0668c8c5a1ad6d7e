"""The focal loss as pictures: the paper's Figures 2 and 6, and the gradient that decides what is learned."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import plotly.graph_objects as go

from noisedash.figures.style import DROPPED, GREY, KEPT, LineStyle, faded, loss_style, new_figure
from noisedash.focal import DontCare, FloatArray, Interval, focal_gradient, focal_loss, score_to_logit

Quantity = Literal["loss", "gradient"]
POSITIVE = LineStyle(KEPT, "solid", "circle")
NEGATIVE = LineStyle(DROPPED, "dash", "square")

QUANTITY_TITLES = {"loss": "loss", "gradient": "pull  |∂L/∂logit|"}
SCORES = np.concatenate(
    [np.geomspace(1e-3, 0.05, 30), np.linspace(0.05, 0.95, 121)[1:-1], 1 - np.geomspace(0.05, 1e-3, 30)]
)
_CLIPPED_BELOW = 0.02
"""The loss of a positive is unbounded as its score falls to 0: the axis ends at the loss of this score."""


def loss_over_score(gammas: Sequence[float], alpha: float, quantity: Quantity, highlighted: float) -> go.Figure:
    """Figure 2: loss (or |dL/dlogit|) of a positive over its score, a curve for CE and for each gamma.

    `alpha` weighs the focal losses; cross-entropy has weight 1. The `highlighted` gamma is drawn thick.
    """
    figure = new_figure("score of the true class", QUANTITY_TITLES[quantity])
    figure.add_trace(_curve(quantity, True, 0.0, 1.0, replace(loss_style("ce", 0.0), dash="dash"), "CE", width=2.5))
    for gamma in gammas:
        # Ten dashed curves are unreadable; order, legend and the thick line tell these apart beside their colour.
        style = replace(loss_style("focal", gamma), dash="solid")
        width = 4.5 if gamma == highlighted else 1.5
        figure.add_trace(_curve(quantity, True, gamma, alpha, style, f"FL γ={gamma:g}", width))
    figure.update_xaxes(range=[0, 1])
    if quantity == "loss":
        figure.update_yaxes(range=[0, float(focal_loss(score_to_logit(_CLIPPED_BELOW), True, 0.0))])
    return figure


def positives_and_negatives(gamma: float, alpha: float, quantity: Quantity, region: DontCare) -> go.Figure:
    """Figure 6: positives (weight alpha) and negatives (1 - alpha) over the score, with the don't-care region.

    Bars below the axis mark the scores at which a kind pulls with less than the region's share of its strongest
    pull; the background is shaded where neither kind pulls.
    """
    figure = new_figure("score of the class", QUANTITY_TITLES[quantity])
    curves = (
        _curve(quantity, True, gamma, alpha, POSITIVE, "positive: annotated", width=3),
        _curve(quantity, False, gamma, 1 - alpha, NEGATIVE, "negative: background or dropped", width=3),
    )
    top = max(_top(curve) for curve in curves)
    figure.add_traces(curves)
    figure.add_traces(_bars(region.positives, POSITIVE, "positives don't care", -0.05 * top))
    figure.add_traces(_bars(region.negatives, NEGATIVE, "negatives don't care", -0.1 * top))
    if region.band is not None:
        _shade(figure, region.band, region.share)
    figure.update_xaxes(range=[0, 1])
    figure.update_yaxes(range=[-0.15 * top, 1.05 * top], zeroline=True, zerolinecolor=GREY)
    return figure


def _curve(
    quantity: Quantity, positive: bool, gamma: float, weight: float, style: LineStyle, name: str, width: float
) -> go.Scatter:
    return go.Scatter(
        x=SCORES.round(5),
        y=curve_values(quantity, positive, gamma, weight),
        name=name,
        mode="lines",
        line={"color": style.color, "dash": style.dash, "width": width},
        hovertemplate=f"{name}<br>score %{{x:.3f}}<br>{quantity} %{{y:.4g}}<extra></extra>",
    )


def curve_values(
    quantity: Quantity, positive: bool, gamma: float, weight: float, scores: FloatArray = SCORES
) -> FloatArray:
    """The loss or |dL/dlogit| at each score, with more decimals than a screen shows, and few for a small page."""
    logits = score_to_logit(scores)
    if quantity == "loss":
        return np.asarray(focal_loss(logits, positive, gamma, weight).round(6))
    return np.asarray(np.abs(focal_gradient(logits, positive, gamma, weight)).round(6))


def _bars(intervals: Sequence[Interval], style: LineStyle, name: str, height: float) -> list[go.Scatter]:
    return [
        go.Scatter(
            x=[low, high],
            y=[height, height],
            name=name,
            mode="lines",
            showlegend=False,
            line={"color": style.color, "width": 7},
            hovertemplate=f"{name}: {low:.3f} to {high:.3f}<extra></extra>",
        )
        for low, high in intervals
    ]


def _shade(figure: go.Figure, band: Interval, share: float) -> None:
    figure.add_vrect(x0=band[0], x1=band[1], fillcolor=faded(GREY, 0.22), line_width=0, layer="below")
    figure.add_annotation(
        x=sum(band) / 2,
        y=0.97,
        yref="paper",
        showarrow=False,
        text=f"don't care<br>both pull < {share:.0%}",
    )


def _top(curve: go.Scatter) -> float:
    """The largest value of a curve over the scores that are not clipped."""
    inside = (SCORES >= _CLIPPED_BELOW) & (SCORES <= 1 - _CLIPPED_BELOW)
    return float(np.asarray(curve.y)[inside].max())
