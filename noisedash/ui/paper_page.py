"""The Paper page: the published curves and claims beside studies of one's own."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from noisedash import published
from noisedash.figures import curves
from noisedash.figures.curves import MAP, POINTS_LOST, Measure
from noisedash.figures.paper import claims_figure, confounders_figure, published_over_gamma
from noisedash.jobs.store import Store
from noisedash.studies.confounders import rank, settings_of
from noisedash.studies.robustness import basis
from noisedash.studies.summary import aggregate
from noisedash.studies.verdicts import Condition, conditions, judge, rows_under
from noisedash.studies.wording import basis_in_words
from noisedash.ui import paper, results
from noisedash.ui.layout import chart, empty_state, one_sentence_errors, plain, start_with
from noisedash.ui.results import Found

TICK_S = 5.0
_MEASURES = {"mAP": MAP, "points lost": POINTS_LOST}


@dataclass(frozen=True)
class View:
    """What is laid beside what."""

    dataset: str
    """The paper's."""
    measure: Measure


def render(store: Store) -> None:
    """The whole page below its heading."""
    names = [study.name for study in store.studies()]
    if names:
        start_with("studies", names[0])
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        dataset = st.segmented_control(
            "The paper's dataset",
            list(published.DATASETS),
            default="indoor",
            required=True,
            format_func=lambda name: published.DATASETS[name].title,
            key="paper",
            bind="query-params",
        )
        measure = st.segmented_control(
            "Show", list(_MEASURES), default="mAP", required=True, key="measure", bind="query-params"
        )
        chosen = st.multiselect("Your studies", names, key="studies", bind="query-params", width=560) if names else []
    view = View(dataset or "indoor", _MEASURES[measure or "mAP"])
    if not chosen:
        _only_published(view, "No study of your own is chosen" if names else "There is no study of your own yet")
    else:
        active = results.find(store, chosen).is_active
        with st.container(key="live-paper"):
            st.fragment(_live, run_every=TICK_S if active else None)(store, chosen, view, active)
    _sources()


def _live(store: Store, names: Sequence[str], view: View, was_active: bool) -> None:
    """The part that follows the store; without ticks once all runs have ended."""
    with one_sentence_errors():
        found = results.find(store, names)
        if found.is_active != was_active:
            st.rerun()
        if found.rows.empty or not conditions(found.rows):
            these = "this study" if len(names) == 1 else "these studies"
            _only_published(view, f"No run of {these} with the focal loss has finished yet")
            return
        _compared(found, view)


def _only_published(view: View, why: str) -> None:
    """The paper's own curves, and how one's own come beside them."""
    empty_state(why, "Its curves and verdicts appear here as soon as a run has finished.", ("launch", "Launch"))
    st.markdown(paper.how_to_launch())
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("Figure 3: over the noise", anchor=False)
        if view.measure.is_loss:
            empty = _nothing(["missing_rate", "n"])
            lost = curves.ap_over_rate(empty, "sd", published.curves_over_noise(view.dataset), view.measure)
            chart(lost, "published-noise", "The points that the paper's two losses lose over the missing labels.")
        else:
            figure = curves.published_over_rate(published.curves_over_noise(view.dataset))
            chart(figure, "published-noise", "The paper's mAP over the missing labels, for cross-entropy and γ = 2.")
    with right:
        st.subheader("Figure 5: over γ", anchor=False)
        figure = published_over_gamma(published.curves_over_gamma(view.dataset))
        chart(figure, "published-gamma", "The paper's mAP over γ, at 0, 10 and 50 % missing labels.")


def _nothing(columns: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame(columns=[*columns, "loss", "settings", "kind", "gamma", "mean", "sd", "low", "high"])


def _compared(found: Found, view: View) -> None:
    known = conditions(found.rows)
    thresholds = {f"{condition.threshold:g}": condition.threshold for condition in known}
    authors = f"{results.AUTHORS_THRESHOLD:g}"
    preferred = authors if authors in thresholds else list(thresholds)[-1]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        threshold = st.segmented_control(
            "Score threshold",
            list(thresholds),
            default=preferred,
            required=True,
            format_func=lambda text: f"{text} (the authors')" if text == authors else text,
            key="score",
            bind="query-params",
        )
        choices = [condition for condition in known if condition.threshold == thresholds[threshold or preferred]]
        chosen = choices[0]
        if len(choices) > 1:
            chosen = st.selectbox("Runs with", choices, format_func=paper.condition_label, key="condition", width=520)
    at = rows_under(found.rows, chosen).assign(settings="")
    _basis(found, at)
    _confounders(found, chosen.threshold)
    _curves(aggregate(at), view)
    _claims(found.rows, view, chosen)


def _basis(found: Found, rows: pd.DataFrame) -> None:
    with st.container(border=True):
        st.markdown(results.studies_in_words(found))
        st.markdown(f"Stands on {plain(basis_in_words(basis(found.specs, rows)))}.")
        st.markdown(results.completeness(found))


def _confounders(found: Found, threshold: float) -> None:
    """What moves the effect of gamma, where a study of the recipe `confounders` is among them."""
    settings = settings_of(found.specs)
    if not settings:
        return
    st.subheader("What moves the effect of γ", anchor=False)
    st.markdown(
        "The effect is γ = 5 minus γ = 2 at 50 % missing, in points of mAP. A setting *explains* what of it is gone "
        "when that setting alone is changed, run by run of the same seed and noise draw; below 0 the effect grows. "
        "Settings are ranked by size; intervals are 95 % ones, each for itself."
    )
    with one_sentence_errors():
        ranked = rank(found.rows, settings, threshold)
        chart(
            confounders_figure(ranked),
            "confounders",
            "The effect of gamma under each setting, and what the setting explains of it, with intervals; the table "
            "below has the numbers.",
        )
        st.table(paper.confounders_table(ranked), border="horizontal", hide_index=True)


def _curves(points: pd.DataFrame, view: View) -> None:
    """Both of the paper's figures with one's own curves in them."""
    shown = curves.lost_since_clean(points) if view.measure.is_loss else points
    over_noise, over_gamma = published.curves_over_noise(view.dataset), published.curves_over_gamma(view.dataset)
    title = published.DATASETS[view.dataset].title
    figures: tuple[tuple[str, str, go.Figure], ...] = (
        ("Figure 3: over the noise", "noise", curves.ap_over_rate(shown, "sd", over_noise, view.measure)),
        ("Figure 5: over γ", "gamma", curves.ap_over_gamma(shown, "sd", over_gamma, view.measure)),
    )
    aps = [ap for curve in over_noise for ap in curve.mean_ap] + [ap for curve in over_gamma for ap in curve.mean_ap]
    scale = curves.shared_range([shown], aps)
    for column, (heading, key, figure) in zip(st.columns(2, gap="medium"), figures, strict=True):
        with column:
            st.subheader(heading, anchor=False)
            if not view.measure.is_loss:
                figure.update_yaxes(range=scale)
            chart(
                figure, f"paper-{key}", f"{view.measure.title}: the paper's {title} in grey, your studies' in colour."
            )
            st.markdown(results.seeds_in_words(shown, "sd"))


def _claims(rows: pd.DataFrame, view: View, chosen: Condition) -> None:
    """Each claim with its verdict, and the figure of their numbers."""
    verdicts = judge(rows, chosen)
    st.subheader("The paper's claims, held against these runs", anchor=False)
    st.markdown(
        f"{paper.tally(verdicts)} Numbers are points of mAP. Each 95 % interval is for itself, over n pairs of runs of "
        "one seed and noise draw; other test images are not in it. A claim is supported or contradicted where the "
        "whole interval lies on one side of its limit."
    )
    if any(verdict.runs for verdict in verdicts):
        chart(
            claims_figure(verdicts, view.dataset),
            "claims",
            "The number of each claim, measured with its interval, and as published; the table below has them all.",
        )
    st.table(paper.claims_table(verdicts, view.dataset), border="horizontal", hide_index=True)


def _sources() -> None:
    st.subheader("Where the paper's text and its numbers part", anchor=False)
    st.markdown(paper.discrepancies())
    st.markdown(f"Source: {plain(published.SOURCE)}")
