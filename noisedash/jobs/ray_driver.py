"""`python -m noisedash.jobs.ray_driver OPTIONS`: the dispatcher's connection to Ray, a child of `ray_placer`.

A process of its own, since Ray's libraries end the process when the cluster's head is gone for too long. Its tasks end
with it; what they had claimed comes back when its lease runs out. Options are JSON; settings come by the environment.
"""

import logging
import socket
import sys
import time
from collections.abc import Callable
from contextlib import closing

from pydantic import TypeAdapter

from noisedash.errors import ClusterError, StoreError
from noisedash.jobs.processes import die_with_supervisor
from noisedash.jobs.ray_cluster import RayCluster, connected
from noisedash.jobs.ray_dispatcher import Dispatcher
from noisedash.jobs.ray_options import RayOptions
from noisedash.jobs.ray_task import Order
from noisedash.jobs.store import Store
from noisedash.jobs.worker import stop_signals
from noisedash.settings import Settings, current_settings

TICK_S = 0.2
STORE_AGAIN_S = 2.0
GONE = 69
"""Exit code where the cluster is gone: it may come back."""

logger = logging.getLogger(__name__)


def main(options: RayOptions) -> int:
    """Dispatch until SIGTERM or SIGINT comes, or the cluster is gone; the exit code."""
    die_with_supervisor()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    settings = current_settings()
    try:
        with connected(options.address), stop_signals() as stopped:
            return dispatch(settings, options, stopped)
    except ClusterError as error:
        logger.warning("%s", error)
        return GONE


def dispatch(settings: Settings, options: RayOptions, stopped: Callable[[], bool]) -> int:
    """Hand out jobs until `stopped` says so. Raises ClusterError where the cluster is gone."""
    cluster = RayCluster(lambda run_id, threads: order_of(settings, options, run_id, threads))
    with closing(open_store(settings, options, stopped)) as store:
        dispatcher = Dispatcher(store, cluster, options.cpus_per_job, options.gpus_per_job, address=options.address)
        logger.info("Dispatching to Ray at %s", options.address)
        try:
            while not stopped():
                dispatcher.tick()
                time.sleep(TICK_S)
        except ClusterError:
            dispatcher.forget()
            raise
        dispatcher.stop()
    return 0


def open_store(settings: Settings, options: RayOptions, stopped: Callable[[], bool]) -> Store:
    """The store, once its database answers. Raises StoreError where it does not and `stopped` says so."""
    while True:
        try:
            return Store(settings.database_url, lease_s=options.lease_s)
        except StoreError as error:
            if stopped():
                raise
            logger.warning("%s", error)
            time.sleep(STORE_AGAIN_S)


def order_of(settings: Settings, options: RayOptions, run_id: str, threads: int) -> Order:
    """What a node is told of a run."""
    return Order(
        run_id,
        str(settings.home),
        socket.gethostname(),
        settings.database_url,
        settings.storage,
        threads,
        lease_s=options.lease_s,
        trainer=options.trainer,
    )


if __name__ == "__main__":
    sys.exit(main(TypeAdapter(RayOptions).validate_json(sys.argv[1])))
