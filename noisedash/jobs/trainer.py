"""The trainer: `python -m noisedash.jobs.trainer JOB TOKEN CHECKPOINT_S` trains a claimed job, its supervisor's child.

`run_here` does the same in the process that calls it, under a lease that a thread renews. Imports torch.
"""

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

import cv2
import torch

from noisedash.errors import NoiseDashError, QueueError, StaleTokenError, StorageError, StoreError
from noisedash.jobs.lease import LeaseWatch, end_this_process
from noisedash.jobs.patience import insist
from noisedash.jobs.processes import be_killed_first, die_with_supervisor
from noisedash.jobs.protocol import HEARTBEAT_S, TrainerExit
from noisedash.jobs.run import conduct
from noisedash.jobs.runfolder import run_folder
from noisedash.jobs.store import Store
from noisedash.records import JobState, MetricRecord, Progress, ResultRecord, Wanted
from noisedash.settings import Settings, current_settings
from noisedash.spec import RunSpec
from noisedash.training.loop import TrainingStoppedError

NICENESS = 5
"""Trainers leave the processor to the pages when those want it."""

_OUT_OF_GPU_MEMORY = ("CUDA error: out of memory", "cudaErrorMemoryAllocation", "_STATUS_ALLOC_FAILED")
_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "Cannot allocate memory", "Insufficient memory")

logger = logging.getLogger(__name__)


class StoreDesk:
    """Passes a run's reports on to the store under the claim's token.

    A progress report that the database does not take is left out; results are offered until it does. Losses and speed
    stay shown while the run does something else.
    """

    def __init__(self, store: Store, job_id: int, token: int, stop: threading.Event, tell: Callable[[Progress], None]):
        self._store, self._job_id, self._token, self._stop, self._tell = store, job_id, token, stop, tell
        self._last: Progress | None = None
        self._training = False

    def should_stop(self) -> bool:
        """Whether somebody wants the run to stop."""
        return self._stop.is_set()

    def report(self, progress: Progress, metric: MetricRecord | None = None) -> None:
        """Raises StaleTokenError."""
        if progress.phase == "training" and not self._training:
            self._training = True
            logger.info("Training goes from step %d to %d.", progress.step, progress.steps)
        if progress.images_per_s is not None:
            self._last = progress
        elif self._last is not None:
            progress = replace(self._last, phase=progress.phase, step=progress.step)
        self._tell(progress)
        try:
            self._store.report(self._job_id, self._token, progress, metric)
        except StoreError as error:
            logger.warning("A report was left out: %s", error)

    def checkpointed(self, step: int, path: Path) -> None:
        """Raises StaleTokenError: a trainer whose job is another's goes on no further."""
        try:
            self._store.checkpointed(self._job_id, self._token, step)
        except StoreError as error:
            logger.warning("The store does not know of the checkpoint %s: %s", path.name, error)

    def record(self, results: Sequence[ResultRecord]) -> None:
        """Raises StaleTokenError."""
        insist(lambda: self._store.record_results(self._job_id, self._token, results))

    def finish(self, results: Sequence[ResultRecord]) -> None:
        """Raises StaleTokenError."""
        insist(lambda: self._store.finish(self._job_id, self._token, results))

    def fail(self, reason: str) -> None:
        """Raises StaleTokenError."""
        insist(lambda: self._store.fail(self._job_id, self._token, reason))


def main(job_id: int, token: int, checkpoint_s: float) -> int:
    """Train the job that the token was given for; the exit code. Every end but a crash is said in the store."""
    die_with_supervisor()
    be_killed_first()
    os.nice(NICENESS)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    share_threads(os.environ)
    settings = current_settings()
    try:
        store = insist(lambda: Store(settings.database_url))
        job = insist(lambda: store.job(job_id))
    except StoreError as error:
        logger.error("%s", error)
        return TrainerExit.CUT_OFF
    LeaseWatch(lambda: store.lease_left_s(job_id, token)).guard(end_this_process)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    desk = StoreDesk(store, job_id, token, stop, lambda _progress: None)
    try:
        conduct(job.spec, settings, run_folder(settings, job.run_id), token, desk, checkpoint_s)
    except TrainingStoppedError:
        logger.info("Stopped as asked; the progress is kept.")
        return TrainerExit.STOPPED
    except (StaleTokenError, StoreError) as error:
        logger.error("%s", error)
        return TrainerExit.CUT_OFF
    except StorageError as error:
        logger.error("%s", error)
        return TrainerExit.NO_STORAGE
    except NoiseDashError as error:
        logger.error("%s", error)
        desk.fail(str(error))
        return 1
    except (MemoryError, RuntimeError, cv2.error) as error:
        if (code := out_of_memory(error)) is None:
            raise
        logger.exception("There was not enough memory.")
        return code
    return 0


def out_of_memory(error: Exception) -> TrainerExit | None:
    """Which memory ran out, by the words that torch, CUDA and OpenCV have for it; None where it was something else.

    >>> out_of_memory(RuntimeError("CUDA error: out of memory"))
    <TrainerExit.OUT_OF_GPU_MEMORY: 82>
    """
    text = str(error)
    if isinstance(error, torch.OutOfMemoryError) or any(words in text for words in _OUT_OF_GPU_MEMORY):
        return TrainerExit.OUT_OF_GPU_MEMORY
    if isinstance(error, MemoryError) or any(words in text for words in _OUT_OF_MEMORY):
        return TrainerExit.OUT_OF_MEMORY
    return None


def share_threads(environment: Mapping[str, str]) -> None:
    """Let torch and OpenCV use as many threads as the slot has (OMP_NUM_THREADS), where it says."""
    threads = environment.get("OMP_NUM_THREADS", "")
    if threads.isdecimal() and int(threads) > 0:
        torch.set_num_threads(int(threads))
        cv2.setNumThreads(int(threads))


def run_here(
    spec: RunSpec, dataset_name: str, settings: Settings, report: Callable[[Progress], None] = lambda _progress: None
) -> list[ResultRecord]:
    """Train and evaluate a run in this process, as a job that no worker takes meanwhile; its final results.

    A run that is done is not trained again. Ctrl-C, and a cancel from elsewhere, keep its progress: the same call goes
    on from there. Raises QueueError where the run is being trained or was interrupted, or the run's NoiseDashError.
    """
    store = Store(settings.database_url)
    claim = store.claim_run(spec, dataset_name, f"{socket.gethostname()}:{os.getpid()} (foreground)")
    if claim is None:
        job = store.job_of_run(spec.id)
        if job.state is JobState.DONE:
            return store.results([spec.id], final_only=True)
        raise QueueError(f"Run {spec.id} is being trained by {job.worker}: wait for it, or cancel job {job.id} first.")
    stop = threading.Event()
    desk = StoreDesk(store, claim.job_id, claim.token, stop, report)
    with _lease(store, claim.job_id, claim.token, stop), _first_interrupt(stop):
        try:
            return conduct(spec, settings, run_folder(settings, spec.id), claim.token, desk)
        except TrainingStoppedError:
            raise QueueError(f"Run {spec.id} was interrupted: start it again, and it goes on from here.") from None
        except (StaleTokenError, StoreError):
            raise
        except NoiseDashError as error:
            desk.fail(str(error))
            raise


@contextmanager
def _lease(store: Store, job_id: int, token: int, stop: threading.Event) -> Iterator[None]:
    """Renew the job's lease from a thread; at the end, a job that is neither done nor failed is cancelled."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(HEARTBEAT_S):
            try:
                if store.heartbeat(job_id, token) is not Wanted.RUN:
                    stop.set()
            except StaleTokenError:
                return
            except StoreError as error:
                logger.warning("No heartbeat: %s", error)

    thread = threading.Thread(target=beat, name="lease")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        job = store.job(job_id)
        if job.state is JobState.RUNNING and job.claims == token:
            if job.wanted is Wanted.RUN:
                store.request_cancel(job_id)
            store.give_back(job_id, token, "")


@contextmanager
def _first_interrupt(stop: threading.Event) -> Iterator[None]:
    """Turn the first Ctrl-C into a wish to stop; the second one interrupts as ever."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def wish(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, wish)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
