"""`noisedash weights`: import a network, keep a run's, list what is at hand."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from noisedash.cli.output import AsJson, say, say_json, say_table
from noisedash.cli.places import open_store, open_weights
from noisedash.errors import NotFoundError
from noisedash.jobs.storage import finished_attempt
from noisedash.records import JobState
from noisedash.settings import current_settings
from noisedash.spec import detector_label
from noisedash.weights import WeightsRecord

app = typer.Typer(no_args_is_help=True, help="Initial weights: import, keep, list.")


@app.command("list")
def list_weights(as_json: AsJson = False) -> None:
    """List the weights at hand."""
    registry = open_weights()
    records = registry.list()
    if as_json:
        say_json([weights_fields(record) for record in records])
        return
    for problem in registry.problems():
        typer.echo(f"Warning: {problem}", err=True)
    say_table(
        ["name", "network", "input", "classes", "SHA-256", "source"],
        [
            (
                record.name,
                detector_label(record.detector),
                f"{record.detector.input_side} px",
                len(record.classes),
                record.sha256[:12],
                record.source,
            )
            for record in records
        ],
    )


@app.command("import")
def import_weights(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A .tflite file of SSD MobileNetV1, or torchvision's weights: torchvision:NETWORK/coco or /imagenet.",
        ),
    ],
    labelmap: Annotated[
        Path | None, typer.Option(help="The network's label map; default: labelmap.txt beside the file.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What to call the weights; default: coco, or the network's and data's names.")
    ] = None,
    licence: Annotated[str, typer.Option(help="The weights' licence, kept with them.")] = "",
    as_json: AsJson = False,
) -> None:
    """Import a pretrained network as initial weights."""
    from noisedash.detector.tflite_import import import_tflite
    from noisedash.detector.torchvision_import import PREFIX, import_torchvision

    with tempfile.TemporaryDirectory() as folder:
        imported = Path(folder) / "weights.safetensors"
        if source.startswith(PREFIX):
            import_torchvision(source, imported, licence)
            default_name = source.removeprefix(PREFIX).replace("/", "-")
        else:
            file = Path(source)
            import_tflite(file, labelmap or file.with_name("labelmap.txt"), imported, licence)
            default_name = "coco"
        record = open_weights().add(imported, name or default_name)
    tell(record, as_json)


@app.command("keep")
def keep_run(
    run_id: Annotated[str, typer.Argument(help="A finished run, by its id.")],
    name: Annotated[str, typer.Option(help="What to call the weights.")],
    as_json: AsJson = False,
) -> None:
    """Keep a finished run's weights as initial weights for others."""
    job = open_store().job_of_run(run_id)
    kept = finished_attempt(current_settings(), job).weights
    if job.state is not JobState.DONE or not kept.is_file():
        raise NotFoundError(f"Run {run_id} has no weights to keep: it is {job.state.value}, and they come at its end.")
    record = open_weights().add(kept, name)
    tell(record, as_json)


def tell(record: WeightsRecord, as_json: bool) -> None:
    """Say which weights were added."""
    if as_json:
        say_json(weights_fields(record))
        return
    say(
        f"Weights {record.name}: {detector_label(record.detector)}, "
        f"{len(record.classes)} classes, SHA-256 {record.sha256}."
    )


def weights_fields(record: WeightsRecord) -> dict[str, object]:
    """Weights for scripts."""
    return {
        "name": record.name,
        "sha256": record.sha256,
        "detector": record.detector.model_dump(mode="json"),
        "classes": list(record.classes),
        "source": record.source,
        "licence": record.licence,
    }
