"""`noisedash noise`: damage a dataset's labels and write the noisy set."""

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from noisedash.cli.output import AsJson, say, say_json, say_table
from noisedash.cli.places import open_datasets
from noisedash.datasets.splits import default_split, split
from noisedash.noise.export import export
from noisedash.noise.recipe import apply_recipe
from noisedash.spec import MissingNoise, NoiseRecipe, parse

app = typer.Typer(no_args_is_help=True, help="Damage labels by a recipe.")


class Format(StrEnum):
    """What annotations can be written as."""

    VOC = "voc"
    COCO = "coco"


class References(StrEnum):
    """How the written annotations refer to their pictures."""

    NONE = "none"
    LINK = "link"
    COPY = "copy"


@app.callback()
def callback() -> None:
    """Damage labels by a recipe."""


@app.command("apply")
def apply(
    dataset: Annotated[str, typer.Argument(help="A registered dataset.")],
    missing: Annotated[float, typer.Option(help="Share of the training labels that go missing, 0 to 1.")],
    out: Annotated[Path, typer.Option(help="A new folder.")],
    seed: Annotated[int, typer.Option(help="Seed of the noise.")] = 0,
    format_name: Annotated[Format, typer.Option("--format", help="How to write the annotations.")] = Format.VOC,
    images: Annotated[References, typer.Option(help="Put links to the pictures, or copies, beside them.")] = (
        References.NONE
    ),
    as_json: AsJson = False,
) -> None:
    """Write the training set with labels missing, and a list of the dropped boxes."""
    recipe = NoiseRecipe(steps=(parse(MissingNoise, {"rate": missing, "seed": seed}, "noise apply"),))
    clean = open_datasets().get(dataset)
    noisy = apply_recipe(split(clean, default_split(clean)).train, recipe)
    export(noisy, format_name.value, out, images=images.value)
    per_class = Counter(noisy.clean.classes[row] for row in noisy.dropped.class_id.tolist())
    summary = {
        "dataset": dataset,
        "boxes": len(noisy.clean.boxes),
        "kept": len(noisy.boxes),
        "dropped": len(noisy.dropped),
        "dropped_of_class": dict(sorted(per_class.items())),
        "folder": str(out),
    }
    if as_json:
        say_json(summary)
        return
    say(f"{len(noisy.boxes)} of {len(noisy.clean.boxes)} training boxes kept, {len(noisy.dropped)} dropped: {out}")
    say_table(["class", "dropped"], sorted(per_class.items()))
