"""The commands' tree and its one way of telling errors."""

import sys

import typer

from noisedash.cli import (
    bench,
    claims,
    cluster,
    data,
    database,
    doctor,
    evaluate,
    noise,
    queue,
    results,
    services,
    study,
    weights,
)
from noisedash.errors import NoiseDashError

app = typer.Typer(
    name="noisedash",
    help="What imperfect labels do to an object detector, and what to do about it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("up")(services.up)
app.command("worker")(services.worker)
app.command("doctor")(doctor.doctor)
app.add_typer(data.app, name="data")
app.add_typer(noise.app, name="noise")
study.app.command("results")(results.results)
study.app.command("claims")(claims.claims)
app.add_typer(study.app, name="study")
app.command("run")(study.run)
app.command("evaluate")(evaluate.evaluate)
app.add_typer(queue.app, name="queue")
app.add_typer(cluster.app, name="cluster")
app.add_typer(database.app, name="db")
app.add_typer(weights.app, name="weights")
app.add_typer(bench.app, name="bench")


def main() -> None:
    """Run a command; what the person can mend is told in one sentence on standard error, with exit status 1."""
    try:
        app()
    except NoiseDashError as error:
        typer.secho(f"Error: {error}", err=True, fg=typer.colors.RED)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)
