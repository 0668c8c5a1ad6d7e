"""The worker: keeps its slots busy with the queue's jobs. One thread, one loop, a process for each trainer."""

import fcntl
import logging
import os
import re
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from noisedash.errors import QueueError, StoreError
from noisedash.jobs.processes import kill_strays
from noisedash.jobs.protocol import HEARTBEAT_S, Claim
from noisedash.jobs.slots import Slot, describe, slots_of_machine
from noisedash.jobs.store import Store
from noisedash.jobs.supervisor import POLL_S, Command, Supervision, trainer_command
from noisedash.settings import Settings

CLAIM_S = 0.5
"""How often a free slot asks for work where there was none."""
START_AGAIN_S = 30.0
"""How long nothing is started after the system could not start a trainer, or one could not write its files."""
BUSY_TIMEOUT_S = 5.0
"""How long a write waits for a locked database: the worker has one thread, and other trainers to look after."""
STOP_WITHIN_S = 8.0
INTERRUPTED = "It was interrupted: the worker stopped."

logger = logging.getLogger(__name__)


class Worker:
    """Claims jobs for its slots and looks after their trainers: call `tick` several times a second."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        slots: Sequence[Slot],
        *,
        name: str | None = None,
        command: Command = trainer_command,
        clock: Callable[[], float] = time.monotonic,
        heartbeat_s: float = HEARTBEAT_S,
    ):
        self.name = name or f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self._store, self._settings, self._command = store, settings, command
        self._clock, self._heartbeat_s = clock, heartbeat_s
        self._slots = tuple(slots)
        self._running: dict[Slot, Supervision] = {}
        self._next_claim = self._next_round = self._next_reaping = clock()
        self._trouble = ""

    @property
    def running(self) -> list[Claim]:
        """The claims whose trainers run now."""
        return [supervision.claim for supervision in self._running.values()]

    def tick(self) -> None:
        """Look after every trainer once, and fill the free slots."""
        self._look_after()
        try:
            self._sign_of_life()
            self._fill_slots()
            self._trouble = ""
        except StoreError as error:
            self._say_once(str(error))
            self._next_claim = max(self._next_claim, self._clock() + CLAIM_S)
            self._next_reaping = self._clock() + 2 * self._heartbeat_s

    def stop(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """End all trainers and give their jobs back with their progress, no attempt spent; takes a few seconds.

        A job that cannot be given back (database locked, disk full) is requeued when its lease runs out.
        """
        deadline = self._clock() + STOP_WITHIN_S
        for supervision in self._running.values():
            supervision.end(INTERRUPTED)
        self._look_after()
        while self._running and self._clock() < deadline:
            sleep(POLL_S)
            self._look_after()
        try:
            self._store.forget_worker(self.name)
        except StoreError as error:
            self._say_once(str(error))

    def _look_after(self) -> None:
        for slot, supervision in list(self._running.items()):
            if not supervision.poll():
                continue
            del self._running[slot]
            logger.info("%s: run %s has ended", slot.name, supervision.claim.run_id)
            if supervision.lacked_storage:
                self._hold_back(f"The files of run {supervision.claim.run_id} could not be written")
            elif self._next_claim < self._clock() + CLAIM_S:
                self._next_claim = self._clock()

    def _sign_of_life(self) -> None:
        if self._clock() < self._next_round:
            return
        self._next_round = self._clock() + self._heartbeat_s
        resources = describe(self._slots)
        self._store.see_worker(self.name, socket.gethostname(), os.getpid(), len(self._slots), resources=resources)
        if self._clock() >= self._next_reaping:  # after an outage, holders get the time to renew their leases first
            self._store.requeue_expired()

    def _fill_slots(self) -> None:
        if self._clock() < self._next_claim:
            return
        for slot in self._slots:
            if slot in self._running:
                continue
            claim = self._store.claim(self.name, place=f"{socket.gethostname()}: {slot.name}")
            if claim is None:
                self._next_claim = self._clock() + CLAIM_S
                return
            if not self._start(slot, claim):
                return

    def _start(self, slot: Slot, claim: Claim) -> bool:
        try:
            self._running[slot] = Supervision.start(
                self._store,
                claim,
                self._settings,
                slot,
                command=self._command,
                clock=self._clock,
                heartbeat_s=self._heartbeat_s,
            )
        except OSError as error:
            self._hold_back(f"No trainer can be started: {error}")
            self._store.give_back(claim.job_id, claim.token, f"Its trainer could not be started: {error}.")
            return False
        logger.info("%s: run %s starts, attempt %d of %d", slot.name, claim.run_id, claim.attempt, claim.max_attempts)
        return True

    def _hold_back(self, trouble: str) -> None:
        self._next_claim = self._clock() + START_AGAIN_S
        logger.warning("%s; nothing is started for %.0f s.", trouble, START_AGAIN_S)

    def _say_once(self, trouble: str) -> None:
        if trouble != self._trouble:
            logger.warning(trouble)
            self._trouble = trouble


def run_worker(
    settings: Settings,
    slots: int | None = None,
    *,
    store: Store | None = None,
    command: Command = trainer_command,
    heartbeat_s: float = HEARTBEAT_S,
) -> None:
    """Train what the queue holds until SIGTERM or SIGINT comes, then give back what runs. From the main thread only.

    `slots`: how many trainers at a time (None: one for each GPU, else one for each core). Raises QueueError where a
    worker runs on this machine and home already, StoreError where the database cannot be opened.
    """
    places = slots_of_machine(slots)
    with only_worker(settings.home), stop_signals() as stopped:
        if strays := kill_strays(settings.home):
            logger.warning("Ended %d processes that a worker left behind when it was killed.", strays)
        opened = store or Store(settings.database_url, busy_timeout_s=BUSY_TIMEOUT_S)
        worker = Worker(opened, settings, places, command=command, heartbeat_s=heartbeat_s)
        logger.info("Worker %s with %d slots: %s", worker.name, len(places), ", ".join(slot.name for slot in places))
        try:
            while not stopped():
                worker.tick()
                time.sleep(POLL_S)
        finally:
            worker.stop()


def lock_of(home: Path) -> Path:
    """The lock file of this machine's worker in a home."""
    return home / f"worker-{re.sub(r'[^A-Za-z0-9.-]', '_', socket.gethostname())}.lock"


@contextmanager
def only_worker(home: Path) -> Iterator[None]:
    """Hold this machine's worker lock in the home; the kernel lets go of it however the process ends.

    Machines that share a home have a lock each: what locks on a shared file system hold between machines differs.
    Raises QueueError if it is held.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        file = lock_of(home).open("a+")
    except OSError as error:
        raise StoreError(f"The worker's lock cannot be made in {home}: {error.strerror}.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise QueueError(
                f"A worker (process {holder}) runs on this machine for {home} already: end it first."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """Turn SIGTERM, SIGINT and SIGHUP into a question that a loop asks. From the main thread only."""
    received: list[int] = []

    def remember(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    before = {number: signal.signal(number, remember) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            if handler is not None:  # one that was not set from Python cannot be put back
                signal.signal(number, handler)
