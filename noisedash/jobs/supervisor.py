"""One job's trainer from start to end: a process group that is started, kept alive in the queue's eyes, and judged."""

import logging
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Self

from noisedash.errors import StaleTokenError, StoreError
from noisedash.jobs.processes import ProcessGroup, describe_exit, kills_for_memory
from noisedash.jobs.protocol import CHECKPOINT_S, HEARTBEAT_S, Claim, TrainerExit
from noisedash.jobs.runfolder import run_folder, tail
from noisedash.jobs.slots import Slot
from noisedash.jobs.store import Store
from noisedash.records import Wanted
from noisedash.settings import Settings

LOOK_S = 0.5
"""How often it is asked what is wanted of the job; a wish is granted within this, the grace, and a moment."""
GRACE_S = 3.0
"""Seconds from SIGTERM to SIGKILL: what a trainer has to end its step and write a checkpoint."""
SWEEP_S = 10.0
"""How long the end of processes that were killed is waited for; one in uninterruptible sleep may never end."""
POLL_S = 0.1

_TIME = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ")

Command = Callable[[Claim], Sequence[str]]

logger = logging.getLogger(__name__)


def trainer_command(claim: Claim, checkpoint_s: float = CHECKPOINT_S) -> list[str]:
    """The command line of the trainer of a claim; it writes a checkpoint each `checkpoint_s` seconds."""
    return [sys.executable, "-m", "noisedash.jobs.trainer", str(claim.job_id), str(claim.token), str(checkpoint_s)]


class Supervision:
    """Looks after the trainer of one claim: call `poll` several times a second until it says True."""

    def __init__(
        self,
        store: Store,
        claim: Claim,
        group: ProcessGroup,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
        heartbeat_s: float = HEARTBEAT_S,
    ):
        self._store, self.claim, self._group, self._settings = store, claim, group, settings
        self._clock, self._heartbeat_s = clock, heartbeat_s
        self._next_beat = self._next_look = clock()
        self._stale = False
        self._ended_for: str | None = None
        self._kill_at = self._sweep_until = float("inf")
        self._exit_code: int | None = None
        self._kills_before = kills_for_memory()
        self._trouble = ""

    @classmethod
    def start(
        cls,
        store: Store,
        claim: Claim,
        settings: Settings,
        slot: Slot,
        *,
        command: Command = trainer_command,
        clock: Callable[[], float] = time.monotonic,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> Self:
        """Start the trainer on the slot. Raises OSError where the system cannot (disk full, no memory)."""
        environment = {
            **os.environ,
            **slot.environment,
            "NOISEDASH_HOME": str(settings.home),
            "NOISEDASH_DB": settings.database_url,
            "NOISEDASH_STORAGE": settings.storage or "",
            "PYTHONUNBUFFERED": "1",
        }
        log = run_folder(settings, claim.run_id).attempt(claim.token).log
        group = ProcessGroup.start(command(claim), environment, log)
        return cls(store, claim, group, settings, clock, heartbeat_s)

    @property
    def pid(self) -> int:
        """The trainer's process id."""
        return self._group.pid

    @property
    def lacked_storage(self) -> bool:
        """Whether the trainer has ended because its files could not be written: another would meet the same."""
        return self._exit_code == TrainerExit.NO_STORAGE

    def end(self, reason: str) -> None:
        """Begin to end the trainer; `poll` sees it through. The job is given back with the reason, no attempt spent."""
        if self._ended_for is None:
            self._ended_for = reason
            self._kill_at = self._clock() + GRACE_S
            if self._exit_code is None:
                self._group.signal(signal.SIGTERM)

    def poll(self) -> bool:
        """Renew the lease, act on what is wanted, and see the trainer's end. True once the job's state says it all."""
        self._look()
        if self._exit_code is None and not self._is_gone():
            return False
        return self._judge()

    def _look(self) -> None:
        now = self._clock()
        try:
            if now >= self._next_beat and not self._stale:
                self._next_beat = self._next_look = now + self._heartbeat_s
                self._act_on(self._store.heartbeat(self.claim.job_id, self.claim.token))
                self._next_look = now + LOOK_S
            elif now >= self._next_look and self._ended_for is None:
                self._next_look = now + LOOK_S
                self._act_on(self._store.wanted([self.claim.job_id]).get(self.claim.job_id, Wanted.RUN))
        except StaleTokenError:
            self._stale = True
            self.end("The job was given to another worker.")
        except StoreError as error:
            self._next_beat = min(self._next_beat, now + LOOK_S)
            self._say_once(f"No heartbeat for job {self.claim.job_id}: {error}")

    def _act_on(self, wanted: Wanted) -> None:
        self._trouble = ""  # the database has answered
        if wanted is not Wanted.RUN:
            self.end(f"It was asked to {wanted}.")

    def _is_gone(self) -> bool:
        """Whether the whole group has ended; sees to it once its time is up or its leader has ended."""
        now = self._clock()
        if not self._group.leader_ended():
            if now >= self._kill_at:
                self._group.kill()
            return False
        self._sweep_until = min(self._sweep_until, now + SWEEP_S)
        self._group.kill()
        if self._group.survivors() and now < self._sweep_until:
            return False
        self._exit_code = self._group.reap()
        return True

    def _judge(self) -> bool:
        """Say in the store what became of the job, unless its trainer has; False while the store cannot be written."""
        job_id, token = self.claim.job_id, self.claim.token
        no_fault_of_it = self._ended_for or self._outer_cause()
        try:
            if no_fault_of_it:
                self._store.give_back(job_id, token, no_fault_of_it)
            else:
                self._store.lose(job_id, token, self._cause_of_death())
        except StaleTokenError:
            logger.debug("The trainer of job %d has said itself how it ended, or the job is another's.", job_id)
        except StoreError as error:
            self._say_once(f"The end of job {job_id} cannot be recorded yet: {error}")
            return False
        return True

    def _outer_cause(self) -> str:
        """Why the trainer ended through no fault of its run, which spends no attempt; '' where it did not."""
        if self._exit_code == TrainerExit.STOPPED:
            return "It was interrupted: its trainer was asked to stop."
        if self._exit_code == TrainerExit.CUT_OFF:
            return f"It was interrupted: {self._last_words() or 'its trainer was cut off from the database.'}"
        if self.lacked_storage:
            return self._last_words() or f"Nothing can be written to {self._settings.runs}: free some of the disk."
        return ""

    def _cause_of_death(self) -> str:
        assert self._exit_code is not None
        spec, words = self.claim.spec, self._last_words()
        size = f"at batch {spec.training.batch_size}, {spec.detector.input_side} px"
        if self._exit_code == TrainerExit.OUT_OF_GPU_MEMORY:
            return f"It ran out of GPU memory {size}: choose a smaller batch or fewer slots per GPU"
        was_killed_for_memory = self._exit_code == -signal.SIGKILL and kills_for_memory() > self._kills_before
        if self._exit_code == TrainerExit.OUT_OF_MEMORY or was_killed_for_memory:
            return f"It ran out of memory {size}: choose a smaller batch or fewer slots"
        said = f"; the last line of its log: {words[:200]}" if words else ""
        return f"The trainer {describe_exit(self._exit_code)} before its run was finished{said}"

    def _last_words(self) -> str:
        """The last line of the trainer's log, without the time."""
        last = tail(run_folder(self._settings, self.claim.run_id).attempt(self.claim.token).log, 1)
        return _TIME.sub("", last[0].strip()) if last else ""

    def _say_once(self, trouble: str) -> None:
        if trouble != self._trouble:
            logger.warning("%s", trouble)
            self._trouble = trouble


def supervise(
    store: Store,
    claim: Claim,
    settings: Settings,
    slot: Slot,
    *,
    command: Command = trainer_command,
    should_stop: Callable[[], bool] = lambda: False,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Train the claimed job to its end in a process of its own. Call it from the main thread.

    False where its files could not be written, so that no other should be started here for a while. When `should_stop`
    turns true the trainer is ended and the job given back. Raises OSError where the trainer cannot be started; the job
    is given back then, too.
    """
    try:
        supervision = Supervision.start(store, claim, settings, slot, command=command)
    except OSError as error:
        store.give_back(claim.job_id, claim.token, f"Its trainer could not be started: {error}.")
        raise
    while not supervision.poll():
        if should_stop():
            supervision.end("It was interrupted: the worker stopped.")
        sleep(POLL_S)
    return not supervision.lacked_storage
