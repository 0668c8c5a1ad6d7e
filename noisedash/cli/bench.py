"""`noisedash bench`: ours against a peer or a limit, as JSON lines, in one run."""

import json
from typing import Annotated

import typer

from noisedash.cli.output import say

app = typer.Typer(no_args_is_help=True, help="Benchmarks: JSON lines of ours, peer or limit, and their ratio.")


@app.command("train")
def train(
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch.")] = 2,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds; medians are printed.")] = 5,
) -> None:
    """Training steps: ours, torchvision's SSD class, and the bare forward and backward pass."""
    from noisedash.training.bench import bench_train

    for row in bench_train(threads=threads, repeats=repeats):
        say(json.dumps(row))


@app.command("eval")
def evaluate(
    images: Annotated[int, typer.Option(min=1, help="Images of the synthetic task.")] = 1000,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds; medians are printed.")] = 3,
) -> None:
    """Average precision: ours against pycocotools, and the largest difference."""
    from noisedash.evaluation.bench import bench_eval

    for row in bench_eval(images=images, repeats=repeats):
        say(json.dumps(row))
