"""`noisedash worker --placer ray`: keeps a dispatcher connected to a Ray cluster, whatever dies. Imports no ray."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from pydantic import TypeAdapter

from noisedash.errors import ClusterError
from noisedash.jobs.processes import SUPERVISOR_VARIABLE
from noisedash.jobs.ray_access import Answer, ask, parse_address, ray_environment, require_ray
from noisedash.jobs.ray_dispatcher import STOP_WITHIN_S
from noisedash.jobs.ray_options import RayOptions
from noisedash.jobs.worker import stop_signals
from noisedash.settings import Settings

LOOK_S = 2.0
"""How often a cluster that does not answer is asked again."""
POLL_S = 0.2

logger = logging.getLogger(__name__)


def run_ray_worker(settings: Settings, options: RayOptions) -> None:
    """Dispatch the queue's jobs to a Ray cluster until SIGTERM or SIGINT comes. From the main thread only.

    A cluster that is away is waited for. Raises ClusterError where it demands no token or another, or Ray is missing.
    """
    require_ray()
    parse_address(options.address)
    with stop_signals() as stopped:
        while not stopped():
            if wait_for_cluster(settings, options.address, stopped):
                run_driver(settings, options, stopped)


def wait_for_cluster(settings: Settings, address: str, stopped: Callable[[], bool]) -> bool:
    """Wait until the cluster answers; False where `stopped` said so first. Raises ClusterError where it is not safe."""
    said = False
    while not stopped():
        answer = ask(address, settings)
        if answer is Answer.GUARDED:
            return True
        if answer is Answer.OPEN:
            raise ClusterError(
                f"The Ray cluster at {address} runs anyone's code: it demands no token. Stop it, and start it with "
                "`noisedash cluster start --head`, or with RAY_AUTH_MODE=token."
            )
        if answer is Answer.REFUSED:
            raise ClusterError(
                f"The Ray cluster at {address} refuses our token: copy the token of its head's machine to this one "
                "(`noisedash cluster token` says where it lies)."
            )
        if not said:
            logger.warning("No Ray answers at %s: waiting for it.", address)
            said = True
        _wait(LOOK_S, stopped)
    return False


def run_driver(settings: Settings, options: RayOptions, stopped: Callable[[], bool]) -> None:
    """Run the process that is connected to Ray until it ends, the head is gone, or `stopped` says so."""
    environment = {
        **ray_environment(settings, options.address),
        "NOISEDASH_DB": settings.database_url,
        "NOISEDASH_STORAGE": settings.storage or "",
        SUPERVISOR_VARIABLE: str(os.getpid()),
    }
    driver = subprocess.Popen(
        [sys.executable, "-m", "noisedash.jobs.ray_driver", TypeAdapter(RayOptions).dump_json(options).decode()],
        env=environment,
        start_new_session=True,
    )
    try:
        while driver.poll() is None and not stopped():
            time.sleep(POLL_S)
    finally:
        _end(driver)
    if not stopped():
        logger.warning("The connection to Ray has ended (exit code %s): connecting again.", driver.returncode)
        _wait(LOOK_S, stopped)


def _end(driver: "subprocess.Popen[bytes]") -> None:
    driver.send_signal(signal.SIGTERM)
    try:
        driver.wait(STOP_WITHIN_S + 5.0)
    except subprocess.TimeoutExpired:
        driver.kill()
        driver.wait()


def _wait(seconds: float, stopped: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not stopped():
        time.sleep(POLL_S)
