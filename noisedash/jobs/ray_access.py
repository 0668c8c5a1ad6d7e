"""Who may use a Ray cluster: its token, and whether a cluster that answers demands it. Imports no ray.

Ray runs whatever code it is given, and by itself it takes code from anyone who reaches its port. So NoiseDash starts no
cluster without a token, and gives no job to one that answers without. The token is a file of the home that its owner
alone may read, unless RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH name another.
"""

import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Mapping
from enum import Enum
from importlib.util import find_spec
from pathlib import Path

from noisedash.errors import ClusterError
from noisedash.settings import Settings

LOOPBACK = "127.0.0.1"
"""The address of a cluster of one machine: only there Ray listens to nobody outside."""
TOKEN = "ray-token"
TASK_NAME = "noisedash-run"
"""How Ray names our tasks, and the processes that they run in."""
PROBE_S = 30.0
CONNECT_S = 5.0
GCS_PATIENCE_S = 20
"""After so many seconds without the head, what Ray runs elsewhere ends itself (Ray's own default is 60)."""


class Answer(Enum):
    """How a cluster answers."""

    NONE = 0
    OPEN = 10
    """It lets anyone in."""
    REFUSED = 11
    """It demands a token, and not ours."""
    GUARDED = 12
    """It demands a token, and ours is right."""


def token_file(settings: Settings) -> Path:
    """Where the token lies, unless Ray's own variables say otherwise."""
    return Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or settings.home / TOKEN)


def make_token(settings: Settings) -> Path:
    """See to it that there is a token; its file. Raises ClusterError where it cannot be written."""
    path = token_file(settings)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
    except FileExistsError:
        return path
    except OSError as error:
        raise ClusterError(f"The cluster's token cannot be written to {path} ({error.strerror}).") from error
    return path


def ray_environment(settings: Settings, address: str, base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment for every process that has to do with the cluster at HOST:PORT.

    Raises ClusterError where there is no safe token.
    """
    environment = {**base, "RAY_AUTH_MODE": "token", **_QUIET, "NOISEDASH_HOME": str(settings.home)}
    if parse_address(address)[0] == LOOPBACK:
        environment["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # else Ray takes the machine's outer address instead
    if base.get("RAY_AUTH_TOKEN"):
        return environment
    path = token_file(settings)
    try:
        if not path.read_text().strip():
            raise ClusterError(f"The cluster's token {path} is empty: copy it from the machine of the cluster's head.")
        if path.stat().st_mode & 0o077 and "RAY_AUTH_TOKEN_PATH" not in base:
            raise ClusterError(f"The cluster's token {path} can be read by others: run `chmod 600 {path}`.")
    except OSError as error:
        raise ClusterError(
            f"There is no cluster token at {path} ({error.strerror}): `noisedash cluster start --head` makes one; "
            "copy it from there to every machine of the cluster."
        ) from error
    return {**environment, "RAY_AUTH_TOKEN_PATH": str(path)}


_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # trainers say themselves how nice they are
    "RAY_memory_monitor_refresh_ms": "0",  # it would kill supervisors for their trainers' memory
    "RAY_gcs_rpc_server_reconnect_timeout_s": str(GCS_PATIENCE_S),
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "10",  # a node that is ended lets its tasks give their jobs back
}


def require_ray() -> None:
    """Raises ClusterError where Ray is not installed."""
    if find_spec("ray") is None:
        raise ClusterError("Ray is not installed here: run `pip install 'noisedash[ray]'`.")


def ask(address: str, settings: Settings) -> Answer:
    """How the cluster at HOST:PORT answers, without the token and with it. Raises ClusterError for no such address."""
    host, port = parse_address(address)
    try:
        socket.create_connection((host, port), CONNECT_S).close()
    except OSError:
        return Answer.NONE
    environment = ray_environment(settings, address)
    stranger = {name: value for name, value in environment.items() if not name.startswith("RAY_AUTH_")}
    without = _probe(address, {**stranger, "RAY_AUTH_MODE": "disabled"})
    if without is not Answer.REFUSED:
        return Answer.OPEN if without is Answer.GUARDED else without
    return _probe(address, environment)


def parse_address(address: str) -> tuple[str, int]:
    """Host and port. Raises ClusterError.

    >>> parse_address("10.0.0.1:6379")
    ('10.0.0.1', 6379)
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ClusterError(f"{address!r} is no address of a Ray cluster: give HOST:PORT, as `cluster start` shows it.")
    return host, int(port)


def _probe(address: str, environment: Mapping[str, str]) -> Answer:
    command = [sys.executable, "-m", "noisedash.jobs.ray_probe", address]
    try:
        probe = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PROBE_S)
    except subprocess.TimeoutExpired:
        return Answer.NONE
    if probe.returncode not in {answer.value for answer in Answer}:
        last = (probe.stderr.strip().splitlines() or [f"exit code {probe.returncode}"])[-1]
        raise ClusterError(f"The cluster at {address} cannot be asked: {last}")
    return Answer(probe.returncode)
