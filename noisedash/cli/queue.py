"""`noisedash queue`: the jobs, what they are at, and what a person may ask of them."""

from typing import Annotated, Any

import typer

from noisedash.cli.output import AsJson, say, say_json, say_table
from noisedash.cli.places import open_store
from noisedash.records import JobRecord, JobState
from noisedash.settings import current_settings
from noisedash.spec import loss_label

app = typer.Typer(no_args_is_help=True, help="Jobs: list, look at, cancel, pause, resume, retry.")

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
    say_table(
        ["job", "state", "dataset", "loss", "missing", "seed", "step", "images/s", "ETA", "reason"],
        [job_row(job) for job in jobs],
    )
    total = store.counts(study)
    say(", ".join(f"{count} {state}" for state, count in total.items() if count))


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


def job_fields(job: JobRecord) -> dict[str, Any]:
    """A job for scripts, without its specification."""
    progress = job.progress
    return {
        "id": job.id,
        "run_id": job.run_id,
        "state": job.state.value,
        "wanted": job.wanted.value,
        "dataset": job.dataset_name,
        "loss": loss_label(job.spec.loss),
        "missing_rate": job.spec.noise.missing_rate,
        "seed": job.spec.training.seed,
        "phase": progress.phase if progress else None,
        "step": progress.step if progress else None,
        "steps": job.spec.training.steps,
        "images_per_s": progress.images_per_s if progress else None,
        "eta_s": progress.eta_s if progress else None,
        "attempts": job.attempts,
        "worker": job.worker,
        "reason": job.reason,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
    }


def job_row(job: JobRecord) -> list[object]:
    """A job's cells in `queue list`."""
    progress = job.progress
    running = job.state is JobState.RUNNING and progress is not None
    return [
        job.id,
        job.state.value,
        job.dataset_name,
        loss_label(job.spec.loss),
        f"{job.spec.noise.missing_rate:.0%}",
        job.spec.training.seed,
        f"{progress.step if progress else 0}/{job.spec.training.steps}",
        f"{progress.images_per_s:.0f}" if running and progress and progress.images_per_s else "",
        f"{progress.eta_s:.0f} s" if running and progress and progress.eta_s is not None else "",
        job.reason,
    ]
