"""`noisedash up`: the web app and a worker in one terminal. `noisedash worker`: a worker alone, or a cluster's."""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from noisedash.cli.output import say
from noisedash.errors import NoiseDashError
from noisedash.settings import current_settings

END_WITHIN_S = 10.0

Slots = Annotated[int | None, typer.Option(min=1, help="Jobs at a time; default: one per GPU, else one per core.")]


class Placer(StrEnum):
    """Where a worker's jobs run."""

    LOCAL = "local"
    RAY = "ray"


def worker(
    slots: Slots = None,
    placer: Annotated[Placer, typer.Option(help="Where jobs run: here, or on a Ray cluster.")] = Placer.LOCAL,
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="With ray: the cluster's head; this machine is one of it.")
    ] = None,
    gpus_per_job: Annotated[
        float | None,
        typer.Option(min=0, help="With ray: GPUs a job takes, 0.5: two jobs share one; default: 1 if any."),
    ] = None,
    cpus_per_job: Annotated[float | None, typer.Option(min=0.1, help="With ray: CPUs a job takes; default: 1.")] = None,
) -> None:
    """Train what the queue holds until Ctrl-C; interrupted runs go back to the queue with their progress."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    if placer is Placer.RAY:
        work_on_ray(slots, address, gpus_per_job, cpus_per_job)
        return
    if (address, gpus_per_job, cpus_per_job) != (None, None, None):
        raise NoiseDashError("--address, --gpus-per-job and --cpus-per-job are for `--placer ray`: leave them out.")
    from noisedash.jobs.worker import run_worker

    run_worker(current_settings(), slots=slots)


def work_on_ray(slots: int | None, address: str | None, gpus_per_job: float | None, cpus_per_job: float | None) -> None:
    """Hand the queue's jobs to a Ray cluster until Ctrl-C. Raises NoiseDashError for options that do not fit."""
    from noisedash.jobs.ray_options import RayOptions
    from noisedash.jobs.ray_placer import run_ray_worker

    if address is None:
        raise NoiseDashError("`--placer ray` needs --address HOST:PORT, as `noisedash cluster start --head` shows it.")
    if slots is not None:
        raise NoiseDashError("--slots is for this machine: with `--placer ray` say --gpus-per-job or --cpus-per-job.")
    run_ray_worker(current_settings(), RayOptions(address, cpus_per_job or 1.0, gpus_per_job))


def up(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the web app.")] = 8501,
    slots: Slots = None,
) -> None:
    """Start the web app on 127.0.0.1 and a worker beside it; Ctrl-C ends both."""
    from noisedash.ui.server import serve_command

    refuse_taken_port(port)
    current_settings().home.mkdir(parents=True, exist_ok=True)
    worker_command = [sys.executable, "-m", "noisedash", "worker"]
    if slots is not None:
        worker_command += ["--slots", str(slots)]
    say(f"NoiseDash is on http://127.0.0.1:{port} (Ctrl-C ends it)")
    run_together([serve_command(port=port, address="127.0.0.1"), worker_command])


def refuse_taken_port(port: int) -> None:
    """Raises NoiseDashError if another program already listens on 127.0.0.1:port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise NoiseDashError(
                f"Port {port} on 127.0.0.1 is taken by another program: end it, or choose another with --port."
            ) from None


def run_together(commands: list[list[str]]) -> None:
    """Run commands beside each other, each in a process group of its own, until one ends or a signal comes.

    Then all are ended (SIGTERM, after `END_WITHIN_S` seconds SIGKILL), so that no process is left. Raises
    NoiseDashError if one ended by itself.
    """
    stop: list[int] = []
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, lambda number, _frame: stop.append(number))
    root = Path(__file__).resolve().parents[2]
    children = [
        subprocess.Popen(command, cwd=root, env=child_environment(), start_new_session=True) for command in commands
    ]
    try:
        while not stop and all(child.poll() is None for child in children):
            time.sleep(0.2)
        ended = [child for child in children if child.poll() is not None]
    finally:
        end_all(children)
    if ended and not stop:
        what = " ".join(map(str, ended[0].args[:4])) if isinstance(ended[0].args, list) else ""
        raise NoiseDashError(
            f"A part of NoiseDash ended by itself with exit status {ended[0].returncode} ({what} …): "
            "its last lines above say why; mend that and start again."
        )


def child_environment() -> dict[str, str]:
    """This environment with the home and database written out, since the children run in the program's folder."""
    settings = current_settings()
    return {
        **os.environ,
        "NOISEDASH_HOME": str(settings.home),
        "NOISEDASH_DB": settings.database_url,
        "NOISEDASH_STORAGE": settings.storage or "",
    }


def end_all(children: list["subprocess.Popen[bytes]"]) -> None:
    """End process groups: SIGTERM, and SIGKILL to what is left after `END_WITHIN_S`."""
    for child in children:
        signal_group(child, signal.SIGTERM)
    deadline = time.monotonic() + END_WITHIN_S
    for child in children:
        try:
            child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            signal_group(child, signal.SIGKILL)
            child.wait()


def signal_group(child: "subprocess.Popen[bytes]", signal_number: int) -> None:
    """Send a signal to a child's process group; a group that is gone is no error."""
    try:
        os.killpg(child.pid, signal_number)
    except ProcessLookupError:
        return
