"""The dispatcher: hands the queue's jobs to a cluster by priority, as many as it has room for. Imports no ray.

It decides nothing that counts: each task claims its job where it runs, and the claim is the only truth. A task too
many, one that Ray lost, or two dispatchers on one cluster do no harm: what cannot be claimed ends at once, and what the
store says is queued is handed out again.
"""

import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from noisedash.errors import ClusterError, StoreError
from noisedash.jobs.protocol import HEARTBEAT_S, WorkerKind
from noisedash.jobs.store import Store
from noisedash.records import JobRecord, JobState

CLAIM_S = 0.5
"""How often the queue is asked for work while there is room."""
AHEAD = 2
"""How many tasks may wait in Ray beyond what it has room for, so that no place stands idle between two jobs."""
LOOK_AHEAD = 50
"""How many queued jobs are looked at beyond that, where the first ones cannot be placed now."""
START_AGAIN_S = 10.0
"""How long a job is not handed out again after its task ended and the store says that it is queued still."""
AVOID_S = 300.0
"""How long a node gets no jobs of a dataset that it could not start one of."""
STOP_WITHIN_S = 12.0
"""How long the end of tasks is waited for; a trainer has a few seconds to write a checkpoint."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Node:
    """A machine of the cluster."""

    id: str
    host: str
    address: str
    cpus: float
    gpus: float

    @property
    def resources(self) -> str:
        """What it has, in words.

        >>> Node("1", "gpubox", "10.0.0.2", 16, 2).resources
        '16 CPUs, 2 GPUs'
        """
        parts = [_count(self.cpus, "CPU")] + ([_count(self.gpus, "GPU")] if self.gpus else [])
        return ", ".join(parts)

    def room(self, share: "Share") -> int:
        """How many jobs of that share it has room for at a time.

        >>> Node("1", "gpubox", "10.0.0.2", cpus=16, gpus=2).room(Share(cpus=1, gpus=0.5))
        4
        """
        bounds = [self.cpus / share.cpus] if share.cpus else []
        bounds += [self.gpus / share.gpus] if share.gpus else []
        return int(min(bounds) + 1e-6)


@dataclass(frozen=True)
class Share:
    """What a job takes of a node; a fraction of a GPU lets jobs share it."""

    cpus: float
    gpus: float


class Ending(StrEnum):
    """How a task ended."""

    TRAINED = "trained"
    """It held the job for a while; the store says what became of it."""
    NOT_CLAIMED = "not claimed"
    """Its job was cancelled, paused or another's by then."""
    UNFIT = "unfit"
    """The node could not train it, and another might."""
    LOST = "lost"
    """Ray lost it, with its worker process or node."""


@dataclass(frozen=True)
class Outcome:
    """How a task ended, on which node ('' where that is not known), and why in a sentence."""

    ending: Ending
    node_id: str = ""
    reason: str = ""


class Cluster(Protocol):
    """What runs tasks. Any call may raise ClusterError where the cluster is gone."""

    def nodes(self) -> Sequence[Node]:
        """The nodes that live."""

    def submit(self, run_id: str, share: Share, avoid: frozenset[str]) -> None:
        """Have some node claim and train the run's job, none of those to avoid (by id)."""

    def ended(self) -> Sequence[tuple[str, Outcome]]:
        """The run ids of tasks that have ended since the last call, and how."""

    def end_tasks(self) -> None:
        """Have all tasks give their jobs back; those that wait in Ray never start."""


class Dispatcher:
    """Keeps a cluster busy with the queue's jobs: call `tick` several times a second, and `stop` at the end."""

    def __init__(
        self,
        store: Store,
        cluster: Cluster,
        cpus_per_job: float = 1.0,
        gpus_per_job: float | None = None,
        *,
        address: str = "",
        name: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        heartbeat_s: float = HEARTBEAT_S,
    ):
        self.name = name or f"{socket.gethostname()}:{os.getpid()} (dispatcher)"
        self._store, self._cluster, self._address = store, cluster, address
        self._cpus_per_job, self._gpus_per_job = cpus_per_job, gpus_per_job
        self._clock, self._heartbeat_s = clock, heartbeat_s
        self._nodes: dict[str, Node] = {}
        self._tasks: dict[str, str] = {}
        self._not_before: dict[str, float] = {}
        self._unfit: dict[tuple[str, str], float] = {}
        self._next_round = self._next_look = clock()
        self._trouble = ""

    @property
    def share(self) -> Share:
        """What a job takes; where nobody said how much of the GPUs, one where the cluster has any."""
        if self._gpus_per_job is not None:
            return Share(self._cpus_per_job, self._gpus_per_job)
        return Share(self._cpus_per_job, 1.0 if any(node.gpus for node in self._nodes.values()) else 0.0)

    @property
    def room(self) -> int:
        """How many jobs the cluster has room for at a time."""
        return sum(node.room(self.share) for node in self._nodes.values())

    @property
    def outstanding(self) -> tuple[str, ...]:
        """The run ids of the tasks that wait or run in the cluster."""
        return tuple(self._tasks)

    def tick(self) -> None:
        """Take note of what ended, of the cluster's nodes, and hand out jobs. Raises ClusterError."""
        for run_id, outcome in self._cluster.ended():
            self._note_end(run_id, outcome)
        try:
            self._make_round()
            self._hand_out()
            self._trouble = ""
        except StoreError as error:
            self._say_once(str(error))
            self._next_look = self._clock() + CLAIM_S

    def stop(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Have the tasks end their trainers and give their jobs back; takes a few seconds."""
        deadline = self._clock() + STOP_WITHIN_S
        try:
            self._cluster.end_tasks()
            while self._tasks and self._clock() < deadline:
                for run_id, _ in self._cluster.ended():
                    self._tasks.pop(run_id, None)
                sleep(0.1)
        except ClusterError as error:
            self._say_once(str(error))
        self.forget()

    def forget(self) -> None:
        """Take the dispatcher and its nodes out of the store's list."""
        try:
            for name in (*map(node_name, self._nodes.values()), self.name):
                self._store.forget_worker(name)
        except StoreError as error:
            self._say_once(str(error))

    def _note_end(self, run_id: str, outcome: Outcome) -> None:
        content_hash = self._tasks.pop(run_id, "")
        node = self._nodes.get(outcome.node_id)
        where = node.host if node else "a node that is gone"
        if outcome.ending is Ending.TRAINED:
            logger.info("%s: run %s has ended", where, run_id)
        elif outcome.ending is Ending.LOST:
            logger.warning("The task of run %s was lost: %s", run_id, outcome.reason)
        elif outcome.ending is Ending.UNFIT:
            logger.warning("%s cannot train run %s: %s", where, run_id, outcome.reason)
            self._unfit[outcome.node_id, content_hash] = self._clock() + AVOID_S
        else:
            logger.info("%s: run %s was not to be had. %s", where, run_id, outcome.reason)
            self._not_before[run_id] = self._clock() + START_AGAIN_S
        self._next_look = self._clock()

    def _make_round(self) -> None:
        if self._clock() < self._next_round:
            return
        self._next_round = self._clock() + self._heartbeat_s
        living = {node.id: node for node in self._cluster.nodes()}
        gone = [node for node in self._nodes.values() if node.id not in living]
        self._nodes = living
        for node in gone:
            logger.warning("Node %s (%s) is gone", node.host, node.address)
            self._store.forget_worker(node_name(node))
        for node in living.values():
            name, slots = node_name(node), node.room(self.share)
            self._store.see_worker(name, node.host, 0, slots, WorkerKind.NODE, node.resources)
        about = f"Ray at {self._address}, {_count(len(living), 'node')}"
        self._store.see_worker(self.name, socket.gethostname(), os.getpid(), 0, WorkerKind.DISPATCHER, about)
        self._store.requeue_expired()

    def _hand_out(self) -> None:
        free = self.room + AHEAD - len(self._tasks)
        if self._clock() < self._next_look or not self._nodes or free <= 0:
            return
        self._next_look = self._clock() + CLAIM_S
        waiting = self._store.jobs(states=[JobState.QUEUED], limit=len(self._tasks) + free + LOOK_AHEAD)
        self._forget_delays()
        for job in waiting:
            if free <= 0:
                return
            if job.run_id in self._tasks or job.run_id in self._not_before:
                continue
            avoid = self._unfit_for(job)
            if avoid >= self._nodes.keys():
                continue
            self._cluster.submit(job.run_id, self.share, avoid)
            self._tasks[job.run_id] = job.spec.data.content_hash
            free -= 1

    def _unfit_for(self, job: JobRecord) -> frozenset[str]:
        return frozenset(node for node, content in self._unfit if content == job.spec.data.content_hash)

    def _forget_delays(self) -> None:
        now = self._clock()
        self._not_before = {run: until for run, until in self._not_before.items() if until > now}
        self._unfit = {key: until for key, until in self._unfit.items() if until > now}

    def _say_once(self, trouble: str) -> None:
        if trouble != self._trouble:
            logger.warning("%s", trouble)
            self._trouble = trouble


def node_name(node: Node) -> str:
    """What a node is called in the store's list of workers.

    >>> node_name(Node("0123456789abcdef", "gpubox", "10.0.0.2", 16, 2))
    'gpubox (ray node 01234567)'
    """
    return f"{node.host} (ray node {node.id[:8]})"


def _count(number: float, noun: str) -> str:
    return f"{number:g} {noun}" + ("" if number == 1 else "s")
