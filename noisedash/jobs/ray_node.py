"""`noisedash cluster start`: Ray's processes on this machine, with the token, started again when they die."""

import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from noisedash.jobs.ray_access import (
    LOOPBACK,
    TASK_NAME,
    make_token,
    parse_address,
    ray_environment,
    require_ray,
    token_file,
)
from noisedash.jobs.ray_placer import wait_for_cluster
from noisedash.jobs.worker import stop_signals
from noisedash.settings import Settings

OBJECT_STORE_BYTES = 100_000_000
"""Ray's shared memory for objects: tasks pass a few words only."""
START_AGAIN_S = 3.0
STOP_WITHIN_S = 20.0
POLL_S = 0.2

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NodeOptions:
    """What `noisedash cluster start` was asked for."""

    join: str | None
    """HOST:PORT of the head; None: be the head."""
    host: str | None = None
    port: int = 6379
    cpus: int | None = None
    gpus: int | None = None


def keep_node(settings: Settings, options: NodeOptions, say: Callable[[str], None]) -> None:
    """Run Ray on this machine until SIGTERM or SIGINT comes. From the main thread only.

    A head makes the token where there is none; who joins must have it. Raises ClusterError where Ray or the token is
    missing, or the cluster to join is open or refuses the token.
    """
    require_ray()
    if options.join is None:
        make_token(settings)
    address = options.join or f"{options.host or LOOPBACK}:{options.port}"
    environment = ray_environment(settings, address)
    say(f"Ray at {address}; its token lies in {token_file(settings)} (Ctrl-C ends this node)")
    with stop_signals() as stopped, TemporaryDirectory(prefix="nd-ray-", ignore_cleanup_errors=True) as closed:
        folder = Path(closed) / "r"  # Ray opens its folder to all users: it lies in one that is closed to them
        while not stopped():
            if options.join is None or wait_for_cluster(settings, options.join, stopped):
                _run(start_command(options, folder), environment, stopped)
                _remove_sessions(folder)


def start_command(options: NodeOptions, folder: Path) -> list[str]:
    """The command line of `ray start`, in the foreground; its sockets and logs come into `folder`."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
    command += [f"--object-store-memory={OBJECT_STORE_BYTES}", f"--temp-dir={folder}"]
    if options.join is None:
        command += ["--head", f"--port={options.port}", "--include-dashboard=false", "--no-monitor"]
    else:
        parse_address(options.join)
        command += [f"--address={options.join}"]
    if options.host:
        command += [f"--node-ip-address={options.host}"]
    for flag, count in (("--num-cpus", options.cpus), ("--num-gpus", options.gpus)):
        command += [] if count is None else [f"{flag}={count}"]
    return command


def _remove_sessions(folder: Path) -> None:
    """Remove what a node that has ended left: each start makes new logs."""
    for path in folder.glob("session_*"):
        if not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)


def _run(command: list[str], environment: dict[str, str], stopped: Callable[[], bool]) -> None:
    """Run Ray's processes until they end or `stopped` says so."""
    node = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        while node.poll() is None and not stopped():
            time.sleep(POLL_S)
    finally:
        _end(node)
    deadline = time.monotonic() + START_AGAIN_S
    if not stopped():
        logger.warning("Ray has ended on this machine (exit code %s): starting it again.", node.returncode)
    while time.monotonic() < deadline and not stopped():
        time.sleep(POLL_S)


def _end(node: "subprocess.Popen[bytes]") -> None:
    """End the node: it takes nothing new, its tasks give their jobs back; then what is left of its process group."""
    tasks = _tasks(node.pid)
    node.send_signal(signal.SIGTERM)
    for task in tasks:
        with suppress(psutil.NoSuchProcess):
            task.send_signal(signal.SIGTERM)
    try:
        node.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        node.kill()
        node.wait()
    try:
        os.killpg(node.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _tasks(node_pid: int) -> list[psutil.Process]:
    """The processes below a node that look after a run; Ray names them after their tasks."""
    try:
        return [process for process in psutil.Process(node_pid).children(recursive=True) if _is_task(process)]
    except psutil.NoSuchProcess:
        return []


def _is_task(process: psutil.Process) -> bool:
    try:
        return "".join(process.cmdline()[:1]).startswith(f"ray::{TASK_NAME}")
    except psutil.Error:
        return False
