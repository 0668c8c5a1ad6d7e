"""What was published beside what was measured: the paper's Figure 5, its claims' numbers, and what moves them."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from noisedash.figures.curves import MAP
from noisedash.figures.style import BLUE, GREY, in_style, new_figure, plain, rate_style
from noisedash.published import GammaCurve
from noisedash.studies.claims import published_value
from noisedash.studies.verdicts import Verdict


def published_over_gamma(published: Sequence[GammaCurve]) -> go.Figure:
    """The paper's Figure 5 for one dataset, in the colours of its noise rates."""
    figure = new_figure("γ of the focal loss", MAP.title)
    for curve in published:
        style = rate_style(curve.missing_rate)
        figure.add_trace(
            go.Scatter(
                x=curve.gammas,
                y=curve.mean_ap,
                name=f"{100 * curve.missing_rate:g} % missing",
                mode="lines+markers",
                line={"color": style.color, "dash": style.dash, "width": 2.25},
                marker={"symbol": style.marker, "size": 9, "color": style.color},
                hovertemplate="%{fullData.name}, γ = %{x:g}<br>%{y:.4~f}<extra></extra>",
            )
        )
    figure.update_xaxes(dtick=1)
    figure.update_yaxes(rangemode="normal")
    return figure


def claims_figure(verdicts: Sequence[Verdict], paper_dataset: str) -> go.Figure:
    """The number of each claim that was measured, with its interval, and the paper's; a level row each.

    A grey stroke is the claim's limit; rows go by number, as in the table that stands beside the figure.
    """
    shown = [(place, verdict) for place, verdict in enumerate(verdicts, 1) if verdict.runs]
    figure = new_figure("points of mAP", "", height=120 + 34 * len(shown))
    names = [f"{place}. {verdict.claim.short}" for place, verdict in shown]
    limits = [verdict.claim.limit for _, verdict in shown]
    figure.add_trace(
        _marks(limits, names, "limit of the claim", "line-ns-open", 22, GREY, "%{y}<br>limit %{x:.2f}<extra></extra>")
    )
    paper = [published_value(verdict.claim, paper_dataset) for _, verdict in shown]
    told = "%{y}<br>paper %{x:+.2f}<extra></extra>"
    figure.add_trace(_marks(paper, names, "paper", "diamond-open", 11, GREY, told))
    figure.add_trace(_measured([verdict for _, verdict in shown], names))
    figure.update_yaxes(autorange="reversed", showgrid=False, automargin=True, rangemode="normal")
    figure.update_xaxes(showgrid=True, zeroline=True, zerolinecolor=GREY)
    figure.update_layout(showlegend=True)
    return figure


def _measured(verdicts: Sequence[Verdict], names: Sequence[str]) -> go.Scatter:
    trace = _marks([verdict.value for verdict in verdicts], names, "here, 95 % interval", "circle", 10, BLUE, "")
    trace.error_x = {
        "type": "data",
        "array": [_known(verdict.high - verdict.value) for verdict in verdicts],
        "arrayminus": [_known(verdict.value - verdict.low) for verdict in verdicts],
        "color": BLUE,
        "thickness": 2,
        "width": 5,
    }
    trace.customdata = [[verdict.low, verdict.high, verdict.runs, verdict.ruling.value] for verdict in verdicts]
    trace.hovertemplate = (
        "%{y}<br>%{x:+.2f}, from %{customdata[0]:+.2f} to %{customdata[1]:+.2f}, n = %{customdata[2]}"
        "<br>%{customdata[3]}<extra></extra>"
    )
    return trace


def _marks(
    x: Sequence[float], y: Sequence[str], name: str, symbol: str, size: int, color: str, hover: str
) -> go.Scatter:
    marker = {"symbol": symbol, "size": size, "color": color, "line": {"width": 2, "color": color}}
    return go.Scatter(x=x, y=[plain(text) for text in y], name=name, mode="markers", marker=marker, hovertemplate=hover)


def _known(reach: float) -> float:
    """The length of a whisker; none for a single run."""
    return round(reach, 4) if reach == reach else 0.0


def confounders_figure(ranked: pd.DataFrame) -> go.Figure:
    """What `studies.confounders.rank` found, ranked: the effect of gamma under each setting, and what is explained."""
    names = [plain(name) for name in ranked["setting"]]
    figure = make_subplots(
        1, 2, shared_yaxes=True, horizontal_spacing=0.04, subplot_titles=["γ 5 − γ 2 under the setting", "explained"]
    )
    in_style(figure, "", "", height=130 + 34 * len(names))
    for column, (value, low, high) in enumerate(
        (("effect", "effect_low", "effect_high"), ("explained", "low", "high")), start=1
    ):
        trace = _marks(ranked[value].tolist(), names, "", "circle", 10, BLUE, "")
        reach = {"array": ranked[high] - ranked[value], "arrayminus": ranked[value] - ranked[low]}
        whiskers = {name: [_known(length) for length in lengths] for name, lengths in reach.items()}
        trace.error_x = {"type": "data", **whiskers, "color": BLUE, "thickness": 2, "width": 5}
        trace.customdata = ranked[[low, high, "runs"]].to_numpy()
        trace.hovertemplate = (
            "%{y}<br>%{x:+.2f}, from %{customdata[0]:+.2f} to %{customdata[1]:+.2f}"
            ", n = %{customdata[2]}<extra></extra>"
        )
        figure.add_trace(trace, 1, column)
        figure.add_vline(0, line={"color": GREY, "width": 1}, col=column)
    figure.add_vline(ranked["effect"].iloc[0], line={"color": GREY, "width": 1.5, "dash": "dash"}, col=1)
    figure.update_xaxes(title_text="points of mAP", showgrid=True, rangemode="normal")
    figure.update_yaxes(autorange="reversed", showgrid=False, rangemode="normal")
    figure.update_yaxes(automargin=True, col=1)
    figure.update_layout(showlegend=False)
    return figure
