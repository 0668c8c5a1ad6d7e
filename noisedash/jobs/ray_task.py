"""What a Ray task does on its node: claim one job, and look after its trainer as a worker does. Imports no ray."""

import os
import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from noisedash import __version__
from noisedash.datasets.registry import DatasetRegistry
from noisedash.errors import NoiseDashError, StoreError
from noisedash.jobs.protocol import LEASE_S, Claim
from noisedash.jobs.ray_dispatcher import Ending, Outcome
from noisedash.jobs.slots import Slot
from noisedash.jobs.storage import keep_log
from noisedash.jobs.store import Store
from noisedash.jobs.supervisor import Command, supervise, trainer_command
from noisedash.jobs.worker import stop_signals
from noisedash.records import JobState
from noisedash.settings import Settings, current_settings
from noisedash.spec import FromWeights, RunSpec
from noisedash.weights import WeightsRegistry


@dataclass(frozen=True)
class Order:
    """What a dispatcher tells a node: which run, where the truth is. The node's own NOISEDASH_HOME holds its files."""

    run_id: str
    home: str
    """Where the node has no NOISEDASH_HOME of its own."""
    host: str
    """Of the dispatcher."""
    database_url: str
    storage: str | None
    threads: int
    version: str = __version__
    lease_s: float = LEASE_S
    trainer: tuple[str, ...] = ()
    """Another trainer's command line, with {job} and {token} in it; () for NoiseDash's own."""


def train_here(order: Order, gpu: str | None) -> Outcome:
    """Claim the run's job on this node and train it to its end. Call it from the main thread.

    `gpu` is what CUDA_VISIBLE_DEVICES shall be. SIGTERM and SIGINT have the job given back.
    """
    settings = settings_of_node(order)
    if refusal := _refusal(order):
        return _unfit(refusal)
    try:
        with closing(Store(settings.database_url, lease_s=order.lease_s)) as store, stop_signals() as stopped:
            job = store.job_of_run(order.run_id)
            if job.state is not JobState.QUEUED:
                return Outcome(Ending.NOT_CLAIMED)
            lacking = "" if order.trainer else what_is_missing(job.spec, settings)
            slot = Slot(f"gpu {gpu}" if gpu is not None else "cpu", gpu, order.threads)
            claim = store.claim(worker_name(), order.run_id, f"{socket.gethostname()}: {slot.name} (ray)")
            if claim is None:
                return Outcome(Ending.NOT_CLAIMED)
            if lacking:
                store.give_back(claim.job_id, claim.token, lacking)
                return _unfit(lacking)
            return _train(store, claim, settings, slot, order, stopped)
    except StoreError as error:
        return Outcome(Ending.NOT_CLAIMED, reason=str(error))


def settings_of_node(order: Order) -> Settings:
    """The node's own home with the dispatcher's database and storage: there is one truth."""
    home = current_settings().home if os.environ.get("NOISEDASH_HOME") else Path(order.home)
    return Settings(home, order.database_url, order.storage)


def _refusal(order: Order) -> str:
    """Why nothing of that dispatcher can be trained here; '' where it can."""
    host = socket.gethostname()
    if order.version != __version__:
        return f"{host} has NoiseDash {__version__}, the dispatcher {order.version}: install the same on both."
    if order.database_url.startswith("sqlite") and order.host != host:
        return f"The queue is a SQLite file on {order.host}, out of reach of {host}: set NOISEDASH_DB to PostgreSQL."
    return ""


def what_is_missing(spec: RunSpec, settings: Settings) -> str:
    """Why this machine cannot train a run that another may train; '' where it can."""
    advice = "Give all machines one NOISEDASH_HOME, or add it on that machine too."
    try:
        DatasetRegistry(settings).by_hash(spec.data.content_hash)
        if isinstance(spec.initial, FromWeights):
            WeightsRegistry(settings).find(spec.initial.sha256)
    except NoiseDashError as error:
        return f"Machine {socket.gethostname()} could not train it: {error} {advice}"
    return ""


def worker_name() -> str:
    """What this process is called where a job says who has it."""
    return f"{socket.gethostname()}:{os.getpid()} (ray)"


def _train(
    store: Store, claim: Claim, settings: Settings, slot: Slot, order: Order, stopped: Callable[[], bool]
) -> Outcome:
    try:
        written = supervise(store, claim, settings, slot, command=_command(order), should_stop=stopped)
    except OSError as error:
        return _unfit(f"No trainer can be started on {socket.gethostname()}: {error}.")
    finally:
        keep_log(settings, claim.run_id, claim.token)
    return Outcome(Ending.TRAINED) if written else _unfit(f"Its files cannot be written on {socket.gethostname()}.")


def _command(order: Order) -> Command:
    if not order.trainer:
        return trainer_command
    return lambda claim: [part.format(job=claim.job_id, token=claim.token) for part in order.trainer]


def _unfit(reason: str) -> Outcome:
    return Outcome(Ending.UNFIT, reason=reason)
