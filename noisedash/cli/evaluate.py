"""`noisedash evaluate`: one finished run in detail."""

import json
from typing import Annotated, Any

import pandas as pd
import typer

from noisedash.cli.output import AsJson, say, say_json, say_table
from noisedash.cli.places import open_store
from noisedash.evaluation.report import RULES, RunReport
from noisedash.jobs.predictions import report_on
from noisedash.settings import current_settings
from noisedash.spec import loss_label


def evaluate(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID", help="A finished run, as `queue show` tells its id.")],
    score: Annotated[
        float | None, typer.Option(min=0, max=1, help="Only detections from this score on; default: the run's lowest.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look at a finished run in detail: AP by every protocol, class and size, false alarms, errors by cause."""
    job = open_store().job_of_run(run_id)
    report = report_on(current_settings(), job, score)
    frames = _frames(report)
    low, high = report.draws.interval()
    if as_json:
        say_json(
            {
                "run_id": run_id,
                "dataset": job.spec.data.content_hash,
                "images": report.images,
                "detections": report.detections,
                "score": report.min_score,
                "match_iou": report.match_iou,
                "mean_ap": report.draws.mean,
                "over_images": _plain(pd.DataFrame([{"low": low, "high": high}]))[0],
                "by_rules": _plain(pd.DataFrame([report.by_rules]))[0],
                **{name: _plain(frame) for name, frame in frames.items()},
            }
        )
        return
    spec = job.spec
    say(f"Run {run_id}: {loss_label(spec.loss)}, {spec.noise.missing_rate:.0%} missing, seed {spec.training.seed}")
    say(f"{report.detections} detections that score {report.min_score:g} or more, on {report.images} clean images of")
    say(f"{job.dataset_name} (content {spec.data.content_hash[:12]}).\n")
    say(f"mAP@{report.match_iou:g} {report.draws.mean:.4f}, 95 % interval over test images {low:.4f} to {high:.4f}\n")
    say_table(["by the rules of", "mAP"], [(title, report.by_rules[name]) for name, title in RULES.items()])
    for name in ("classes", "false_positives", "causes"):
        say("")
        say_table([str(heading).replace("_", " ") for heading in frames[name]], frames[name].itertuples(index=False))


def _frames(report: RunReport) -> dict[str, pd.DataFrame]:
    """The report's tables by their names in JSON."""
    alarms = report.false_positives
    per_image = {"per_image": alarms.per_image, "recall": alarms.pooled, "from_score": alarms.pooled_score}
    return {
        "classes": report.by_class(),
        "false_positives": pd.DataFrame(per_image),
        "causes": pd.DataFrame([vars(fixed) for fixed in report.fixed]),
        "over_threshold": pd.DataFrame({"score": report.thresholds, "mean_ap": report.over_threshold}),
    }


def _plain(table: pd.DataFrame) -> Any:
    """A table for scripts; null where a number is not known."""
    return json.loads(table.to_json(orient="records"))
