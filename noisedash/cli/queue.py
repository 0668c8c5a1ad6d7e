"""`noisedash queue`: the jobs, what they are at, and what a person may ask of them."""

from typing import Annotated, Any

import typer

from noisedash.cli.output import AsJson, say, say_json, say_table
from noisedash.cli.places import open_datasets, open_store, open_weights
from noisedash.errors import QueueError
from noisedash.jobs.clone import clone_of
from noisedash.jobs.protocol import WorkerRecord
from noisedash.noise_spec import noise_label
from noisedash.records import JobRecord, JobState, Wanted
from noisedash.settings import current_settings
from noisedash.spec import detector_label, loss_label
from noisedash.studies.checks import check_runs
from noisedash.studies.overrides import read_lines

app = typer.Typer(no_args_is_help=True, help="Jobs: list, look at, cancel, pause, resume, retry, order, clone.")

JobId = Annotated[int, typer.Argument(help="The job's number, as `queue list` shows it.")]


@app.command("list")
def list_jobs(
    study: Annotated[str | None, typer.Option(help="Only the jobs of this study.")] = None,
    state: Annotated[list[JobState] | None, typer.Option(help="Only jobs in this state; may be repeated.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many jobs.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List jobs in the order in which they are claimed."""
    store = open_store()
    jobs = store.jobs(study, state or None, limit)
    if as_json:
        say_json([job_fields(job) for job in jobs])
        return
    if not jobs:
        say("No jobs. `noisedash study submit quick` makes some.")
        return
    mixed = len({detector_label(job.spec.detector) for job in jobs}) > 1
    say_table(
        [
            *("job", "state", "priority", "dataset", *(["network"] if mixed else []), "loss", "noise", "seed"),
            *("step", "kept", "images/s", "ETA", "place", "reason"),
        ],
        [job_row(job, with_network=mixed) for job in jobs],
    )
    total = store.counts(study)
    say(", ".join(f"{count} {state}" for state, count in total.items() if count))
    workers = store.workers()
    if not workers and (total[JobState.QUEUED] or total[JobState.RUNNING]):
        say("No worker runs: start one with `noisedash worker`.")
    for worker in workers:
        say(worker_in_words(worker))


@app.command("workers")
def list_workers(as_json: AsJson = False) -> None:
    """List the workers, dispatchers and cluster nodes that gave a sign of life lately."""
    workers = open_store().workers()
    if as_json:
        say_json([{**vars(worker), "kind": worker.kind.value} for worker in workers])
        return
    if not workers:
        say("None. `noisedash worker` starts one.")
    for worker in workers:
        say(worker_in_words(worker))


@app.command("show")
def show_job(job_id: JobId, lines: Annotated[int, typer.Option(min=0)] = 20, as_json: AsJson = False) -> None:
    """Show a job, its specification and the end of its log."""
    from noisedash.jobs.runfolder import queue_log

    job = open_store().job(job_id)
    log = queue_log(current_settings(), job, lines)
    if as_json:
        say_json({**job_fields(job), "spec": job.spec.model_dump(mode="json"), "log": log})
        return
    for name, value in job_fields(job).items():
        say(f"{name:15} {value if value is not None else ''}")
    if log:
        say(f"\nThe end of its log:\n{log}")


@app.command("cancel")
def cancel(job_id: JobId) -> None:
    """Cancel a job: at once where it waits, within seconds where it runs."""
    open_store().request_cancel(job_id)
    say(f"Job {job_id} is to be cancelled.")


@app.command("pause")
def pause(job_id: JobId) -> None:
    """Pause a job; its progress is kept and no attempt is spent."""
    open_store().request_pause(job_id)
    say(f"Job {job_id} is to be paused.")


@app.command("resume")
def resume(job_id: JobId) -> None:
    """Let a paused job go on."""
    open_store().resume(job_id)
    say(f"Job {job_id} is queued.")


@app.command("retry")
def retry(job_id: JobId) -> None:
    """Queue a failed or cancelled job again; it goes on from its newest checkpoint."""
    open_store().retry(job_id)
    say(f"Job {job_id} is queued again.")


@app.command("priority")
def priority(
    job_id: JobId, number: Annotated[int, typer.Argument(metavar="N", help="Higher goes first; 0 is usual.")]
) -> None:
    """Give a job another priority. Negative numbers go after `--`."""
    open_store().set_priority(job_id, number)
    say(f"Job {job_id} has priority {number}.")


@app.command("move")
def move(
    job_id: JobId,
    before: Annotated[int | None, typer.Option(metavar="ID", help="Right before this job.")] = None,
    first: Annotated[bool, typer.Option("--first", help="Before all others of its priority.")] = False,
    last: Annotated[bool, typer.Option("--last", help="After all others of its priority.")] = False,
) -> None:
    """Put a waiting job elsewhere among those of its priority."""
    if [before is not None, first, last].count(True) != 1:
        raise QueueError("Say where to: one of --before ID, --first and --last.")
    store = open_store()
    if before is not None:
        store.move_before(job_id, before)
        say(f"Job {job_id} goes right before job {before}.")
        return
    (store.move_first if first else store.move_last)(job_id)
    say(f"Job {job_id} goes {'first' if first else 'last'} of its priority.")


@app.command("clone")
def clone(
    job_id: JobId,
    settings: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="What shall differ; may be repeated.")
    ],
    name: Annotated[str | None, typer.Option(help="The new study's name; default: from job and changes.")] = None,
    priority: Annotated[int, typer.Option(help="Higher goes first.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Queue a new run that is a job's run with some settings changed, as a study of its own."""
    store = open_store()
    job = store.job(job_id)
    study = clone_of(job, read_lines(settings), name)
    check_runs(study.specs, open_datasets().by_hash(job.spec.data.content_hash).classes, open_weights())
    submission = store.submit_study(study, priority)
    queued = store.job_of_run(study.specs[0].id)
    if as_json:
        say_json({"study": submission.study_name, "id": queued.id, "run_id": queued.run_id, "new": submission.new_jobs})
        return
    what = "is queued" if submission.new_jobs else f"was known already ({queued.state.value})"
    say(f"Study {submission.study_name!r}: job {queued.id} {what}.")


def worker_in_words(worker: WorkerRecord) -> str:
    """'worker gpubox:4711:0f3a2b, 2 slots on 2 GPUs, seen 1 s ago'."""
    has = worker.resources or f"{worker.slots} slots"
    return f"{worker.kind.value} {worker.name}, {has}, seen {worker.seconds_since_seen:.0f} s ago"


def job_fields(job: JobRecord) -> dict[str, Any]:
    """A job for scripts, without its specification."""
    progress = job.progress
    return {
        "id": job.id,
        "run_id": job.run_id,
        "state": job.state.value,
        "wanted": job.wanted.value,
        "priority": job.priority,
        "dataset": job.dataset_name,
        "detector": detector_label(job.spec.detector),
        "loss": loss_label(job.spec.loss),
        "noise": noise_label(job.spec.noise),
        "missing_rate": job.spec.noise.missing_rate,
        "seed": job.spec.training.seed,
        "phase": progress.phase if progress else None,
        "step": progress.step if progress else None,
        "steps": job.spec.training.steps,
        "checkpoint_step": job.checkpoint_step,
        "images_per_s": progress.images_per_s if progress else None,
        "eta_s": progress.eta_s if progress else None,
        "attempts": job.attempts,
        "worker": job.worker,
        "place": job.place,
        "reason": job.reason,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
    }


def job_row(job: JobRecord, *, with_network: bool) -> list[object]:
    """A job's cells in `queue list`."""
    progress = job.progress
    running = job.state is JobState.RUNNING and progress is not None
    return [
        job.id,
        job.state.value if job.wanted is Wanted.RUN else f"{job.state}, to {job.wanted}",
        job.priority,
        job.dataset_name,
        *([detector_label(job.spec.detector)] if with_network else []),
        loss_label(job.spec.loss),
        noise_label(job.spec.noise),
        job.spec.training.seed,
        f"{progress.step if progress else 0}/{job.spec.training.steps}",
        job.checkpoint_step,
        f"{progress.images_per_s:.0f}" if running and progress and progress.images_per_s else "",
        f"{progress.eta_s:.0f} s" if running and progress and progress.eta_s is not None else "",
        job.place if job.state is JobState.RUNNING else "",
        job.reason,
    ]
