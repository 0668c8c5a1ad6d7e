"""The Results page: choose studies, read off their robustness; it follows the runs while they finish."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from noisedash import published
from noisedash.figures import curves
from noisedash.figures.curves import MAP, POINTS_LOST, Measure, Series, Spread
from noisedash.jobs.store import Store
from noisedash.records import JobState
from noisedash.studies.summary import to_csv
from noisedash.studies.wording import differences_in_words
from noisedash.ui import analysis_page, probe, results, run_detail
from noisedash.ui.layout import chart, empty_state, one_sentence_errors, plain, start_with
from noisedash.ui.progress import share_done
from noisedash.ui.results import Found
from noisedash.ui.services import weights
from noisedash.ui.text import run_label

TICK_S = 3.0
MOST_CLASSES = 6
MOST_RUNS = 8
MOST_CURVES = 16
_NO_PAPER = "none"
_TABS = ("Over noise", "Over γ", "By class", "Statistics", "Table", "Training", "Probe")
_SPREADS: dict[Spread, str] = {"sd": "± 1 sd", "range": "lowest to highest"}
_MEASURES = {"mAP": MAP, "points lost": POINTS_LOST}


@dataclass(frozen=True)
class View:
    """How the curves are drawn."""

    measure: Measure
    spread: Spread
    paper: str
    """The paper's dataset that is laid over; '' for none."""
    settings: Sequence[str]
    """Those whose runs are shown; none: all runs."""


def render(store: Store) -> None:
    """The whole page below its heading."""
    names = [study.name for study in store.studies()]
    if not names:
        empty_state(
            "There is no study yet", "Launch one: its curves appear here while it trains.", ("launch", "Launch")
        )
        return
    start_with("studies", names[0])
    chosen = st.multiselect("Studies", names, key="studies", bind="query-params")
    if not chosen:
        st.info("Choose at least one study.")
        return
    active = results.find(store, chosen).is_active
    with st.container(key="live-results"):
        st.fragment(_live, run_every=TICK_S if active else None)(store, chosen, active)


def _live(store: Store, names: Sequence[str], was_active: bool) -> None:
    """The part that follows the store; without ticks once all runs have ended."""
    with one_sentence_errors():
        found = results.find(store, names)
        if found.is_active != was_active:
            st.rerun()
        _face(found)
        if found.rows.empty:
            empty_state("No run has finished yet", "The first points appear as soon as one has.", ("queue", "Queue"))
            return
        view = _view(found.settings)
        _tabs(store, found.with_settings(view.settings) if view.settings else found, view)


def _face(found: Found) -> None:
    """What a reader must know: what it is, with which settings, and how much of it is in."""
    with st.container(border=True):
        st.markdown(results.studies_in_words(found))
        names = {record.sha256: record.name for record in weights().list()}
        st.markdown(f"Settings: {plain(results.key_settings(found, names))}.")
        st.markdown(results.completeness(found))
        if found.is_active:
            st.progress(share_done(found.jobs))
    if differences := differences_in_words(found.specs.values()):
        st.warning(plain(differences))


def _view(settings: Sequence[str]) -> View:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        measure = st.segmented_control(
            "Show", list(_MEASURES), default="mAP", required=True, key="measure", bind="query-params"
        )
        spread = st.segmented_control(
            "Bars over seeds",
            list(_SPREADS),
            default="sd",
            required=True,
            format_func=_SPREADS.__getitem__,
            key="bars",
            bind="query-params",
        )
        titles = {_NO_PAPER: _NO_PAPER} | {name: dataset.title for name, dataset in published.DATASETS.items()}
        paper = st.selectbox(
            "The paper's curves for",
            list(titles),
            format_func=titles.__getitem__,
            key="paper",
            bind="query-params",
            width=220,
        )
        chosen = _choose_settings(settings) if len(settings) > 1 else []
    return View(_MEASURES[measure or "mAP"], spread or "sd", "" if paper == _NO_PAPER else paper, chosen)


def _choose_settings(settings: Sequence[str]) -> list[str]:
    """What is chosen of settings that part runs; what was chosen of another study's is forgotten."""
    key = "runs-with"
    st.session_state[key] = [name for name in st.session_state.get(key, []) if name in settings]
    names = {name: name or "the others" for name in settings}
    return st.multiselect(
        "Runs with", settings, key=key, format_func=names.__getitem__, placeholder="all settings", width=520
    )


def _tabs(store: Store, found: Found, view: View) -> None:
    """Only the open tab's body runs."""
    bodies: tuple[Callable[[], None], ...] = (
        lambda: _over_noise(found, view),
        lambda: _over_gamma(found, view),
        lambda: _by_class(found, view),
        lambda: analysis_page.render(found),
        lambda: _table(found),
        lambda: _training(store, found),
        lambda: probe.render(found.jobs),
    )
    for tab, body in zip(st.tabs(_TABS, key="view", bind="query-params"), bodies, strict=True):
        if tab.open:
            with tab:
                body()


def _over_noise(found: Found, view: View) -> None:
    paper = published.curves_over_noise(view.paper) if view.paper else ()

    def draw(points: pd.DataFrame) -> go.Figure:
        return curves.ap_over_rate(points, view.spread, paper, view.measure)

    _side_by_side(found, view, "noise", draw, [ap for curve in paper for ap in curve.mean_ap])


def _over_gamma(found: Found, view: View) -> None:
    focal = found.points[found.points["kind"] == "focal"]
    if focal["gamma"].nunique() < 2 and not view.paper:
        st.info("These studies have fewer than two values of γ: launch one with more to see this curve.")
        return
    paper = published.curves_over_gamma(view.paper) if view.paper else ()

    def draw(points: pd.DataFrame) -> go.Figure:
        return curves.ap_over_gamma(points, view.spread, paper, view.measure)

    _side_by_side(found, view, "gamma", draw, [ap for curve in paper for ap in curve.mean_ap])


def _side_by_side(
    found: Found, view: View, key: str, draw: Callable[[pd.DataFrame], go.Figure], also: Sequence[float]
) -> None:
    """The same chart at each score threshold, on one scale, so that the threshold's share of an effect is seen."""
    frames = {threshold: _measured(found.points_at(threshold), view) for threshold in found.thresholds}
    scale = curves.shared_range(list(frames.values()), [] if view.measure.is_loss else also)
    for column, (threshold, points) in zip(st.columns(len(frames), gap="medium"), frames.items(), strict=True):
        with column:
            st.subheader(_threshold_in_words(threshold), anchor=False)
            figure = draw(points)
            if not (view.measure.is_loss and also):
                figure.update_yaxes(range=scale)
            chart(figure, f"{key}-{threshold:g}", f"{view.measure.title}, detections that score {threshold:g} or more.")
            st.markdown(results.seeds_in_words(points, view.spread))
            analysis_page.stands_on(found.specs, found.rows_at(threshold))


def _threshold_in_words(threshold: float) -> str:
    whose = " (the authors')" if threshold == results.AUTHORS_THRESHOLD else ""
    return f"Score ≥ {threshold:g}{whose}"


def _measured(points: pd.DataFrame, view: View) -> pd.DataFrame:
    return curves.lost_since_clean(points) if view.measure.is_loss else points


def _by_class(found: Found, view: View) -> None:
    names = results.classes_by_loss(found.points)
    if not names:
        st.info("These results hold no classes.")
        return
    chosen = st.multiselect(
        "Classes, those that lose most first",
        names,
        names[:MOST_CLASSES],
        key="classes",
        bind="query-params",
        max_selections=20,
    )

    def draw(points: pd.DataFrame) -> go.Figure:
        return curves.class_curves(points, chosen, view.spread, view.measure)

    frames = {threshold: _measured(found.points_at(threshold, None), view) for threshold in found.thresholds}
    shown = {threshold: points[points["class_name"].isin(chosen)] for threshold, points in frames.items()}
    scale = curves.shared_range(list(shown.values()))
    for column, (threshold, points) in zip(st.columns(len(shown), gap="medium"), shown.items(), strict=True):
        with column:
            st.subheader(_threshold_in_words(threshold), anchor=False)
            if chosen:
                figure = draw(points)
                figure.update_yaxes(range=scale)
                chart(figure, f"class-{threshold:g}", f"AP by class, detections that score {threshold:g} or more.")
                analysis_page.stands_on(found.specs, found.rows_at(threshold))


def _table(found: Found) -> None:
    table = results.result_table(found.points)
    st.dataframe(table, hide_index=True, height=min(38 + 35 * len(table), 560), column_config=_COLUMNS, placeholder="–")
    with st.container(horizontal=True):
        names = "-".join(study.name for study in found.studies)
        st.download_button(
            "Every run and class, CSV", to_csv(found.rows), f"{names}-runs.csv", "text/csv", on_click="ignore"
        )
        st.download_button(
            "Means over seeds, CSV", to_csv(found.points), f"{names}-means.csv", "text/csv", on_click="ignore"
        )
    _one_run(found)
    with st.expander("All settings that these runs share"):
        st.dataframe(results.settings_table(found), hide_index=True)


def _one_run(found: Found) -> None:
    """The way to one run's own page."""
    done = {job.run_id: job for job in found.jobs if job.state is JobState.DONE}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        run_id = st.selectbox(
            "One run",
            list(done),
            None,
            format_func=lambda run_id: run_label(done[run_id]),
            placeholder="Choose a run to look at in detail",
            key="one-run",
            width=420,
        )
        if run_id is not None:
            run_detail.link(done[run_id])


def _training(store: Store, found: Found) -> None:
    by_id = {job.run_id: job for job in found.jobs}
    started = [run_id for run_id, job in by_id.items() if job.progress is not None]
    if not started:
        st.info("No run has started yet.")
        return
    chosen = st.multiselect(
        "Runs",
        started,
        started[:1],
        format_func=lambda run_id: run_label(by_id[run_id]),
        key="runs",
        bind="query-params",
        max_selections=MOST_RUNS,
    )
    quantity = st.selectbox(
        "Quantity",
        list(results.QUANTITIES),
        format_func=results.QUANTITIES.__getitem__,
        key="quantity",
        bind="query-params",
        width=220,
    )
    jobs = [by_id[run_id] for run_id in chosen]
    metrics = {run_id: store.metrics(run_id) for run_id in chosen}
    series = results.training_series(jobs, metrics, quantity)
    chart(curves.over_steps(series, results.QUANTITIES[quantity]), "training", "Training curves of the chosen runs.")
    _on_the_way("interim", {at: results.ap_series(jobs, found.interim, at) for at in found.thresholds})
    _means_on_the_way(found)


def _means_on_the_way(found: Found) -> None:
    """What training for longer does to each loss at each rate."""
    means = {threshold: results.mean_ap_series(found, threshold) for threshold in found.thresholds}
    most = max(map(len, means.values()), default=0)
    if most == 0:
        return
    st.subheader("All runs, means over seeds", anchor=False)
    if most > MOST_CURVES:
        st.info(f"They make {most} curves, more than can be told apart: choose fewer studies or settings.")
        return
    _on_the_way("means", means)


def _on_the_way(key: str, lines_at: Mapping[float, Sequence[Series]]) -> None:
    """mAP over training steps at each threshold, on one scale; nothing where no run was evaluated on the way."""
    if not any(lines_at.values()):
        return
    highest = max(ap for lines in lines_at.values() for line in lines for ap in line.values)
    for column, (threshold, lines) in zip(st.columns(len(lines_at)), lines_at.items(), strict=True):
        with column:
            st.subheader(_threshold_in_words(threshold), anchor=False)
            figure = curves.over_steps(lines, MAP.title).update_yaxes(range=[0, min(1.0, 1.1 * highest + 0.01)])
            chart(figure, f"{key}-{threshold:g}", "mAP over training steps.")


_COLUMNS = {
    **{name: st.column_config.NumberColumn(format="%.4f") for name in ("mAP", "sd", "lowest", "highest")},
    "points lost": st.column_config.NumberColumn(format="%.2f"),
    "missing, %": st.column_config.NumberColumn(format="%g"),
}
