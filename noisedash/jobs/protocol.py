"""The life of a job as one table: what may happen in which state, who may do it, and what then holds.

Everything that changes a job's state goes through `TRANSITIONS`; the store has no other way.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from noisedash.records import JobState, Wanted
from noisedash.spec import RunSpec

HEARTBEAT_S = 3.0
"""How often a supervisor renews the lease of its job."""
LEASE_S = 20.0
"""How long a job is its worker's after a heartbeat; more than five heartbeats, so that one lost beat loses nothing."""
CHECKPOINT_S = 20.0
"""Seconds between two checkpoints: what a kill costs at most. Where they fall makes no difference to the outcome."""
MAX_ATTEMPTS = 3
"""A job that lost this many trainers is failed, so that a poison job stops."""


class Event(StrEnum):
    """What can happen to a job."""

    CLAIM = "claim"
    FINISH = "finish"
    FAIL = "fail"
    """The run cannot succeed: a fault of its spec, its data or its numbers, that a second attempt would meet again."""
    REQUEUE = "requeue"
    """Its trainer is gone and attempts are left."""
    EXHAUST = "exhaust"
    """Its trainer is gone and no attempt is left."""
    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    RETRY = "retry"


class Actor(StrEnum):
    """Who may cause an event."""

    PERSON = "person"
    WORKER = "worker"
    """Any worker with a free slot."""
    HOLDER = "holder"
    """The supervisor and trainer that hold the job's present token."""
    REAPER = "reaper"
    """Anyone, once the job's lease has run out."""


@dataclass(frozen=True)
class Transition:
    """The state after an event, and what is then wanted of the job."""

    to: JobState
    wanted: Wanted = Wanted.RUN


_Q, _R, _P = JobState.QUEUED, JobState.RUNNING, JobState.PAUSED
_D, _F, _C = JobState.DONE, JobState.FAILED, JobState.CANCELLED
_PERSON, _WORKER, _HOLDER, _REAPER = Actor.PERSON, Actor.WORKER, Actor.HOLDER, Actor.REAPER

TRANSITIONS: dict[tuple[JobState, Event, Actor], Transition] = {
    (_Q, Event.CLAIM, _WORKER): Transition(_R),
    (_Q, Event.CANCEL, _PERSON): Transition(_C),
    (_Q, Event.PAUSE, _PERSON): Transition(_P),
    (_P, Event.CANCEL, _PERSON): Transition(_C),
    (_P, Event.RESUME, _PERSON): Transition(_Q),
    # A person's wish reaches a running job through its supervisor, which ends the trainer and then acts on it.
    (_R, Event.CANCEL, _PERSON): Transition(_R, Wanted.CANCEL),
    (_R, Event.PAUSE, _PERSON): Transition(_R, Wanted.PAUSE),
    (_R, Event.RESUME, _PERSON): Transition(_R),
    (_R, Event.FINISH, _HOLDER): Transition(_D),
    (_R, Event.FAIL, _HOLDER): Transition(_F),
    (_R, Event.CANCEL, _HOLDER): Transition(_C),
    (_R, Event.PAUSE, _HOLDER): Transition(_P),
    (_R, Event.REQUEUE, _HOLDER): Transition(_Q),
    (_R, Event.EXHAUST, _HOLDER): Transition(_F),
    (_R, Event.CANCEL, _REAPER): Transition(_C),
    (_R, Event.PAUSE, _REAPER): Transition(_P),
    (_R, Event.REQUEUE, _REAPER): Transition(_Q),
    (_R, Event.EXHAUST, _REAPER): Transition(_F),
    (_F, Event.RETRY, _PERSON): Transition(_Q),
    (_C, Event.RETRY, _PERSON): Transition(_Q),
}

FINAL = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})
"""States that a job leaves only when a person retries it."""


def event_of_lost_trainer(wanted: Wanted, attempts: int, max_attempts: int) -> Event:
    """What the end of a trainer means for its job: a person's wish first, then the attempts that are left.

    >>> event_of_lost_trainer(Wanted.RUN, attempts=3, max_attempts=3)
    <Event.EXHAUST: 'exhaust'>
    """
    if wanted is Wanted.CANCEL:
        return Event.CANCEL
    if wanted is Wanted.PAUSE:
        return Event.PAUSE
    return Event.REQUEUE if attempts < max_attempts else Event.EXHAUST


class TrainerExit(IntEnum):
    """The exit codes by which a trainer tells its supervisor what the store may not have been able to take."""

    OUT_OF_MEMORY = 81
    OUT_OF_GPU_MEMORY = 82
    NO_STORAGE = 83
    """Its files could not be written: the disk is full, or may not be written to."""
    CUT_OFF = 84
    """Its lease ran out, as far as it could know."""
    STOPPED = 143
    """It was asked to stop (SIGTERM), and its progress is kept."""


@dataclass(frozen=True)
class Claim:
    """A job handed to a worker. Whoever holds the newest token may write; the token is the number of the claim."""

    job_id: int
    token: int
    """1, 2, 3 …: never handed out twice for a job. It also names the folder that this trainer writes into."""
    attempt: int
    """Attempts spent, this one included; one that was given back does not count."""
    max_attempts: int
    run_id: str
    spec: RunSpec
    dataset_name: str


@dataclass(frozen=True)
class Submission:
    """What became of a study that was submitted."""

    study_name: str
    """The study's name, with '-2', '-3' … where another study of other runs has the name already."""
    new_jobs: int
    existing_jobs: int
    """Runs that are done, running, paused or queued already, and are not trained twice."""
    retried_jobs: int
    """Runs that had failed or were cancelled, and are queued again."""


class WorkerKind(StrEnum):
    """What gave a sign of life."""

    WORKER = "worker"
    """A process that claims jobs for the slots of its machine."""
    DISPATCHER = "dispatcher"
    """A process that hands jobs to a cluster."""
    NODE = "node"
    """A machine of a dispatcher's cluster."""


@dataclass(frozen=True)
class WorkerRecord:
    """A worker that was seen lately."""

    name: str
    host: str
    pid: int
    slots: int
    seconds_since_seen: float
    kind: WorkerKind = WorkerKind.WORKER
    resources: str = ""
    """What it has, in words: '16 CPUs, 2 GPUs'."""
