"""The Queue page: a study's progress, its jobs, what can be asked of one, its log; all read from the store."""

from collections.abc import Sequence

import streamlit as st

from noisedash.jobs.protocol import WorkerKind
from noisedash.jobs.store import Store
from noisedash.records import JobRecord, JobState, StudyRecord, Wanted
from noisedash.ui import job_card
from noisedash.ui.layout import empty_state, one_sentence_errors, page, plain, start_with
from noisedash.ui.progress import (
    ACTIVE,
    job_frame,
    progress_in_words,
    reasons,
    remaining_s,
    running_in_words,
    share_done,
    worker_frame,
)
from noisedash.ui.text import count

TICK_ACTIVE_S = 1.5
TICK_IDLE_S = 15.0


def render(store: Store) -> None:
    """The whole page below its heading."""
    studies = store.studies()
    if not studies:
        empty_state("Nothing is queued", "Launch a study: its runs appear here as they train.", ("launch", "Launch"))
        return
    if job_card.SHOW_STUDY in st.session_state:
        st.session_state["study"] = st.session_state.pop(job_card.SHOW_STUDY)
    start_with("study", studies[0].name)
    name = st.selectbox("Study", [study.name for study in studies], None, key="study", bind="query-params")
    if name is None:
        st.info("Choose a study.")
        return
    study = next(study for study in studies if study.name == name)
    tick_s = TICK_ACTIVE_S if is_active(store.counts()) else TICK_IDLE_S
    with st.container(key="live-queue"):
        st.fragment(_live, run_every=tick_s)(store, study, tick_s)


def _live(store: Store, study: StudyRecord, tick_s: float) -> None:
    """The part that follows the store. Starts the page again where work began or ended, for another tick."""
    with one_sentence_errors():
        counts = store.counts()
        if is_active(counts) != (tick_s == TICK_ACTIVE_S):
            st.rerun()
        slots = worker_line(store, waiting=counts[JobState.QUEUED])
        jobs = store.jobs(study.name)
        _study_card(store, study, jobs, slots)
        _job_table(study, jobs)
        chosen = [job for job in jobs if str(job.id) == st.query_params.get("job")]
        if chosen:
            job_card.show(store, chosen[0])
        else:
            st.markdown("Choose a row to see its log, or to cancel, pause, retry, move or clone it.")
        _other_studies(store, study)


def is_active(counts: dict[JobState, int]) -> bool:
    """Whether anything runs or waits to run."""
    return any(counts[state] for state in ACTIVE)


def worker_line(store: Store, waiting: int) -> int:
    """Say who works on the queue, and how to start a worker where none does and jobs wait. Gives the slots."""
    workers = store.workers()
    slots = sum(worker.slots for worker in workers)
    if workers:
        claiming = [worker for worker in workers if worker.kind is not WorkerKind.NODE]
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(
                f"{count(len(claiming), 'worker')}, {count(slots, 'slot')}", icon=":material/memory:", color="green"
            )
            with st.popover("Who works", icon=":material/dns:", type="tertiary"):
                st.dataframe(worker_frame(workers), hide_index=True, alt="Workers and nodes with what they have.")
    elif waiting:
        st.warning(
            f"No worker is running: {count(waiting, 'job')} will wait until you start one with `noisedash worker` in a "
            "terminal (`noisedash up` starts one beside this page).",
            icon=":material/pause_circle:",
        )
    else:
        st.badge("no worker running, none needed", icon=":material/memory:", color="gray")
    return max(slots, 1)


def _study_card(store: Store, study: StudyRecord, jobs: Sequence[JobRecord], slots: int) -> None:
    with st.container(border=True):
        st.progress(share_done(jobs), text=progress_in_words(jobs, remaining_s(jobs, slots)))
        with st.container(horizontal=True, vertical_alignment="center"):
            st.text(study.title)
            _study_buttons(store, study, jobs)
        for job in jobs:
            if job.state is JobState.RUNNING:
                st.progress(share_done([job]), text=plain(running_in_words(job, jobs)))
    for reason, failed in reasons(jobs).items():
        st.error(plain(f"{count(len(failed), 'run')} failed: {reason}"), icon=":material/error:")
        st.button(f"Show the log of job {failed[0].id}", on_click=_look_at, args=(failed[0].id,))


def _study_buttons(store: Store, study: StudyRecord, jobs: Sequence[JobRecord]) -> None:
    to_results = {"studies": study.name}
    st.page_link(page("results"), label="Results", icon=":material/show_chart:", query_params=to_results)
    held = [job for job in jobs if job.state is JobState.PAUSED or job.wanted is Wanted.PAUSE]
    active = [job for job in jobs if job.state in ACTIVE and job.wanted is Wanted.RUN]
    lost = [job for job in jobs if job.state in (JobState.FAILED, JobState.CANCELLED)]
    wishes = (
        (active, "Pause the study", ":material/pause:", "pause-study", store.pause_study),
        (held, f"Resume {count(len(held), 'run')}", ":material/play_arrow:", "resume-study", store.resume_study),
        (active or held, "Cancel the study", ":material/cancel:", "cancel-study", store.cancel_study),
        (lost, f"Retry {count(len(lost), 'run')}", ":material/refresh:", "retry-study", store.retry_study),
    )
    for concerned, label, icon, key, ask in wishes:
        if concerned and st.button(label, icon=icon, key=key):
            ask(study.name)
            st.rerun()
    if active or held:
        _study_priority(store, study, max(job.priority for job in active or held))


def _study_priority(store: Store, study: StudyRecord, now: int) -> None:
    with st.popover(f"Priority {now}", icon=":material/low_priority:"):
        priority = st.number_input(
            "Priority of the study: higher goes first", -1000, 1000, now, key=f"priority-{study.name}-{now}"
        )
        if st.button("Set it", key="priority-study", disabled=priority == now):
            store.set_study_priority(study.name, priority)
            st.rerun()


def _look_at(job_id: int | None) -> None:
    """Keep the job that is looked at in the address."""
    if job_id is None:
        st.query_params.pop("job", None)
    else:
        st.query_params["job"] = str(job_id)


def _job_table(study: StudyRecord, jobs: Sequence[JobRecord]) -> None:
    """The jobs as a table in their order of claims, so that rows keep their place. A chosen row goes to the address."""
    key = f"jobs-of-{study.name}"

    def selected() -> None:
        rows = st.session_state[key].selection.rows
        _look_at(jobs[rows[0]].id if rows and rows[0] < len(jobs) else None)

    st.dataframe(
        job_frame(jobs),
        hide_index=True,
        height=min(38 + 35 * len(jobs), 460),
        column_config=_COLUMNS,
        placeholder="",
        on_select=selected,
        selection_mode="single-row",
        key=key,
        alt="The study's jobs with state, progress, speed and time left.",
    )


def _other_studies(store: Store, study: StudyRecord) -> None:
    others = {name: counts for name, counts in store.counts_by_study().items() if name != study.name}
    active = {name: counts for name, counts in others.items() if is_active(counts)}
    if not active:
        return
    st.subheader("Other studies that are not done", anchor=False)
    for name, counts in active.items():
        done, total = counts[JobState.DONE], sum(counts.values())
        st.progress(done / total, text=plain(f"{name}: {done} of {count(total, 'run')} done"))


_COLUMNS = {
    "job": st.column_config.NumberColumn(width=60),
    "network": st.column_config.TextColumn(width=190),
    "loss": st.column_config.TextColumn(width=90),
    "missing": st.column_config.TextColumn(width=70),
    "other noise": st.column_config.TextColumn(width=160),
    "seed": st.column_config.NumberColumn(width=55),
    "state": st.column_config.TextColumn(width=130),
    "progress": st.column_config.ProgressColumn(min_value=0, max_value=1, format="percent", width=130),
    "images/s": st.column_config.NumberColumn(format="%.0f", width=75),
    "kept": st.column_config.NumberColumn(width=60, help="The step of its newest checkpoint: what a kill would keep."),
    "place": st.column_config.TextColumn(width=130),
    "reason": st.column_config.TextColumn(width="large"),
}
