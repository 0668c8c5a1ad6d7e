"""`noisedash bench`: ours against a peer or a limit, as JSON lines, in one run."""

import json
from typing import Annotated

import typer

from noisedash.cli.output import say
from noisedash.errors import NoiseDashError

app = typer.Typer(no_args_is_help=True, help="Benchmarks: JSON lines of ours, peer or limit, and their ratio.")


@app.command("train")
def train(
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch.")] = 2,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds; medians are printed.")] = 5,
    gpu: Annotated[bool, typer.Option("--gpu", help="On the first GPU instead of the processor.")] = False,
) -> None:
    """Training steps: ours, torchvision's SSD class, and the bare forward and backward pass."""
    import torch

    from noisedash.training.bench import bench_train

    if gpu and not torch.cuda.is_available():
        raise NoiseDashError("--gpu: torch sees no GPU here; `noisedash doctor` says why.")
    for row in bench_train(threads=threads, repeats=repeats, device=torch.device("cuda:0" if gpu else "cpu")):
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


@app.command("noise")
def noise(
    boxes: Annotated[int, typer.Option(min=100, help="Boxes of the synthetic training set.")] = 1_000_000,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds; medians are printed.")] = 3,
) -> None:
    """Every kind of noise on a large training set, beside the sorting of its keys."""
    from noisedash.noise.bench import bench_noise

    for row in bench_noise(boxes, repeats):
        say(json.dumps(row))


Database = Annotated[
    str | None, typer.Option("--db", help="An SQLAlchemy URL; a database of its own is made there, then removed.")
]


@app.command("queue")
def queue(
    db: Database = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that claim.")] = 4,
    jobs: Annotated[int, typer.Option(min=10, help="Jobs, which are nothing.")] = 10_000,
) -> None:
    """The queue: claims, heartbeats and reports a second, beside bare commits on the same database."""
    from noisedash.jobs.bench import bench_queue

    for row in bench_queue(db, workers, jobs):
        say(json.dumps(row))


@app.command("cluster")
def cluster(
    db: Database = None,
    workers: Annotated[int, typer.Option(min=1, help="Simulated workers.")] = 1_000,
    jobs: Annotated[int, typer.Option(min=1, help="Simulated jobs.")] = 100_000,
) -> None:
    """A simulated cluster on a real database, and the load that a real one would be."""
    from noisedash.jobs.bench_cluster import bench_cluster

    for row in bench_cluster(db, workers, jobs):
        say(json.dumps(row))
