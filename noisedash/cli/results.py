"""`noisedash study results`: what a study's runs say together."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from noisedash.cli.output import AsJson, say, say_json, say_table
from noisedash.cli.places import open_store
from noisedash.errors import NoiseDashError
from noisedash.focal import SHARE
from noisedash.jobs.predictions import image_draws
from noisedash.jobs.probes import probe_frame
from noisedash.records import JobRecord, JobState, ResultRecord
from noisedash.settings import current_settings
from noisedash.spec import RunSpec
from noisedash.studies import robustness
from noisedash.studies.confounders import rank, settings_of
from noisedash.studies.robustness import Drop
from noisedash.studies.summary import MEAN, aggregate, summarise, to_csv
from noisedash.studies.wording import (
    basis_in_words,
    comparison_in_words,
    differences_in_words,
    mixture_in_words,
    tolerance_in_words,
)

_IMAGES_JOINED = "Intervals of mAP, drops and comparisons are for other test images too; the others for these alone."

_HEADINGS = {
    "loss": "loss",
    "settings": "settings",
    "missing_rate": "missing",
    "class_name": "class",
    "threshold": "score ≥",
}


def results(
    study_name: Annotated[str, typer.Argument(help="The study's name, as `study list` shows it.")],
    per_class: Annotated[bool, typer.Option(help="A row for each class too.")] = False,
    csv: Annotated[Path | None, typer.Option(help="Write every run's results to this CSV file.")] = None,
    step: Annotated[
        int | None, typer.Option(min=1, help="The results at that training step; default: at the end of each run.")
    ] = None,
    intervals: Annotated[
        bool, typer.Option("--intervals", help="mAP, and the drop since clean labels, with 95 % intervals.")
    ] = False,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="LOSS LOSS", help="Compare two losses run by run, such as CE 'FL γ=2'."),
    ] = None,
    tolerates: Annotated[
        float | None,
        typer.Option(metavar="POINTS", min=0.01, help="The share of missing labels that costs that much, per loss."),
    ] = None,
    risk: Annotated[
        float | None, typer.Option(metavar="POINTS", min=0, help="The probability that a training loses more.")
    ] = None,
    percent: Annotated[bool, typer.Option("--percent", help="Drops in per cent of the clean mAP, not points.")] = False,
    images: Annotated[
        bool,
        typer.Option("--images", help="With --intervals or --compare: for other test images too."),
    ] = False,
    confounders: Annotated[
        bool, typer.Option("--confounders", help="What moves the effect of gamma, for a study of that recipe.")
    ] = False,
    probe: Annotated[
        bool, typer.Option("--probe", help="Whether dropped boxes rest in the focal loss's don't-care region.")
    ] = False,
    share: Annotated[
        float, typer.Option(min=1, max=50, help="With --probe: the region is where less % of the strongest pull is.")
    ] = 100 * SHARE,
    as_json: AsJson = False,
) -> None:
    """Print mAP at each score threshold over losses and missing rates, with mean and spread over seeds.

    With --intervals, --compare, --tolerates, --risk, --confounders or --probe: those tables in its place, and what
    they stand on.
    """
    store = open_store()
    study = store.study(study_name)
    jobs = store.jobs(study_name)
    specs = {job.run_id: job.spec for job in jobs}
    measured = store.results(study.run_ids, final_only=step is None)
    if step is not None:
        if images or probe or confounders:
            raise NoiseDashError("--images, --probe and --confounders are of the end of training: leave --step out.")
        measured = _at(step, measured, study_name)
    rows = summarise(specs, measured)
    if csv is not None:
        write_csv(csv, to_csv(rows))
    chosen = rows if per_class else rows[rows["class_name"] == MEAN]
    if images:
        chosen = robustness.with_image_draws(chosen, _image_draws(jobs))
    tables = _tables(chosen, intervals, compare, tolerates, risk, "percent" if percent else "points")
    if confounders:
        tables["confounders"] = _ranked(study_name, specs, rows)
    if probe:
        tables["probe"] = robustness.resting(rows, probe_frame(current_settings(), jobs, share / 100))
    if as_json:
        say_json({name: _plain(table) for name, table in tables.items()} if tables else _plain(aggregate(chosen)))
        return
    if chosen.empty:
        states = ", ".join(f"{number} {state}" for state, number in store.counts(study_name).items() if number)
        say(f"No run of {study_name} has finished yet: {states}.")
        return
    say("\n".join([*filter(None, (study.title, study.note, differences_in_words(specs.values()))), ""]))
    if not tables:
        _tell(aggregate(chosen), {"mean": "mAP", "sd": "sd", "n": "seeds", "drop_mean": "drop (points)"})
        return
    _tell_tables(tables, "per cent" if percent else "points", tolerates)
    if images:
        say(_IMAGES_JOINED)
    made = robustness.basis(specs, chosen)
    mixture = "" if confounders else mixture_in_words(made)  # a ranking's rows are what differs
    say("\n".join(filter(None, (f"Of {basis_in_words(made)}.", mixture))))


def _at(step: int, results: Sequence[ResultRecord], study_name: str) -> list[ResultRecord]:
    """The results of that step. Raises NoiseDashError where there are none."""
    found = [result for result in results if result.step == step]
    if not found:
        steps = ", ".join(f"{known:,}" for known in sorted({result.step for result in results}))
        choice = f"choose one of the steps {steps}" if steps else "there are no results yet"
        raise NoiseDashError(f"No run of {study_name} was measured at step {step:,}: {choice}.")
    return found


def write_csv(path: Path, text: str) -> None:
    """Write a CSV file. Raises NoiseDashError with the system's reason."""
    try:
        path.write_text(text)
    except OSError as error:
        raise NoiseDashError(f"Cannot write {path}: {error.strerror}; choose another place with --csv.") from None


def _tables(
    rows: pd.DataFrame,
    intervals: bool,
    compare: tuple[str, str] | None,
    tolerates: float | None,
    risk: float | None,
    drop: Drop,
) -> dict[str, pd.DataFrame]:
    """The tables that were asked for, by their names in JSON."""
    tables: dict[str, pd.DataFrame] = {}
    if intervals:
        tables |= {"ap": robustness.ap_intervals(rows), "drop": robustness.drop_intervals(rows, drop)}
        tables["min_max"] = robustness.min_max(rows)
    if compare is not None:
        tables["comparison"] = robustness.compare_losses(rows, *compare, of="drop")
    if tolerates is not None:
        tables["tolerances"] = robustness.tolerances(rows, tolerates, drop)
    if risk is not None:
        tables["risks"] = robustness.risks(rows, risk, drop)
    return tables


def _image_draws(jobs: Sequence[JobRecord]) -> robustness.ImageDraws:
    """AP of the finished runs on resampled test images. Raises NoiseDashError where a run has no detections."""
    finished = [job for job in jobs if job.state is JobState.DONE]
    return {key: draws for job in finished for key, draws in image_draws(current_settings(), job).items()}


def _ranked(study_name: str, specs: Mapping[str, RunSpec], rows: pd.DataFrame) -> pd.DataFrame:
    """The settings by what of the effect of gamma they explain, at each threshold. Raises NoiseDashError."""
    settings = settings_of(specs)
    if not settings:
        raise NoiseDashError(f"{study_name} does not vary settings one at a time: --confounders is for that recipe.")
    thresholds = sorted(rows["threshold"].unique())
    ranked = [rank(rows, settings, threshold).assign(threshold=threshold) for threshold in thresholds]
    return pd.concat(ranked) if ranked else pd.DataFrame()


def _tell_tables(tables: Mapping[str, pd.DataFrame], unit: str, limit: float | None) -> None:
    """The tables for people, each under what it is."""
    spread = {"low": "from", "high": "to", "runs": "runs", "varies": "varies"}
    told = {
        "ap": ("mAP with its 95 % interval", {"value": "mAP", **spread}),
        "drop": (f"Drop since clean labels in {unit}, with its 95 % interval", {"value": unit, **spread}),
        "min_max": ("The paper's min-max form: each curve stretched to span 0 to 1", {"value": "stretched"}),
        "risks": ("Probability that one more training drops by more", {"probability": "probability", **spread}),
        "confounders": (
            "γ = 5 minus γ = 2 at 50 % missing in points of mAP, and what each setting explains; 95 % intervals",
            {
                "setting": "setting",
                **{"effect": "effect", "effect_low": "from", "effect_high": "to"},
                **{"explained": "explains", "low": "from ", "high": "to ", "share": "share", "runs": "runs"},
            },
        ),
    }
    for name, table in tables.items():
        if name == "probe":
            _tell_resting(table)
        elif name in told:
            title, columns = told[name]
            say(f"{title}:")
            _tell(table, columns)
        else:
            sentences = [_sentence(name, row, unit, limit) for _, row in table.iterrows()]
            say("\n".join(sentences) or "There are no noisy runs with a clean run of their seed: nothing to tell.")
        say("")


def _tell_resting(table: pd.DataFrame) -> None:
    """What becomes of the anchors of dropped boxes, a line for each loss and rate."""
    if table.empty:
        say("No finished run was probed that has dropped boxes: nothing could rest.")
        return
    say("Anchors of dropped boxes at the end of training, with 95 % intervals over runs:")
    keys = ["loss", *(["settings"] if table["settings"].any() else []), "missing_rate", "runs"]
    lines = []
    for key, own in table.groupby(["gamma", *keys], sort=True, dropna=False):
        by_measure = {str(row["measure"]): row for _, row in own.iterrows()}
        lines.append([*key[1:], *(_with_ends(by_measure[measure]) for measure in robustness.RESTING)])
    say_table([_HEADINGS.get(name, name) for name in keys] + list(robustness.RESTING.values()), lines)


def _with_ends(row: "pd.Series[Any]") -> str:
    """'0.452 (0.431 to 0.473)', without the ends where there is one run."""
    ends = f" ({row['low']:.3f} to {row['high']:.3f})" if row["low"] == row["low"] else ""
    return f"{row['value']:.3f}{ends}"


def _sentence(name: str, row: "pd.Series[Any]", unit: str, limit: float | None) -> str:
    where = ", ".join(filter(None, (f"score ≥ {row['threshold']:g}", row["class_name"], row["settings"])))
    if name == "comparison":
        return f"{where}: {comparison_in_words(row, 'drop')}"
    assert limit is not None, "there is a limit where there are tolerances"
    return f"{where}: {tolerance_in_words(row, limit, unit)}"


def _tell(table: pd.DataFrame, columns: Mapping[str, str]) -> None:
    """Some columns of a table under their headings; those that are empty throughout are left out."""
    told = {name: heading for name, heading in {**_HEADINGS, **columns}.items() if name in table}
    told = {name: heading for name, heading in told.items() if table[name].astype(str).str.len().any()}
    say_table(list(told.values()), table[list(told)].itertuples(index=False))


def _plain(table: pd.DataFrame) -> Any:
    """A table for scripts: null where a number is not known, "beyond" where it lies beyond what was measured."""
    told = table.astype(object).where(table != np.inf, "beyond")
    return json.loads(told.to_json(orient="records"))
