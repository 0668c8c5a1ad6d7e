"""`noisedash cluster`: this machine as a node of a Ray cluster that demands a token."""

from typing import Annotated

import typer

from noisedash.cli.output import say
from noisedash.errors import NoiseDashError
from noisedash.settings import current_settings

app = typer.Typer(no_args_is_help=True, help="A Ray cluster: start this machine as its head or as a node of it.")


@app.command("start")
def start(
    head: Annotated[bool, typer.Option("--head", help="Be the head of a new cluster.")] = False,
    join: Annotated[str | None, typer.Option(metavar="HOST:PORT", help="Join the cluster of that head.")] = None,
    host: Annotated[
        str | None,
        typer.Option(help="This machine's address, for the others. Default of a head: 127.0.0.1, itself alone."),
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the head.")] = 6379,
    cpus: Annotated[int | None, typer.Option(min=0, help="CPUs for jobs; default: all.")] = None,
    gpus: Annotated[int | None, typer.Option(min=0, help="GPUs for jobs; default: all.")] = None,
) -> None:
    """Keep this machine in a cluster until Ctrl-C; what dies of Ray is started again. None enters without the token."""
    from noisedash.jobs.ray_node import NodeOptions, keep_node

    if head == (join is not None):
        raise NoiseDashError("Say either --head, or --join HOST:PORT with the address that the head shows.")
    keep_node(current_settings(), NodeOptions(join, host, port, cpus, gpus), say)


@app.command("token")
def token() -> None:
    """Say where the cluster's token lies; it is made where there is none. Copy it to every machine of the cluster."""
    from noisedash.jobs.ray_access import make_token

    say(str(make_token(current_settings())))
