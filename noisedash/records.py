"""Plain records that travel between layers: progress, metrics, jobs, studies, results. No torch, no SQL."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from noisedash.spec import RunSpec


class JobState(StrEnum):
    """The states of a job; done, failed and cancelled are final."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Wanted(StrEnum):
    """What a person asked of a running job."""

    RUN = "run"
    CANCEL = "cancel"
    PAUSE = "pause"


@dataclass(frozen=True)
class Progress:
    """What a trainer reports about once a second."""

    phase: str
    """'preparing', 'training' or 'evaluating'."""
    step: int
    steps: int
    loss: float | None = None
    classification_loss: float | None = None
    localization_loss: float | None = None
    images_per_s: float | None = None
    eta_s: float | None = None
    """Seconds to the end of training."""


@dataclass(frozen=True)
class JobRecord:
    """One job with its last progress. Times are UTC."""

    id: int
    run_id: str
    spec: RunSpec
    dataset_name: str
    state: JobState
    wanted: Wanted
    priority: int
    attempts: int
    max_attempts: int
    reason: str
    """Why it failed, was cancelled or was requeued; '' where there is nothing to say."""
    worker: str
    progress: Progress | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    claims: int = 0
    """How often it was handed to a worker; the newest trainer writes into the folder attempt-<claims> of the run."""
    place: str = ""
    """Where it runs or last ran: host and slot, 'gpubox: gpu 0'; '' before its first claim."""
    checkpoint_step: int | None = None
    """The step of its newest checkpoint: what a kill now would keep."""


@dataclass(frozen=True)
class StudyRecord:
    """A name for a list of runs."""

    name: str
    title: str
    note: str
    """What a reader must know of it: printed beside every figure."""
    dataset_name: str
    run_ids: tuple[str, ...]
    created_at: datetime


@dataclass(frozen=True)
class MetricRecord:
    """One point of a run's training curves."""

    step: int
    loss: float
    classification_loss: float
    localization_loss: float
    learning_rate: float
    images_per_s: float


@dataclass(frozen=True)
class ResultRecord:
    """Average precision of a run at a step and a score threshold. `final` at the end of training."""

    run_id: str
    step: int
    final: bool
    score_threshold: float
    mean_ap: float
    ap_of_class: dict[str, float | None]
