"""What a run's anchors learn, as the probe saw it: one number, the measured Figure 6, and curves over training."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from noisedash.figures.probe import (
    RunAtRest,
    figure_six_measured,
    gradient_shares,
    inside_over_steps,
    resting_over_gamma,
)
from noisedash.focal import SHARE, dont_care
from noisedash.jobs.probes import has_probe, probe_frame, probe_of
from noisedash.probe_records import BACKGROUND, CLEARLY_SCORED, DROPPED, ProbeRecord, rest
from noisedash.records import JobRecord
from noisedash.settings import current_settings
from noisedash.spec import CrossEntropy, Focal, loss_label
from noisedash.ui.layout import chart, one_sentence_errors
from noisedash.ui.text import count, run_label

NOT_YET = "This run has not been probed: runs are from their first step on, save those of earlier versions."


@dataclass(frozen=True)
class RestInWords:
    """The answer to 'do dropped boxes rest in the don't-care region?' for one run, at its last point."""

    as_objects: str
    inside: str
    in_band: str
    mean_score: str
    sentence: str


def render(jobs: Sequence[JobRecord]) -> None:
    """The Probe tab of studies: their runs side by side, and one of them by choice."""
    if not any(map(is_probed, jobs)):
        st.info(NOT_YET)
        return
    percent = st.slider(
        "“Don't care”: share of the strongest pull",
        1,
        50,
        round(100 * SHARE),
        format="%d %%",
        key="share",
        bind="query-params",
        width=360,
    )
    with one_sentence_errors():
        st.subheader("Do dropped boxes rest in the don't-care region?", anchor=False)
        _show_study(jobs, percent / 100)
    st.subheader("One run over training", anchor=False)
    job = choose_run(jobs, "run", "Choose a run to lay its anchors over its loss")
    if job is not None:
        show(job, "one-run", percent / 100)


def show(job: JobRecord, key: str, share: float | None = None) -> None:
    """The probe of a job's run; with a slider for the region's share where none is given. `key` sets widgets apart."""
    with one_sentence_errors():
        record = probe_of(current_settings(), job)
        if record is None or not len(record.steps):
            st.info(NOT_YET)
            return
        share, stretched = _controls(key, share)
        _numbers(record, job, share)
        loss = job.spec.loss
        chart(
            figure_six_measured(record, loss, share, stretched),
            f"{key}-figure-6",
            "Pull and loss over the score, and below them the scores of each group of anchors, over training.",
        )
        left, right = st.columns(2, gap="large")
        with left:
            st.subheader("Who pulls", anchor=False)
            chart(gradient_shares(record), f"{key}-pull", "Share of the gradient that each group has, over training.")
        with right:
            st.subheader("Who rests in the don't-care region", anchor=False)
            inside = inside_over_steps(record, loss, share)
            chart(inside, f"{key}-inside", "Share of the anchors in the don't-care region, over training.")
        st.markdown(_method(record))


def _show_study(jobs: Sequence[JobRecord], share: float) -> None:
    """Over gamma how many anchors of dropped boxes rest, for the runs of a study that have any; and the numbers."""
    frame = probe_frame(current_settings(), jobs, share)
    dropped = frame[frame["anchors"] > 0].sort_values(["kind", "gamma", "missing", "seed"], kind="stable")
    if dropped.empty:
        st.info("No probed run of these studies has dropped boxes: there is nothing that could rest.")
        return
    by_id = {job.id: run_label(job) for job in jobs}
    runs = [
        RunAtRest(by_id[row["job"]], row["kind"], row["gamma"], row["inside_clearly"], row["mean_score"])
        for row in dropped.to_dict("records")
    ]
    chart(
        resting_over_gamma(runs),
        "probe-over-gamma",
        "Share of the dropped boxes' anchors in the don't-care region over gamma, one point for each run.",
    )
    st.dataframe(_table(dropped), hide_index=True, column_config=_COLUMNS, height=min(38 + 35 * len(dropped), 390))


def is_probed(job: JobRecord) -> bool:
    """Whether there is something to show of a job."""
    return has_probe(current_settings(), job)


def choose_run(jobs: Sequence[JobRecord], key: str, placeholder: str) -> JobRecord | None:
    """A box to choose one of the probed runs, bound to the address; None while nothing is chosen."""
    probed = {str(job.id): job for job in jobs if is_probed(job)}
    chosen = st.selectbox(
        "Run",
        list(probed),
        None,
        format_func=lambda number: f"Job {number}: {run_label(probed[number])} on {probed[number].dataset_name}",
        placeholder=placeholder,
        key=key,
        bind="query-params",
    )
    return None if chosen is None else probed[chosen]


def rest_in_words(record: ProbeRecord, loss: CrossEntropy | Focal, share: float) -> RestInWords:
    """Numbers and a sentence. A record without anchors of dropped boxes has dashes for numbers."""
    gamma = loss.gamma if isinstance(loss, Focal) else 0.0
    region, number = dont_care(gamma, share), int(record.anchors[DROPPED])
    dropped, background = (rest(record, group, gamma, share) for group in (DROPPED, BACKGROUND))
    others = f"{_percent(background.inside[-1])} of the other background"
    if number == 0:
        sentence = f"No anchor stands for a dropped box here; {others} lies in the region."
        return RestInWords("–", "–", "–", "–", sentence)
    clearly = _percent(dropped.inside_clearly[-1])
    sentence = (
        f"At step {record.steps[-1]:,}, {_percent(dropped.inside[-1])} of the {count(number, 'anchor')} that stand for "
        f"dropped boxes score below {region.negatives[-1][1]:.3f}, where a negative pulls with less than {share:.0%} "
        f"of its strongest pull ({loss_label(loss)}). A score near 0 lies there at any γ, as {others} does: {clearly} "
        f"score above {CLEARLY_SCORED:g} as well, and so rest as objects rather than as background."
    )
    if isinstance(loss, CrossEntropy):
        counted = _percent(record.counted_share[-1, DROPPED])
        sentence += f" Mining takes {counted} of them into the loss; the rest pull nothing, whatever their score."
    band = "no band" if region.band is None else _percent(dropped.in_band[-1])
    return RestInWords(clearly, _percent(dropped.inside[-1]), band, f"{dropped.mean_score[-1]:.3f}", sentence)


def _controls(key: str, share: float | None) -> tuple[float, bool]:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        if share is None:
            percent = st.slider(
                "“Don't care”: share of the strongest pull",
                1,
                50,
                round(100 * SHARE),
                format="%d %%",
                key=f"{key}-share",
                width=320,
            )
            share = percent / 100
        stretched = st.toggle("Stretch the axis towards scores of 0 and 1", key=f"{key}-stretched")
    return share, stretched


def _numbers(record: ProbeRecord, job: JobRecord, share: float) -> None:
    found = rest_in_words(record, job.spec.loss, share)
    titles = (
        ("Dropped boxes that rest as objects", found.as_objects, "In the region, with a score above .1"),
        ("In the don't-care region at all", found.inside, "A score near 0 lies in it at any γ"),
        ("In the band where neither pulls", found.in_band, "Where positives do not care either"),
        ("Mean score", found.mean_score, "Of the box's class"),
    )
    for column, (title, value, help_text) in zip(st.columns(len(titles)), titles, strict=True):
        column.metric(title, value, help=f"{help_text}; of the anchors that stand for dropped boxes.")
    st.markdown(found.sentence)


def _method(record: ProbeRecord) -> str:
    return (
        f"Measured on {count(record.images, 'training image')} as they are, without augmentation, in training mode, at "
        f"{count(len(record.steps), 'point')}. An anchor is *dropped* if it would be matched to a dropped box were the "
        "dropped boxes annotated, and is a negative now; *near* if it overlaps one by an IoU of .3 or more. Matched "
        "anchors are scored for the box's class, the others for their highest. The gradient is that of the loss that "
        "is trained, by the logits of all classes. Thick grey lines mark where a group's kind does not care."
    )


def _table(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "job": frame["job"],
            "loss": frame["loss"],
            "missing": 100 * frame["missing"],
            "seed": frame["seed"],
            "anchors": frame["anchors"],
            "rest as objects": 100 * frame["inside_clearly"],
            "in the region": 100 * frame["inside"],
            "in the band": 100 * frame["in_band"],
            "mean score": frame["mean_score"],
            "share of the gradient": 100 * frame["gradient_share"],
            "background in the region": 100 * frame["background_inside"],
        }
    )


def _percent(share: float) -> str:
    """A share as a percentage of one decimal; a dash where there is none.

    >>> _percent(0.1234), _percent(math.nan)
    ('12.3 %', '–')
    """
    return "–" if math.isnan(share) else f"{100 * share:.1f} %"


_PERCENT = st.column_config.NumberColumn(format="%.1f %%")
_COLUMNS = {
    "missing": st.column_config.NumberColumn(format="%g %%"),
    "mean score": st.column_config.NumberColumn(format="%.3f"),
    **dict.fromkeys(
        ("rest as objects", "in the region", "in the band", "share of the gradient", "background in the region"),
        _PERCENT,
    ),
}
