"""A run's traffic with the shared storage: checkpoints before and while it trains, results at its end."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from noisedash.errors import TransferError
from noisedash.jobs.patience import insist
from noisedash.jobs.runfolder import Attempt
from noisedash.jobs.storage import CHECKPOINTS, RunStorage
from noisedash.training.checkpoint import CheckpointFolder

FETCH_S = 60.0
"""How long a storage that does not answer is asked for checkpoints."""

logger = logging.getLogger(__name__)


def fetch_newer_checkpoint(storage: RunStorage | None, checkpoints: CheckpointFolder, run_id: str) -> None:
    """Bring the storage's newest whole checkpoint here, if it is newer than those here. Raises TransferError."""
    if storage is None:
        return
    here = checkpoints.latest(run_id)
    step = insist(lambda: storage.fetch_checkpoint(checkpoints.path, here.step if here else -1), FETCH_S)
    if step is not None:
        logger.info("The checkpoint of step %d comes from the storage.", step)


def share_results(storage: RunStorage | None, attempt: Attempt, claim: int) -> None:
    """Bring predictions, weights, probe and log of a finished attempt to the storage. Raises TransferError."""
    if storage is None:
        return
    for path in (attempt.predictions, attempt.weights, attempt.probe):
        insist(partial(storage.keep, path, claim))
    insist(partial(storage.keep_log, attempt.log, claim))


def clear_shared_checkpoints(storage: RunStorage | None) -> None:
    """Remove the run's checkpoints from the storage; one that fails keeps them."""
    try:
        if storage is not None:
            storage.clear_checkpoints()
    except TransferError as error:
        logger.warning("Checkpoints that are no longer needed stay: %s", error)


@contextmanager
def uploads(storage: RunStorage | None, attempt: Attempt, claim: int) -> Iterator[Callable[[Path], None]]:
    """Gives a function that takes a new checkpoint's file and returns at once; the last one is there at the end.

    A storage that fails is warned of, and the next checkpoint tried. Does nothing where there is no storage.
    """
    if storage is None:
        yield lambda _path: None
        return
    thread = _Uploads(storage, attempt, claim)
    thread.start()
    try:
        yield thread.hand_over
    finally:
        thread.finish()


class _Uploads(threading.Thread):
    def __init__(self, storage: RunStorage, attempt: Attempt, claim: int) -> None:
        super().__init__(name="uploads", daemon=True)
        self._storage, self._attempt, self._claim = storage, attempt, claim
        self._change = threading.Condition()
        self._next: Path | None = None
        self._ending = False

    def hand_over(self, path: Path) -> None:
        """Take a checkpoint; one that still waits is left out for it."""
        with self._change:
            self._next = path
            self._change.notify()

    def finish(self) -> None:
        """Wait for what was handed over."""
        with self._change:
            self._ending = True
            self._change.notify()
        self.join()

    def run(self) -> None:
        """Bring one checkpoint after the other there."""
        while (path := self._take()) is not None:
            self._bring(path)

    def _take(self) -> Path | None:
        with self._change:
            self._change.wait_for(lambda: self._next is not None or self._ending)
            path, self._next = self._next, None
            return path

    def _bring(self, path: Path) -> None:
        try:
            self._storage.keep(path, self._claim, CHECKPOINTS)
            self._storage.prune(self._claim)
            self._storage.keep_log(self._attempt.log, self._claim)
        except FileNotFoundError:
            logger.debug("%s has made room for a newer checkpoint, which comes next.", path.name)
        except TransferError as error:
            logger.warning("Checkpoint %s is on this machine only: %s", path.name, error)
