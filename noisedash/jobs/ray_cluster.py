"""The dispatcher's view of a real Ray cluster. Import it only in a process that may use Ray: see `ray_driver`."""

import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from noisedash.errors import ClusterError
from noisedash.jobs.ray_access import TASK_NAME
from noisedash.jobs.ray_dispatcher import Ending, Node, Outcome, Share
from noisedash.jobs.ray_task import Order, train_here

_NODE_LABEL = "ray.io/node-id"

logger = logging.getLogger(__name__)


class RayCluster:
    """A `Cluster` of the Ray that this process is connected to. `order` makes what a node is told of a run."""

    def __init__(self, order: Callable[[str, int], Order]):
        self._order = order
        self._refs: dict[Any, str] = {}

    def nodes(self) -> Sequence[Node]:
        """The nodes that live. Raises ClusterError."""
        with _cluster_errors():
            return [
                Node(
                    node["NodeID"],
                    node["NodeManagerHostname"],
                    node["NodeManagerAddress"],
                    node["Resources"].get("CPU", 0.0),
                    node["Resources"].get("GPU", 0.0),
                )
                for node in ray.nodes()
                if node["Alive"]
            ]

    def submit(self, run_id: str, share: Share, avoid: frozenset[str]) -> None:
        """Have Ray start a task; it is never started again by Ray itself. Raises ClusterError."""
        where = {"label_selector": {_NODE_LABEL: f"!in({','.join(sorted(avoid))})"}} if avoid else {}
        with _cluster_errors():
            task = ray.remote(_task).options(
                name=f"{TASK_NAME} {run_id}", num_cpus=share.cpus, num_gpus=share.gpus, max_retries=0, **where
            )
            self._refs[task.remote(self._order(run_id, max(1, math.floor(share.cpus))))] = run_id

    def ended(self) -> Sequence[tuple[str, Outcome]]:
        """The tasks that ended since the last call. Raises ClusterError."""
        if not self._refs:
            return []
        with _cluster_errors():
            ready, _ = ray.wait(list(self._refs), num_returns=len(self._refs), timeout=0)
            return [(self._refs.pop(ref), _outcome(ref)) for ref in ready]

    def end_tasks(self) -> None:
        """Interrupt the tasks: those that run give their jobs back, the others never start. Raises ClusterError."""
        with _cluster_errors():
            for ref in self._refs:
                ray.cancel(ref)


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Be a driver of the cluster at HOST:PORT, whose token is in the environment. Raises ClusterError."""
    with _cluster_errors():
        try:
            ray.init(address=address, namespace="noisedash", log_to_driver=False, logging_level=logging.ERROR)
        except (ValueError, RuntimeError, OSError) as error:
            raise ClusterError(f"Ray at {address} cannot be joined from here: {_in_a_line(error)}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _task(order: Order) -> Outcome:
    """Runs on a node, in the main thread of a worker process of Ray."""
    gpus = ray.get_gpu_ids()
    outcome = train_here(order, os.environ.get("CUDA_VISIBLE_DEVICES") if gpus else None)
    return replace(outcome, node_id=ray.get_runtime_context().get_node_id())


def _outcome(ref: Any) -> Outcome:
    """How the task ended; `ref` is ready."""
    try:
        outcome: Outcome = ray.get(ref)
    except RayTaskError as error:
        logger.error("A task failed, which is a fault of NoiseDash: %s", error)
        return Outcome(Ending.NOT_CLAIMED, reason=str(error.cause))
    except RayError as error:
        return Outcome(Ending.LOST, reason=_in_a_line(error))
    return outcome


def _in_a_line(error: Exception) -> str:
    """What an error of Ray's, which may say nothing or very much, says."""
    return ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])


@contextmanager
def _cluster_errors() -> Iterator[None]:
    try:
        yield
    except (RayError, ConnectionError) as error:
        raise ClusterError(f"The Ray cluster is gone: {_in_a_line(error)}") from error
