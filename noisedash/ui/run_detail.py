"""The Run page: one finished run, all that can be read off its predictions."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from noisedash.evaluation.report import RULES, RunReport
from noisedash.figures.evaluation import (
    Curve,
    ap_over_threshold,
    causes_of_errors,
    precision_over_recall,
    recall_over_false_positives,
)
from noisedash.figures.style import category_style, style_of
from noisedash.jobs.predictions import report_on
from noisedash.jobs.store import Store
from noisedash.records import JobRecord, JobState, StudyRecord
from noisedash.settings import Settings, current_settings
from noisedash.ui import probe
from noisedash.ui.layout import chart, empty_state, one_sentence_errors, page, plain
from noisedash.ui.progress import job_in_words
from noisedash.ui.text import count, run_label

CLASSES_AT_FIRST = 4
MOST_CLASSES = 12
FEW_IMAGES = 100
"""From so many on the intervals over images cover what they say, within a few per cent."""


def link(job: JobRecord) -> None:
    """A link from elsewhere to the run's own page."""
    to = {"id": job.run_id}
    st.page_link(page("run"), label="Look at this run in detail", icon=":material/search:", query_params=to)


def render(store: Store) -> None:
    """The whole page below its heading."""
    studies = store.studies()
    if not studies:
        empty_state("There is no run yet", "Launch a study: each of its runs has a page here.", ("launch", "Launch"))
        return
    job = _choose(store, studies)
    with st.container(border=True):
        st.subheader(run_label(job), anchor=False)
        st.text(job_in_words(job))
    with one_sentence_errors():
        if job.state is not JobState.DONE:
            st.info("It has not finished: its detections are kept at the end of training, and looked at here then.")
        else:
            _show_report(job)
    if probe.is_probed(job):
        st.subheader("What its anchors learn", anchor=False)
        probe.show(job, "run-probe")


def _choose(store: Store, studies: Sequence[StudyRecord]) -> JobRecord:
    """A run, as the address has it, and a study that it is of.

    The study is not bound to the address: as other pages bind theirs, Streamlit would take it out when one comes here.
    """
    wanted = st.query_params.get("id")
    of_wanted = [study.name for study in studies if wanted in study.run_ids]
    if wanted is not None and not of_wanted:
        st.warning(plain(f"No study has a run {wanted}: here are those that there are."))
    names = [study.name for study in studies]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        name = st.selectbox("Study", names, names.index((of_wanted or names)[0]), key="study-of-run", width=320)
        jobs = {job.run_id: job for job in store.jobs(name)}
        finished = [place for place, job in enumerate(jobs.values()) if job.state is JobState.DONE]
        first = list(jobs).index(wanted) if wanted in jobs else finished[0] if finished else 0
        run_id = st.selectbox(
            "Run",
            list(jobs),
            first,
            format_func=lambda run_id: f"{run_label(jobs[run_id])} ({jobs[run_id].state})",
            key=f"run-of-{name}",
        )
    st.query_params["id"] = run_id  # bound to the address by Streamlit it would be the label
    return jobs[run_id]


def _show_report(job: JobRecord) -> None:
    lowest = min(job.spec.evaluation.score_thresholds)
    score = st.slider(
        "Only detections that score at least",
        lowest,
        0.99,
        lowest,
        0.01,
        key=f"score-{lowest:g}",
        bind="query-params",
        width=360,
        help=f"The run's predictions are kept from {lowest:g} on. Everything below but the first figure goes by it.",
    )
    settings = current_settings()
    report = _report(str(settings.home), job.run_id, job.claims, score, settings, job)
    _numbers(report)
    left, right = st.columns(2, gap="large")
    with left:
        _over_threshold(report, job)
    with right:
        _false_alarms(report, job)
    with left:
        _precision_recall(report)
    with right:
        _causes(report, job)
    _tables(report)
    _stands_on(report, job)


@st.cache_resource(max_entries=8, show_spinner="Holding its detections against the clean boxes…")
def _report(
    home: str,  # noqa: ARG001 - part of the key
    run_id: str,  # noqa: ARG001 - part of the key
    claims: int,  # noqa: ARG001 - part of the key
    score: float,
    _settings: Settings,
    _job: JobRecord,
) -> RunReport:
    """The report on a finished run; what it stands on never changes for a run and a claim."""
    return report_on(_settings, _job, score)


def _numbers(report: RunReport) -> None:
    low, high = report.draws.interval()
    with st.container(horizontal=True, gap="large"):
        st.metric(f"mAP@{report.match_iou:g}", f"{report.draws.mean:.4f}", width="content")
        st.metric("95 % interval over test images", f"{low:.4f} to {high:.4f}", width="content")
        st.metric("COCO, IoU .5 to .95", f"{report.by_rules['AP']:.4f}", width="content")
        st.metric("Test images", f"{report.images:,}", width="content")
        st.metric("Detections", f"{report.detections:,}", width="content")


def _over_threshold(report: RunReport, job: JobRecord) -> None:
    st.subheader("mAP over the score threshold", anchor=False)
    style = style_of(job.spec.loss)
    curve = Curve(run_label(job), report.thresholds, report.over_threshold.tolist(), style)
    chart(ap_over_threshold([curve]), "run-threshold", "mAP of the detections from each score on.")
    st.markdown("Where it falls steeply, the run's scores are low rather than its detections wrong.")


def _precision_recall(report: RunReport) -> None:
    st.subheader("Precision over recall", anchor=False)
    table = report.by_class().sort_values("ap")
    names = table["class"].tolist()
    chosen = st.multiselect(
        "Classes, the weakest first",
        names,
        names[:CLASSES_AT_FIRST],
        key="pr-classes",
        bind="query-params",
        max_selections=MOST_CLASSES,
    )
    curves = [(name, report.precision_recall(name), category_style(place)) for place, name in enumerate(chosen)]
    whole = [(name, curve, style) for name, curve, style in curves if curve is not None]
    chart(precision_over_recall(whole), "run-precision", "Precision over recall of the chosen classes.")


def _false_alarms(report: RunReport, job: JobRecord) -> None:
    st.subheader("Recall over false alarms", anchor=False)
    curve = (run_label(job), report.false_positives, style_of(job.spec.loss))
    chart(recall_over_false_positives([curve]), "run-alarms", "Recall over false positives an image, all classes.")
    st.markdown("One score threshold for all classes; boxes of all classes counted together.")


def _causes(report: RunReport, job: JobRecord) -> None:
    st.subheader("Why mAP is lost", anchor=False)
    causes = causes_of_errors([(run_label(job), report.fixed, style_of(job.spec.loss))])
    chart(causes, "run-causes", "Points of mAP that fixing each cause of errors alone would give.")
    st.markdown("Causes as in TIDE, at IoU .5; fixing two of them may give more or less than both bars together.")


def _tables(report: RunReport) -> None:
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("By class", anchor=False)
        told = {"ap": "AP", "low": "from", "high": "to"}
        table = report.by_class().sort_values("ap").rename(columns=told)
        numbers = {name: st.column_config.NumberColumn(format="%.3f") for name in (*told.values(), "recall")}
        height = min(38 + 35 * len(table), 460)
        st.dataframe(table, hide_index=True, height=height, column_config=numbers, placeholder="–")
        few = f" From {report.images} images it is rough: 100 or more are wanted." if report.images < FEW_IMAGES else ""
        st.markdown(f"From and to: 95 % interval over test images.{few}")
    with right:
        st.subheader("By each protocol's rules", anchor=False)
        rules = pd.DataFrame({"rules": RULES.values(), "mAP": [report.by_rules[name] for name in RULES]})
        four = {"mAP": st.column_config.NumberColumn(format="%.4f")}
        st.dataframe(rules, hide_index=True, column_config=four, placeholder="–")


def _stands_on(report: RunReport, job: JobRecord) -> None:
    spec, images = job.spec, count(report.images, "clean test image")
    said = (
        f"Stands on run {job.run_id}, step {spec.training.steps:,}, seed {spec.training.seed}; {images} of "
        f"{job.dataset_name} (content {spec.data.content_hash[:12]}); score ≥ {report.min_score:g}."
    )
    st.markdown(f":small[{plain(said)}]")
