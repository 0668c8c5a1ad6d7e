"""`noisedash data`: register datasets, list and describe them."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from noisedash.cli.output import AsJson, say, say_json, say_table
from noisedash.cli.places import open_datasets
from noisedash.datasets.checks import Quartiles, Report

app = typer.Typer(no_args_is_help=True, help="Datasets: register, list, describe, forget.")

MAX_PROBLEMS_TOLD = 20


@app.command("add")
def add(
    path: Annotated[Path, typer.Argument(help="The dataset's folder, or its COCO JSON file.")],
    name: Annotated[str, typer.Option(help="What to call it.")],
    format_name: Annotated[
        str | None, typer.Option("--format", help="voc, voc-zero-based or coco; default: found out.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="The images' folder, where it is not beside them.")] = None,
    classes: Annotated[str | None, typer.Option(help="Keep only these classes, with commas between.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out images that cannot be used.")] = False,
    as_json: AsJson = False,
) -> None:
    """Register a dataset; its images stay where they are. Tells what it holds and what is wrong with it."""
    wanted = tuple(part.strip() for part in classes.split(",")) if classes else None
    report = open_datasets().add(path, name, format_name, images=images, classes=wanted, skip_bad=skip_bad)
    tell_report(report, as_json, MAX_PROBLEMS_TOLD)


@app.command("draw")
def draw(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    images: Annotated[int, typer.Option(min=1, help="How many images; a fifth of them are for testing.")] = 2213,
    seed: Annotated[int, typer.Option(min=0, help="Other seeds give other images; the built-in dataset has 0.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Draw indoor scenes like those of the built-in dataset, as many as you like, and register them."""
    tell_report(open_datasets().draw(name, images, seed), as_json, MAX_PROBLEMS_TOLD)


@app.command("list")
def list_datasets(as_json: AsJson = False) -> None:
    """List the datasets; a built-in one that was not drawn yet is drawn when it is first used."""
    registry = open_datasets()
    reports = {name: registry.report(name) for name in registry.present()}
    if as_json:
        say_json([{"name": name, "ready": name in reports} for name in registry.names()])
        return
    say_table(
        ["name", "images", "instances", "classes", "format", "source"],
        [
            (name, report.table.images, report.table.instances, report.table.classes, report.format, report.source)
            for name, report in reports.items()
        ],
    )
    for name in sorted(set(registry.names()) - set(reports)):
        say(f"{name}: built in, drawn on first use")


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A dataset's name.")],
    problems: Annotated[int, typer.Option(min=0, help="At most so many problems.")] = MAX_PROBLEMS_TOLD,
    as_json: AsJson = False,
) -> None:
    """Print Table 1 of the paper for a dataset, and what was wrong with it."""
    tell_report(open_datasets().report(name), as_json, problems)


@app.command("remove")
def remove(name: Annotated[str, typer.Argument(help="A dataset's name.")]) -> None:
    """Forget a dataset; what it was read from stays, and a drawn one's images are removed."""
    open_datasets().remove(name)
    say(f"Dataset {name} is forgotten.")


def tell_report(report: Report, as_json: bool, max_problems: int) -> None:
    """A dataset's Table 1 and problems."""
    if as_json:
        say_json(asdict(report))
        return
    table = report.table
    say(f"Dataset {report.name} ({report.format}), content {report.content_hash[:16]}")
    say(f"  images    {table.images}, of these {table.images_without_boxes} without boxes")
    say(f"  instances {table.instances}, of these {table.crowd} crowd and {table.difficult} difficult")
    say(f"  classes   {table.classes}")
    say(f"  splits    {told_splits(table.images_of_split)}\n")
    say_table(
        ["class", "instances", "images", "size px: min", "25 %", "median", "75 %", "max"],
        [
            *((row.name, row.instances, row.images, *told_sizes(row.size_px)) for row in table.per_class),
            ("all", table.instances, table.images, *told_sizes(table.size_px)),
        ],
    )
    total = sum(report.problem_count.values())
    told = ", ".join(f"{count} {severity.value}" for severity, count in report.problem_count.items())
    say(f"\nProblems found: {told or 'none'}")
    for problem in report.problems[:max_problems]:
        say(f"  {problem}")
    if total > max_problems:
        say(f"  … and {total - max_problems} more (`noisedash data show {report.name} --problems {total}`)")


def told_splits(images_of_split: dict[str, int]) -> str:
    """'train 292, val 72'."""
    return ", ".join(f"{name or 'without a split'} {count}" for name, count in images_of_split.items())


def told_sizes(size_px: Quartiles | None) -> list[int | None]:
    """Five sizes in whole pixels; None where there is no box."""
    if size_px is None:
        return [None] * 5
    return [round(value) for value in (size_px.minimum, size_px.lower, size_px.median, size_px.upper, size_px.maximum)]
