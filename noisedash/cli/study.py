"""`noisedash study`: recipes and studies. `noisedash run`: one run here, in the foreground."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from noisedash.cli.noise import recipe_of_file
from noisedash.cli.output import AsJson, say, say_json, say_table
from noisedash.cli.places import open_datasets, open_store, open_weights
from noisedash.datasets.splits import default_split
from noisedash.errors import NoiseDashError, SpecError
from noisedash.records import JobState, Progress
from noisedash.settings import current_settings
from noisedash.spec import FromScratch, FromWeights, SplitSpec
from noisedash.studies.checks import check_runs
from noisedash.studies.files import load_run_file, load_study_file
from noisedash.studies.grid import title_with_noise, with_noise
from noisedash.studies.overrides import read_lines
from noisedash.studies.recipes import RECIPES, Recipe, build_study, recipe
from noisedash.studies.study import Study

app = typer.Typer(no_args_is_help=True, help="Studies: recipes, submit, pause, cancel, wait, results.")

StudyName = Annotated[str, typer.Argument(help="The study's name, as `study list` shows it.")]
WAIT_S = 2.0


@app.command("list")
def list_studies(as_json: AsJson = False) -> None:
    """List the recipes and the studies that were submitted."""
    store = open_store()
    counts = store.counts_by_study()
    studies = [
        {
            "name": study.name,
            "dataset": study.dataset_name,
            "runs": len(study.run_ids),
            **{state.value: count for state, count in counts[study.name].items()},
            "created_at": study.created_at,
        }
        for study in store.studies()
    ]
    recipes = [{"name": known.name, "title": known.title, "note": known.note} for known in RECIPES.values()]
    if as_json:
        say_json({"recipes": recipes, "studies": studies})
        return
    say_table(["recipe", "what it is"], [(known["name"], known["title"]) for known in recipes])
    say("")
    if not studies:
        say("No study was submitted yet. `noisedash study submit quick` submits one.")
        return
    headings = ["name", "dataset", "runs", *(state.value for state in JobState)]
    say_table(headings, [[study[heading] for heading in headings] for study in studies])


@app.command("submit")
def submit(
    recipe_or_file: Annotated[str, typer.Argument(help="A recipe's name, or a study file (.yaml).")],
    dataset: Annotated[str | None, typer.Option(help="A registered dataset; default: the recipe's own.")] = None,
    weights: Annotated[
        str | None, typer.Option(help="Initial weights by name or SHA-256, or 'scratch'; default: the recipe's own.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; may be repeated.")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds with commas between, such as 0,1,2.")] = None,
    noise: Annotated[
        Path | None,
        typer.Option(help="Noise beside the missing labels: a YAML or JSON file with 'steps', as `noise apply` takes."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The study's name; default: from recipe and dataset.")] = None,
    priority: Annotated[int, typer.Option(help="Higher goes first.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Queue a study's runs. What was trained before is not trained again."""
    if recipe_or_file.endswith((".yaml", ".yml")):
        refuse_with_file(dataset=dataset, weights=weights, settings=settings, seeds=seeds, noise=noise)
        study = load_study_file(Path(recipe_or_file), data_of, initial_weights)
    else:
        study = study_of_recipe(recipe(recipe_or_file), dataset, weights, settings or [], seeds)
    if noise is not None:
        specs = with_noise(study.specs, recipe_of_file(noise))
        study = replace(study, title=title_with_noise(study.title, specs), specs=specs)
    if name is not None:
        study = replace(study, name=name)
    check_runs(study.specs, open_datasets().get(study.dataset_name).classes, open_weights())
    submission = open_store().submit_study(study, priority)
    if as_json:
        say_json(
            {
                "study": submission.study_name,
                "run_ids": [spec.id for spec in study.specs],
                "new": submission.new_jobs,
                "existing": submission.existing_jobs,
                "retried": submission.retried_jobs,
            }
        )
        return
    say(
        f"Study {submission.study_name}: {submission.new_jobs} new runs, {submission.existing_jobs} known already, "
        f"{submission.retried_jobs} queued again."
    )


@app.command("show")
def show(study_name: StudyName, as_json: AsJson = False) -> None:
    """Show a study: what it is, and the state of its runs."""
    store = open_store()
    study, counts = store.study(study_name), store.counts(study_name)
    if as_json:
        specs = [job.spec.model_dump(mode="json") for job in store.jobs(study_name)]
        say_json({**vars(study), "counts": counts, "specs": specs})
        return
    say(f"{study.title}\n{study.note}\n")
    say(f"Dataset {study.dataset_name}, {len(study.run_ids)} runs: {told_counts(counts)}")


@app.command("cancel")
def cancel(study_name: StudyName) -> None:
    """Cancel all of a study's jobs that are not final; runs that another study needs go on."""
    say(f"{open_store().cancel_study(study_name)} jobs are to be cancelled.")


@app.command("pause")
def pause(study_name: StudyName) -> None:
    """Pause all of a study's jobs; those that run keep their progress."""
    say(f"{open_store().pause_study(study_name)} jobs are to be paused.")


@app.command("resume")
def resume(study_name: StudyName) -> None:
    """Let a study's paused jobs go on."""
    say(f"{open_store().resume_study(study_name)} jobs go on.")


@app.command("retry")
def retry(study_name: StudyName) -> None:
    """Queue a study's failed and cancelled jobs again; each goes on from its newest checkpoint."""
    say(f"{open_store().retry_study(study_name)} jobs are queued again.")


@app.command("priority")
def priority(
    study_name: StudyName, number: Annotated[int, typer.Argument(metavar="N", help="Higher goes first; 0 is usual.")]
) -> None:
    """Give all of a study's jobs that are not final another priority."""
    say(f"{open_store().set_study_priority(study_name, number)} jobs have priority {number}.")


@app.command("wait")
def wait(
    study_name: StudyName,
    timeout_s: Annotated[float | None, typer.Option("--timeout", min=0, help="Give up after so many seconds.")] = None,
) -> None:
    """Wait until every run of a study is final; exit status 1 if one failed or was cancelled, or on the timeout."""
    store = open_store()
    store.study(study_name)
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    told = ""
    while True:
        counts = store.counts(study_name)
        if (now := told_counts(counts)) != told:
            say(now)
            told = now
        if not any(counts[state] for state in (JobState.QUEUED, JobState.RUNNING, JobState.PAUSED)):
            break
        if deadline is not None and time.monotonic() > deadline:
            raise NoiseDashError(f"Study {study_name} was not finished within {timeout_s:g} s: {now}.")
        time.sleep(WAIT_S)
    if counts[JobState.FAILED] or counts[JobState.CANCELLED]:
        raise NoiseDashError(f"Study {study_name} ended with {told}: `noisedash queue list --study {study_name}`.")


def run(
    file: Annotated[Path, typer.Argument(metavar="SPEC.yaml", help="A study file of one run, or a whole RunSpec.")],
    as_json: AsJson = False,
) -> None:
    """Train and evaluate one run here, in the foreground; its results join the others."""
    from noisedash.jobs.trainer import run_here

    spec = load_run_file(file, data_of, initial_weights)
    dataset_name = open_datasets().by_hash(spec.data.content_hash).name
    records = run_here(spec, dataset_name, current_settings(), report=silent if as_json else tell)
    if as_json:
        say_json({"run_id": spec.id, "results": [vars(record) for record in records]})
        return
    say(f"Run {spec.id}")
    say_table(["score ≥", "mAP"], [(f"{record.score_threshold:g}", record.mean_ap) for record in records])


def silent(_progress: Progress) -> None:
    """Tells nothing."""


def tell(progress: Progress) -> None:
    """One line of a run's progress."""
    loss = "" if progress.loss is None else f"  loss {progress.loss:.4f}"
    speed = "" if progress.images_per_s is None else f"  {progress.images_per_s:.0f} images/s"
    eta = "" if progress.eta_s is None else f"  {progress.eta_s:.0f} s to go"
    say(f"{progress.phase} {progress.step}/{progress.steps}{loss}{speed}{eta}")


def study_of_recipe(
    chosen: Recipe, dataset: str | None, weights: str | None, settings: Sequence[str], seeds: str | None
) -> Study:
    """A recipe's study of a registered dataset. Raises SpecError where no dataset is named and none is its own."""
    dataset_name = dataset or chosen.dataset
    if dataset_name is None:
        raise SpecError(f"The recipe {chosen.name} needs a dataset: name one with --dataset.")
    content_hash, split = data_of(dataset_name)
    return build_study(
        chosen,
        dataset_name,
        content_hash,
        split,
        initial_weights(weights or chosen.weights),
        read_lines(settings),
        parsed_seeds(seeds),
    )


def data_of(name: str) -> tuple[str, SplitSpec]:
    """Content hash and default split of a dataset by name. Raises NotFoundError."""
    found = open_datasets().get(name)
    return found.content_hash, default_split(found)


def initial_weights(name: str | None) -> FromScratch | FromWeights | None:
    """Initial weights by their name. None leaves the choice to the recipe."""
    if name is None:
        return None
    if name == "scratch":
        return FromScratch()
    return FromWeights(sha256=open_weights().find(name).sha256)


def parsed_seeds(text: str | None) -> tuple[int, ...] | None:
    """'0,1,2' as numbers. Raises SpecError for anything else."""
    if text is None:
        return None
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise SpecError(f"--seeds {text}: write whole numbers with commas between, such as 0,1,2.")
    return tuple(int(part) for part in parts)


def refuse_with_file(**options: object) -> None:
    """Raises SpecError if an option is given that a study file decides."""
    given = [f"--{'set' if name == 'settings' else name}" for name, value in options.items() if value]
    if given:
        raise SpecError(f"{', '.join(given)} cannot go with a study file: write it into the file.")


def told_counts(counts: dict[JobState, int]) -> str:
    """'3 done, 2 running'."""
    return ", ".join(f"{count} {state.value}" for state, count in counts.items() if count)
