"""One job on the Queue page: what it is at, what can be asked of it, its place in the queue, a clone of it, its log."""

from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from noisedash.jobs.clone import clone_of
from noisedash.jobs.protocol import TRANSITIONS, Actor, Event
from noisedash.jobs.runfolder import queue_log
from noisedash.jobs.store import Store
from noisedash.jobs.wishes import WAITING
from noisedash.records import JobRecord, JobState, Wanted
from noisedash.settings import current_settings
from noisedash.studies.overrides import read_lines
from noisedash.ui import probe, run_detail
from noisedash.ui.layout import one_sentence_errors
from noisedash.ui.progress import job_in_words
from noisedash.ui.text import run_label

LOG_LINES = 60
SHOW_STUDY = "show-study"
"""In the session's state: the study that the page shall show from its next run on."""
_ACTIONS = {
    Event.CANCEL: ("Cancel", Store.request_cancel),
    Event.PAUSE: ("Pause", Store.request_pause),
    Event.RESUME: ("Resume", Store.resume),
    Event.RETRY: ("Retry", Store.retry),
}


def show(store: Store, job: JobRecord) -> None:
    """The card of a job."""
    with st.container(border=True):
        st.subheader(f"Job {job.id}: {run_label(job)}", anchor=False)
        st.text(job_in_words(job))
        with st.container(horizontal=True):
            for event in possible(job):
                label, ask = _ACTIONS[event]
                if st.button(label, key=f"{event}-{job.id}"):
                    with one_sentence_errors():
                        ask(store, job.id)
                        st.rerun()
        if job.state is JobState.DONE:
            run_detail.link(job)
        else:
            _show_order(store, job)
        _show_clone(store, job)
        if probe.is_probed(job) and st.toggle("Show what its anchors learn (the probe)", key=f"probe-{job.id}"):
            probe.show(job, f"probe-{job.id}")
        log = queue_log(current_settings(), job, LOG_LINES)
        if log:
            with st.container(height=280, autoscroll=True):
                st.code(log, language=None)
        else:
            st.markdown("It has written no log yet.")


def possible(job: JobRecord) -> list[Event]:
    """What a person may ask of the job now, leaving out what was asked already."""
    asked = {Wanted.CANCEL: Event.CANCEL, Wanted.PAUSE: Event.PAUSE, Wanted.RUN: Event.RESUME}[job.wanted]
    return [
        event
        for event in _ACTIONS
        if (job.state, event, Actor.PERSON) in TRANSITIONS and (job.state is not JobState.RUNNING or event is not asked)
    ]


def neighbours(waiting: Sequence[JobRecord], job: JobRecord) -> tuple[int | None, int | None]:
    """The waiting jobs of the same priority right before it and two after it (which it is put before to go down).

    `waiting` are in the order of claims. None: there is none.
    """
    peers = [other.id for other in waiting if other.priority == job.priority]
    index = peers.index(job.id)
    above = peers[index - 1] if index > 0 else None
    below = peers[index + 2] if index + 2 < len(peers) else None
    return above, below


def _show_order(store: Store, job: JobRecord) -> None:
    """Priority, and for a job that waits its place among those of the same priority."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        priority = st.number_input(
            "Priority", -1000, 1000, job.priority, key=f"priority-{job.id}-{job.priority}", width=140
        )
        if st.button("Set priority", key=f"set-priority-{job.id}", disabled=priority == job.priority):
            store.set_priority(job.id, priority)
            st.rerun()
        if job.state in WAITING:
            _show_moves(store, job)


def _show_moves(store: Store, job: JobRecord) -> None:
    waiting = store.jobs(states=WAITING)
    if job.id not in [other.id for other in waiting]:
        return  # a worker has just taken it
    above, below = neighbours(waiting, job)
    last = [other.id for other in waiting if other.priority == job.priority][-1] == job.id
    moves: dict[str, tuple[bool, Callable[[], None]]] = {
        "First": (above is None, partial(store.move_first, job.id)),
        "Up": (above is None, partial(store.move_before, job.id, above or job.id)),
        "Down": (last, partial(store.move_before, job.id, below) if below else partial(store.move_last, job.id)),
        "Last": (last, partial(store.move_last, job.id)),
    }
    for label, (at_the_end, move) in moves.items():
        if st.button(label, key=f"move-{label}-{job.id}", disabled=at_the_end):
            with one_sentence_errors():
                move()
                st.rerun()


def _show_clone(store: Store, job: JobRecord) -> None:
    """A form for a new run with a few settings changed."""
    with st.expander("Clone it with changes", icon=":material/content_copy:"), st.form(f"clone-{job.id}", border=False):
        text = st.text_area(
            "Settings that shall differ, one a line",
            placeholder="steps=300\nloss.gamma=3",
            key=f"clone-text-{job.id}",
            help="Names as in `noisedash queue clone --set`: a field of the run's specification.",
        )
        if st.form_submit_button("Queue the clone", key=f"clone-button-{job.id}"):
            with one_sentence_errors():
                submission = store.submit_study(clone_of(job, read_lines(text.splitlines())))
                st.session_state[SHOW_STUDY] = submission.study_name
                st.query_params.pop("job", None)
                st.rerun()
