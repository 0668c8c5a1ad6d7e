"""The Losses page: sliders, four figures, the don't-care region in words and numbers, and a run measured against it."""

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from noisedash.figures.losses import loss_over_score, positives_and_negatives
from noisedash.focal import SHARE, DontCare, Interval, dont_care, smallest_gamma_with_band
from noisedash.ui import probe
from noisedash.ui.layout import chart, one_sentence_errors
from noisedash.ui.services import store

NEWEST_RUNS = 300
PAPER_GAMMAS = tuple(float(gamma) for gamma in range(9))


@dataclass(frozen=True)
class LossControls:
    """What the sliders say."""

    gamma: float
    alpha: float
    share: float


def controls() -> LossControls:
    """The sliders, held in the address."""
    with st.container(border=True):
        left, middle, right = st.columns(3, gap="large")
        gamma = left.slider("γ, the focus", 0.0, 10.0, 8.0, 0.25, key="gamma", bind="query-params")
        alpha = middle.slider("α, the weight of positives", 0.0, 1.0, 0.75, 0.05, key="alpha", bind="query-params")
        percent = right.slider(
            "“Don't care”: share of the strongest pull",
            1,
            50,
            round(100 * SHARE),
            format="%d %%",
            key="share",
            bind="query-params",
        )
    return LossControls(gamma, alpha, percent / 100)


def render(chosen: LossControls) -> None:
    """Text, figures and table for the sliders' values."""
    region = dont_care(chosen.gamma, chosen.share)
    st.markdown(region_in_words(region, chosen.alpha))
    left, right = st.columns(2, gap="large")
    gammas = sorted({*PAPER_GAMMAS, chosen.gamma})
    with left:
        st.subheader("A positive, γ by γ (the paper's Figure 2)", anchor=False)
        chart(
            loss_over_score(gammas, chosen.alpha, "loss", chosen.gamma),
            "figure-2-loss",
            "Loss of a positive over its score, one curve for cross-entropy and for each gamma.",
        )
        chart(
            loss_over_score(gammas, chosen.alpha, "gradient", chosen.gamma),
            "figure-2-pull",
            "Size of the gradient of a positive over its score, one curve for cross-entropy and for each gamma.",
        )
    with right:
        st.subheader(f"Both kinds at γ = {chosen.gamma:g} (Figure 6)", anchor=False)
        chart(
            positives_and_negatives(chosen.gamma, chosen.alpha, "loss", region),
            "figure-6-loss",
            "Loss of positives and of negatives over the score, the don't-care region shaded.",
        )
        chart(
            positives_and_negatives(chosen.gamma, chosen.alpha, "gradient", region),
            "figure-6-pull",
            "Size of the gradient of positives and of negatives over the score, the don't-care region shaded.",
        )
    st.subheader(f"The don't-care region at {chosen.share:.0%}, γ by γ", anchor=False)
    st.dataframe(region_table(gammas, chosen.share), hide_index=True, height="content", column_config=_TABLE_COLUMNS)
    st.markdown(
        "The pull is |∂L/∂logit|, what one anchor adds to the gradient of its class score. Each share is of the "
        "strongest pull of the same kind at the same γ, so α and other weights cancel out. A large γ shrinks all "
        "pulls: resting in the band means *not being driven to background*, not that the label has no influence."
    )


def render_measured(share: float) -> None:
    """Choose a run and see where its anchors rest."""
    st.subheader("Measured: where a run's anchors rest (Figure 6 again)", anchor=False)
    st.markdown(
        "The paper supposes that at high γ the objects without a label rest in the don't-care region. Every run is "
        "probed while it trains, so this can be looked up."
    )
    with one_sentence_errors():
        jobs = store().jobs(limit=NEWEST_RUNS, newest_first=True)
        if not any(probe.is_probed(job) for job in jobs):
            st.info("No run has been probed yet: launch a study, and choose one of its runs here.")
            return
        job = probe.choose_run(jobs, "run", "Choose a run to lay its anchors over the curves")
        if job is not None:
            probe.show(job, "measured", share)


def region_in_words(region: DontCare, alpha: float) -> str:
    """The region as two sentences, numbers first."""
    positive_end, negative_end = region.positives[-1][0], region.negatives[0][1]
    ends = (
        f"At γ = {region.gamma:g} a **positive** scoring above **{positive_end:.3f}** and a **negative** scoring below "
        f"**{negative_end:.3f}** pull with less than {region.share:.0%} of the strongest pull of their kind."
    )
    if region.band is None:
        first = smallest_gamma_with_band(region.share)
        return f"{ends} No score is free for both: a shared don't-care band opens at γ = {first:.2f}."
    low, high = region.band
    return (
        f"{ends} From **{low:.3f} to {high:.3f}** neither pulls: there an annotated and a dropped object can rest "
        f"(α = {alpha:g} scales the curves, not the band)."
    )


def region_table(gammas: list[float], share: float) -> pd.DataFrame:
    """The region's numbers, a row per gamma."""
    regions = [dont_care(gamma, share) for gamma in gammas]
    return pd.DataFrame(
        {
            "γ": [f"{region.gamma:g}" for region in regions],
            "positives don't care": [_in_words(region.positives) for region in regions],
            "negatives don't care": [_in_words(region.negatives) for region in regions],
            "neither pulls": [_in_words((region.band,)) if region.band else "–" for region in regions],
            "width of the band": [region.band[1] - region.band[0] if region.band else 0.0 for region in regions],
        }
    )


_TABLE_COLUMNS = {"width of the band": st.column_config.NumberColumn(format="%.3f")}


def _in_words(intervals: tuple[Interval, ...]) -> str:
    return " and ".join(f"{low:.3f} to {high:.3f}" for low, high in intervals)
