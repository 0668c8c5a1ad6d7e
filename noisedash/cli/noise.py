"""`noisedash noise`: damage a dataset's labels and write the noisy set."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from noisedash.cli.output import AsJson, say, say_json, say_table
from noisedash.cli.places import open_datasets
from noisedash.datasets.splits import default_split, split
from noisedash.errors import SpecError
from noisedash.frozen import parse
from noisedash.noise.export import box_counts, export, hit_records
from noisedash.noise.recipe import NoisyDataset, apply_recipe
from noisedash.noise.report import Hits, emptied_images, hits, relabellings
from noisedash.noise_spec import NOISE_KINDS, NoiseRecipe
from noisedash.studies.files import read_settings

app = typer.Typer(no_args_is_help=True, help="Damage labels by a recipe.")

_VALUE_OF = {"size": "exponent", "crowding": "exponent", "occlusion": "factor"}
_SHORT = "uniform, size:EXPONENT, crowding:EXPONENT, occlusion:FACTOR, class:NAME=WEIGHT,… or images"


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
    out: Annotated[Path, typer.Option(help="A new folder.")],
    missing: Annotated[float | None, typer.Option(help="Share of the labels that go missing, 0 to 1.")] = None,
    inaccurate: Annotated[float | None, typer.Option(help="Share of those left whose box is off.")] = None,
    wrong_class: Annotated[float | None, typer.Option(help="Share of those left that get another class.")] = None,
    extra: Annotated[float | None, typer.Option(help="Boxes added where nothing is, as a share of the labels.")] = None,
    weighting: Annotated[
        list[str] | None, typer.Option(help=f"Who is hit, [KIND:]HOW, for one kind or all; HOW is {_SHORT}.")
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="A YAML or JSON file with 'steps', or the recipe.json of a noisy set.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the noise.")] = 0,
    format_name: Annotated[Format, typer.Option("--format", help="How to write the annotations.")] = Format.VOC,
    images: Annotated[References, typer.Option(help="Put links to the pictures, or copies, beside them.")] = (
        References.NONE
    ),
    as_json: AsJson = False,
) -> None:
    """Write the training set with noisy labels, and the history of every box; say what was really hit."""
    rates = dict(zip(NOISE_KINDS, (missing, inaccurate, wrong_class, extra), strict=True))
    given = {kind: rate for kind, rate in rates.items() if rate is not None}
    wanted = _from_options(given, weighting or [], seed) if recipe is None else recipe_of_file(recipe)
    if recipe is not None and (given or weighting or seed):
        raise SpecError("Give either --recipe, or rates, --weighting and --seed: the file says all of them.")
    clean = open_datasets().get(dataset)
    noisy = apply_recipe(split(clean, default_split(clean)).train, wanted)
    export(noisy, format_name.value, out, images=images.value)
    if as_json:
        say_json({"dataset": dataset, **_summary(noisy), "folder": str(out)})
        return
    _tell(noisy, out)


def _from_options(rates: dict[str, float], weightings: list[str], seed: int) -> NoiseRecipe:
    if not rates:
        kinds = ", ".join(f"--{kind.replace('_', '-')}" for kind in NOISE_KINDS)
        raise SpecError(f"No noise is asked for: give one of {kinds}, or --recipe.")
    steps: dict[str, dict[str, Any]] = {
        kind: {"kind": kind, "rate": rate, "seed": seed} for kind, rate in rates.items()
    }
    for text in weightings:
        head, _, rest = text.partition(":")
        kind = head.replace("-", "_")
        if kind in NOISE_KINDS and kind not in steps:
            raise SpecError(f"--weighting {text} is of a kind that no rate is given for: add --{head}.")
        for step in [steps[kind]] if kind in steps else steps.values():
            step["weighting"] = _weighting(rest if kind in steps else text)
    return parse(NoiseRecipe, {"steps": list(steps.values())}, "noise apply")


def _weighting(text: str) -> dict[str, Any]:
    """A weighting from its short form, to be validated: 'size:-1', 'class:cup=3,hat=0', 'images'."""
    kind, _, value = text.partition(":")
    if kind == "class":
        pairs = [pair.rpartition("=") for pair in value.split(",")]
        return {"kind": kind, "weights": {name.strip(): weight for name, _, weight in pairs}}
    if value and kind not in _VALUE_OF:
        raise SpecError(f"--weighting {text} is not understood: write {_SHORT}.")
    return {"kind": kind, **({_VALUE_OF[kind]: value} if value else {})}


def recipe_of_file(path: Path) -> NoiseRecipe:
    """The recipe of a YAML or JSON file with 'steps', or of a noisy set's recipe.json. Raises SpecError."""
    content = read_settings(path)
    return parse(NoiseRecipe, content.get("recipe", content), str(path))


def _summary(noisy: NoisyDataset) -> dict[str, Any]:
    return {
        "recipe": noisy.recipe.model_dump(mode="json"),
        "noisy_training_set": noisy.content_hash,
        "boxes": box_counts(noisy),
        "emptied_images": emptied_images(noisy),
        "hits": hit_records(noisy),
        "relabellings": [{"from": own, "to": wrong, "boxes": count} for own, wrong, count in relabellings(noisy)],
    }


def _tell(noisy: NoisyDataset, out: Path) -> None:
    counts = box_counts(noisy)
    fates = ", ".join(f"{number} {fate}" for fate, number in counts.items() if fate not in ("clean", "noisy"))
    say(f"{counts['clean']} training boxes became {counts['noisy']} ({fates}): {out}")
    rows = hits(noisy)
    kinds = [step.kind for step in noisy.recipe.steps]
    cells: dict[tuple[str, str], list[object]] = {}
    for row in rows:
        line = cells.setdefault((row.group, row.name), ["all" if row.group == "all" else f"{row.group} {row.name}"])
        line += [_in_words(row), row.mean_iou] if row.kind == "inaccurate" else [_in_words(row)]
    headings = [["inaccurate", "mean IoU"] if kind == "inaccurate" else [kind.replace("_", " ")] for kind in kinds]
    say_table(["", *(heading for of_kind in headings for heading in of_kind)], cells.values())


def _in_words(row: Hits) -> str:
    return f"{row.hit} of {row.boxes}" + ("" if row.share is None else f", {row.share:.1%}")
