"""How far a study is, from its jobs alone: shares, sentences, and when it may be done."""

from collections import Counter
from collections.abc import Sequence
from heapq import heapreplace

import pandas as pd

from noisedash.jobs.protocol import WorkerRecord
from noisedash.noise_spec import noise_beside_rate
from noisedash.records import JobRecord, JobState, Progress, Wanted
from noisedash.spec import detector_label, loss_label
from noisedash.ui.text import STATE_SIGN, count, duration, mixes_networks, percent, run_label

ACTIVE = (JobState.QUEUED, JobState.RUNNING)


def steps_done(job: JobRecord) -> int:
    """Training steps that lie behind the job."""
    if job.state is JobState.DONE:
        return job.spec.training.steps
    return job.progress.step if job.progress else 0


def share_done(jobs: Sequence[JobRecord]) -> float:
    """The share of all training steps that is done, in [0, 1]; 1 without jobs.

    >>> share_done([])
    1.0
    """
    steps = sum(job.spec.training.steps for job in jobs)
    return sum(min(steps_done(job), job.spec.training.steps) for job in jobs) / steps if steps else 1.0


def progress_in_words(jobs: Sequence[JobRecord], left_s: float | None) -> str:
    """'3 of 8 runs done, 2 running, 3 queued; about 5 min left'."""
    by_state = Counter(job.state for job in jobs)
    parts = [f"{by_state[JobState.DONE]} of {count(len(jobs), 'run')} done"]
    others = (JobState.RUNNING, JobState.QUEUED, JobState.PAUSED, JobState.FAILED, JobState.CANCELLED)
    parts += [f"{by_state[state]} {state}" for state in others if by_state[state]]
    left = f"; about {duration(left_s)} left" if left_s is not None else ""
    return ", ".join(parts) + left


def remaining_s(jobs: Sequence[JobRecord], slots: int) -> float | None:
    """Seconds until the active jobs are done on so many slots; None while no job shows how long one takes.

    A queued job takes as long per step as the finished and the running ones do; each goes to the slot that is free
    first.
    """
    per_step_s = _seconds_per_step(jobs)
    running = [job for job in jobs if job.state is JobState.RUNNING]
    queued = [job for job in jobs if job.state is JobState.QUEUED]
    if per_step_s is None or not (running or queued):
        return None
    free_at_s = sorted((job.spec.training.steps - steps_done(job)) * per_step_s for job in running)[-slots:]
    free_at_s = sorted(free_at_s + [0.0] * (slots - len(free_at_s)))
    for job in queued:
        heapreplace(free_at_s, free_at_s[0] + (job.spec.training.steps - steps_done(job)) * per_step_s)
    return max(free_at_s)


def _seconds_per_step(jobs: Sequence[JobRecord]) -> float | None:
    spans = [(job.spec.training.steps, took) for job in jobs if (took := took_s(job)) is not None]
    if spans:
        return sum(took for _, took in spans) / sum(steps for steps, _ in spans)
    speeds = [
        job.spec.training.batch_size / progress.images_per_s
        for job in jobs
        if (progress := running_progress(job)) and progress.images_per_s
    ]
    return sum(speeds) / len(speeds) if speeds else None


def took_s(job: JobRecord) -> float | None:
    """How long a done job ran; None for any other."""
    if job.state is not JobState.DONE or job.started_at is None or job.finished_at is None:
        return None
    return (job.finished_at - job.started_at).total_seconds()


def reasons(jobs: Sequence[JobRecord]) -> dict[str, list[JobRecord]]:
    """The jobs that failed by their reason, the most frequent reason first."""
    by_reason: dict[str, list[JobRecord]] = {}
    for job in jobs:
        if job.state is JobState.FAILED:
            by_reason.setdefault(job.reason, []).append(job)
    return dict(sorted(by_reason.items(), key=lambda item: -len(item[1])))


def running_progress(job: JobRecord) -> Progress | None:
    """The progress of a job that runs; None for any other, whose last report is history."""
    return job.progress if job.state is JobState.RUNNING else None


def state_in_words(job: JobRecord) -> str:
    """A sign and the state, with what is wanted or which phase it is in."""
    if job.state is JobState.RUNNING and job.wanted is not Wanted.RUN:
        return f"{STATE_SIGN[job.state]}, to {job.wanted}"
    progress = running_progress(job)
    if progress is not None and progress.phase != "training":
        return f"▶ {progress.phase}"
    return STATE_SIGN[job.state]


def job_frame(jobs: Sequence[JobRecord]) -> pd.DataFrame:
    """A row per job, as the table shows it; what noise there is beside missing labels and the networks, where told."""
    progress = [running_progress(job) for job in jobs]
    beside = [noise_beside_rate(job.spec.noise) for job in jobs]
    networks = [detector_label(job.spec.detector) for job in jobs]
    return pd.DataFrame(
        {
            "job": [job.id for job in jobs],
            **({"network": networks} if mixes_networks(jobs) else {}),
            "loss": [loss_label(job.spec.loss) for job in jobs],
            "missing": [percent(job.spec.noise.missing_rate) for job in jobs],
            **({"other noise": beside} if any(beside) else {}),
            "seed": [job.spec.training.seed for job in jobs],
            "state": [state_in_words(job) for job in jobs],
            "progress": [share_done([job]) for job in jobs],
            "step": [f"{steps_done(job):,} / {job.spec.training.steps:,}" for job in jobs],
            "kept": pd.array([job.checkpoint_step for job in jobs], dtype="Int64"),
            "images/s": pd.array([at.images_per_s if at else None for at in progress], dtype="Float64"),
            "time left": [duration(at.eta_s) if at else "" for at in progress],
            "place": [job.place if job.state is JobState.RUNNING else "" for job in jobs],
            "reason": [job.reason for job in jobs],
        }
    )


def worker_frame(workers: Sequence[WorkerRecord]) -> pd.DataFrame:
    """A row per worker, dispatcher and node."""
    return pd.DataFrame(
        {
            "what": [worker.kind.value for worker in workers],
            "name": [worker.name for worker in workers],
            "has": [worker.resources or count(worker.slots, "slot") for worker in workers],
            "seen": [f"{worker.seconds_since_seen:.0f} s ago" for worker in workers],
        }
    )


def job_in_words(job: JobRecord) -> str:
    """State, attempts, worker, times and reason, one sentence."""
    parts = [f"{state_in_words(job)} on {job.dataset_name}", f"run {job.run_id}"]
    if job.attempts:
        parts.append(f"attempt {job.attempts} of {job.max_attempts}")
    if job.state is JobState.RUNNING and (job.place or job.worker):
        parts.append(f"on {job.place or job.worker}")
    if job.checkpoint_step is not None and job.state is not JobState.DONE:
        parts.append(f"kept up to step {job.checkpoint_step:,}")
    if (took := took_s(job)) is not None:
        parts.append(f"took {duration(took)}")
    return " · ".join(parts) + (f"\n{job.reason}" if job.reason else "")


def running_in_words(job: JobRecord, among: Sequence[JobRecord] = ()) -> str:
    """'FL γ=5, 50 % missing, seed 2: step 380 of 600, 330 images/s, 11 s left'."""
    progress = running_progress(job)
    if progress is None:
        return f"{run_label(job, among)}: starting"
    parts = [f"step {progress.step:,} of {job.spec.training.steps:,}"]
    if progress.phase != "training":
        parts.insert(0, progress.phase)
    if progress.images_per_s is not None:
        parts.append(f"{progress.images_per_s:,.0f} images/s")
    if progress.eta_s is not None:
        parts.append(f"{duration(progress.eta_s)} left")
    return f"{run_label(job, among)}: {', '.join(parts)}"
