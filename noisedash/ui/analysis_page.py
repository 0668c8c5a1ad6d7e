"""The Statistics tab of the Results page: intervals, two losses compared, tolerated rates, risks; and their basis."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Literal

import pandas as pd
import streamlit as st

from noisedash.figures.evaluation import whiskers
from noisedash.jobs.predictions import image_draws
from noisedash.records import JobRecord
from noisedash.settings import Settings, current_settings
from noisedash.spec import RunSpec
from noisedash.studies.robustness import (
    IMAGE_DRAWS,
    Drop,
    ImageDraws,
    basis,
    compare_losses,
    has_image_draws,
    risks,
    tolerances,
    with_image_draws,
)
from noisedash.studies.summary import MEAN
from noisedash.studies.wording import basis_in_words, comparison_in_words, mixture_in_words, tolerance_in_words
from noisedash.ui import analysis
from noisedash.ui.analysis import FORMS
from noisedash.ui.layout import chart, one_sentence_errors, plain
from noisedash.ui.results import Found, classes_by_loss

MEAN_OF_ALL = "mean of all classes"
_UNITS: dict[str, Drop] = {"points": "points", "per cent": "percent"}
_OF_IMAGES = ("How sure are the curves?", "Is one loss better?")
"""Questions whose intervals can be for other test images."""
_NEEDS_CLEAN = "These studies have no noisy run with a clean run of its loss and seed: there is no drop to measure."


def _attempt(job: JobRecord) -> tuple[str, int]:
    """What a done job's detections are known by."""
    return job.run_id, job.claims


def render(found: Found) -> None:
    """The tab: one question at a time, since each costs time to answer."""
    questions: dict[str, Callable[[pd.DataFrame, pd.DataFrame], None]] = {
        "How sure are the curves?": _curves,
        "Is one loss better?": _comparison,
        "What is tolerated?": _tolerances,
        "What is the risk?": _risks,
    }
    thresholds = found.thresholds
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        question = st.selectbox("Question", list(questions), key="question", bind="query-params", width=250)
        threshold = st.selectbox(
            "Score ≥", thresholds, format_func="{:g}".format, key="score", bind="query-params", width=120
        )
        name = st.selectbox(
            "Class", [MEAN_OF_ALL, *classes_by_loss(found.points)], key="of-class", bind="query-params", width=220
        )
    at = found.rows[found.rows["threshold"] == threshold]
    rows = at[at["class_name"] == (MEAN if name == MEAN_OF_ALL else name)]
    with one_sentence_errors():
        if question in _OF_IMAGES and st.toggle("For other test images too", key="other-images", bind="query-params"):
            rows = with_image_draws(rows, _image_draws(found, rows))
        questions[question](rows, at)
    stands_on(found.specs, rows)


def stands_on(specs: Mapping[str, RunSpec], rows: pd.DataFrame) -> None:
    """Say which runs, seeds, steps, thresholds and data the figure above stands on, and what it mixes."""
    made = basis(specs, rows)
    st.markdown(f":small[Stands on {plain(basis_in_words(made))}.]")
    if mixture := mixture_in_words(made):
        st.warning(plain(mixture), icon=":material/call_split:")


def _curves(rows: pd.DataFrame, _all_classes: pd.DataFrame) -> None:
    form = st.segmented_control("Form", list(FORMS), default="mAP", required=True, key="form", bind="query-params")
    form = form or "mAP"
    title, what = FORMS[form]
    table = _cached("curves", rows, form)
    if table.empty:
        st.info(_NEEDS_CLEAN)
        return
    st.markdown(what)
    figure = analysis.figure(table, title).update_yaxes(rangemode="normal")
    chart(figure, "statistics-curves", f"{title} over missing labels, a curve per loss.")
    if form != "min-max":
        st.markdown(f"What the intervals cover: {_varied(table)}; {_images_in_words(rows)}.")


def _comparison(rows: pd.DataFrame, _all_classes: pd.DataFrame) -> None:
    losses = rows[["loss", "kind", "gamma"]].drop_duplicates().sort_values(["kind", "gamma"])
    names = losses["loss"].tolist()
    if len(names) < 2:
        st.info("These studies have a single loss: there is nothing to compare it with.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        first = st.selectbox("Loss", names, 0, key="first", bind="query-params", width=180)
        second = st.selectbox("against", names, len(names) - 1, key="second", bind="query-params", width=180)
        measure = st.segmented_control(
            "by", ["points lost", "mAP"], default="points lost", required=True, key="compare-by", bind="query-params"
        )
    if first == second:
        st.info("Choose two different losses.")
        return
    of: Literal["ap", "drop"] = "ap" if measure == "mAP" else "drop"
    table = _cached("comparison", rows, first, second, of)
    own = losses[losses["loss"] == first].iloc[0]
    title = f"{first} minus {second}, {'points lost' if of == 'drop' else 'points of mAP'}"
    chart(
        whiskers(analysis.compared(table, of, own["kind"], own["gamma"]), title, zero=True),
        "statistics-comparison",
        f"{title}: the mean difference at each share of missing labels, with its 95 % interval.",
    )
    for _, row in table.iterrows():
        st.markdown(f"- {plain(comparison_in_words(row, of))}")
    st.markdown(
        "Pairs are runs of one seed and one noise draw, tested on the same images (paired t test); intervals: "
        f"{_images_in_words(rows)}. Each share of missing labels is tested by itself: of many tests, one in twenty "
        "comes out below .05 by chance."
    )


def _tolerances(rows: pd.DataFrame, all_classes: pd.DataFrame) -> None:
    limit, unit = _limit("within", 2.0)
    table = _cached("tolerances", rows, limit, _UNITS[unit])
    if table.empty:
        st.info(_NEEDS_CLEAN)
        return
    title = f"missing labels tolerated within {limit:g} {unit}, %"
    beyond = 104 * float(table["measured_to"].max())
    figure = whiskers(analysis.tolerated(table), title, beyond).update_xaxes(range=[0, 1.04 * beyond])
    chart(figure, "statistics-tolerated", f"{title}, a row per loss.")
    for _, row in table.iterrows():
        st.markdown(f"- {plain(tolerance_in_words(row, limit, unit))}")
    st.markdown("Between two measured shares mAP is taken to change linearly.")
    if st.toggle("The same for every class", key="every-class", bind="query-params"):
        of_classes = _cached("tolerances", all_classes, limit, _UNITS[unit])
        told = analysis.tolerance_table(of_classes)
        st.dataframe(told, hide_index=True, height=min(38 + 35 * len(told), 460))


def _risks(rows: pd.DataFrame, _all_classes: pd.DataFrame) -> None:
    limit, unit = _limit("more-than", 5.0)
    table = _cached("risks", rows, limit, _UNITS[unit])
    if table.empty:
        st.info(_NEEDS_CLEAN)
        return
    title = f"probability of losing more than {limit:g} {unit}"
    figure = analysis.figure(table.assign(value=table["probability"]), title)
    chart(figure, "statistics-risk", f"{title}, over missing labels, a curve per loss.")
    st.markdown(
        "How likely one more training, with another seed and noise draw, loses more than that; with few runs it is "
        f"known only roughly, as the 95 % intervals say. They cover: {_varied(table)}."
    )
    st.dataframe(
        analysis.risk_table(table),
        hide_index=True,
        height=min(38 + 35 * len(table), 460),
        placeholder="–",
        column_config={
            name: st.column_config.NumberColumn(format="%.1f") for name in ("probability, %", "from, %", "to, %")
        },
    )


def _limit(key: str, usual: float) -> tuple[float, str]:
    """How much may be lost, and its unit."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        limit = st.number_input(
            "A loss of", 0.1, 100.0, usual, 0.5, format="%g", key=key, bind="query-params", width=140
        )
        unit = st.segmented_control(
            "in", list(_UNITS), default="points", required=True, key=f"{key}-unit", bind="query-params"
        )
    return limit, unit or "points"


def _images_in_words(rows: pd.DataFrame) -> str:
    return "for other test images too" if has_image_draws(rows) else "for these test images, others would add to them"


def _image_draws(found: Found, rows: pd.DataFrame) -> ImageDraws:
    """AP of the rows' runs on resampled test images. Raises NoiseDashError where a run's detections are not there."""
    wanted = {*rows["run_id"], *rows["clean_run_id"].dropna()}
    jobs = [job for job in found.jobs if job.run_id in wanted]
    settings = current_settings()
    return {key: draws for job in jobs for key, draws in _image_draws_of(settings, job).items()}


@st.cache_data(
    max_entries=256, show_spinner="Resampling test images…", hash_funcs={JobRecord: _attempt, Settings: repr}
)
def _image_draws_of(settings: Settings, job: JobRecord) -> ImageDraws:
    return image_draws(settings, job)


def _varied(table: pd.DataFrame) -> str:
    return "; ".join(sorted(set(table["varies"])))


def _digest(rows: pd.DataFrame) -> str:
    """The whole content's; Streamlit's own looks at a sample of long tables. Draws follow from the rest."""
    plain_columns = rows.drop(columns=list(IMAGE_DRAWS), errors="ignore")
    hashes = pd.util.hash_pandas_object(plain_columns, index=False)
    return hashlib.sha256(hashes.to_numpy().tobytes()).hexdigest() + str(has_image_draws(rows))


@st.cache_data(max_entries=64, show_spinner="Counting…", hash_funcs={pd.DataFrame: _digest})
def _cached(table: str, rows: pd.DataFrame, *arguments: Any) -> pd.DataFrame:
    """A table of those rows, kept as long as they stay what they are."""
    made: dict[str, Callable[..., pd.DataFrame]] = {
        "curves": analysis.curves,
        "comparison": compare_losses,
        "tolerances": tolerances,
        "risks": risks,
    }
    return made[table](rows, *arguments)
