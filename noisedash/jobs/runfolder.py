"""Where a run keeps its files: `runs/<run id>/attempt-<claim>/`, one folder for each trainer that was ever started.

Two trainers never write into one folder, so that a trainer that should be dead can spoil nothing. Deleting a run's
folder loses nothing but time.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from noisedash.errors import TransferError
from noisedash.files import file_written_aside
from noisedash.records import JobRecord
from noisedash.settings import Settings
from noisedash.spec import RunSpec

_LOG_TAIL_BYTES = 64 * 1024


@dataclass(frozen=True)
class Attempt:
    """The folder of one claim of a run."""

    path: Path

    @property
    def log(self) -> Path:
        """What the trainer printed, its traceback included."""
        return self.path / "log.txt"

    @property
    def checkpoints(self) -> Path:
        """The folder of its checkpoints."""
        return self.path / "checkpoints"

    @property
    def weights(self) -> Path:
        """The network at the end of training, as a weights file."""
        return self.path / "weights.safetensors"

    @property
    def predictions(self) -> Path:
        """The detections on the test images at the end of training."""
        return self.path / "predictions.npz"

    @property
    def probe(self) -> Path:
        """What each group of anchors was scored and pulled, over training."""
        return self.path / "probe.npz"


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run."""

    path: Path

    def attempt(self, claim: int) -> Attempt:
        """The folder of the trainer that got the job's claim number `claim`."""
        return Attempt(self.path / f"attempt-{claim}")

    def others(self, claim: int) -> list[Attempt]:
        """The folders of the run's other trainers, the newest first."""
        numbers = [int(path.name.removeprefix("attempt-")) for path in self.path.glob("attempt-*")]
        return [self.attempt(number) for number in sorted(numbers, reverse=True) if number != claim]

    def write_spec(self, spec: RunSpec) -> None:
        """Keep the run's spec as spec.json, for people. Raises StorageError."""
        with file_written_aside(self.path / "spec.json") as aside:
            aside.write_text(spec.model_dump_json(indent=2) + "\n", encoding="utf-8")


def run_folder(settings: Settings, run_id: str) -> RunFolder:
    """The folder of a run; it need not exist."""
    return RunFolder(settings.runs / run_id)


def newest_attempt(settings: Settings, job: JobRecord) -> Attempt:
    """The folder of the job's newest trainer: for a done job the one whose predictions count."""
    return run_folder(settings, job.run_id).attempt(job.claims)


def queue_log(settings: Settings, job: JobRecord, lines: int = 50) -> str:
    """The last lines of what the job's newest trainer printed, wherever it ran; '' where it printed nothing."""
    from noisedash.jobs.storage import log_from_elsewhere  # which knows of these folders

    path = newest_attempt(settings, job).log
    if path.is_file():
        return "\n".join(tail(path, lines))
    try:
        copy = log_from_elsewhere(settings, job)
    except TransferError as error:
        return str(error)
    return "\n".join(tail(copy, lines)) if copy else ""


def tail(path: Path, lines: int) -> list[str]:
    """The last lines of a text file, at most 64 KiB; empty where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LOG_TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return text.splitlines()[-lines:] if lines > 0 else []
