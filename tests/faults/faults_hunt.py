"""A home where a real trainer trains a small network on a few real files, and ways to catch and kill it there."""

import hashlib
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import psutil
from faults_tools import PATIENCE_S, Farm
from jobs_tools import wait_until
from training_toys import toy_dataset, toy_pixels

from noisedash.datasets.dataset import Dataset
from noisedash.datasets.registry import DatasetRegistry
from noisedash.jobs.runfolder import Attempt, run_folder
from noisedash.jobs.store import Store
from noisedash.records import JobState
from noisedash.settings import Settings
from noisedash.spec import (
    AdamW,
    DataSpec,
    EvaluationSpec,
    Focal,
    MissingNoise,
    NoiseRecipe,
    RunSpec,
    SsdMobileNetV1,
    TrainingSpec,
)
from noisedash.studies.study import Study
from noisedash.training.checkpoint import HALF_WRITTEN

SLOTS = 2
"""Of one thread each, on two cores: how sums are rounded depends on the number of threads."""
START_UP_S = 6.0
SLICE_S = 0.01
IMAGES = 64


class Ground:
    """A home with a small dataset, a job over it, and the worker and trainers that work there."""

    def __init__(self, home: Path, steps: int, database: Path | None = None) -> None:
        self.settings = Settings(home, f"sqlite:///{database or home / 'noisedash.db'}")
        self.spec = spec_of(register(self.settings), steps)
        self.store = Store(self.settings.database_url)
        self.store.submit_study(Study("study", "", "", "toy", (self.spec,)))
        self._farm = Farm(self.settings)

    @contextmanager
    def trains(self, checkpoint_s: float) -> Iterator[None]:
        """A worker with the real trainer; nothing is left of it afterwards."""
        try:
            with self._farm.worker("real", SLOTS, pace_s=checkpoint_s):
                yield
            assert self._farm.processes() == []
        finally:
            self._farm.kill_everything()
            self.store.close()

    def prey(self, claim: int) -> "Prey":
        """The trainer of that claim, once it runs."""
        found: list[psutil.Process] = []

        def runs() -> bool:
            found[:] = [process for process in self._farm.trainers() if process.cmdline()[3:5] == ["1", str(claim)]]
            return bool(found)

        wait_until(runs, PATIENCE_S)
        return Prey(self, found[0], self.attempt(claim))

    def attempt(self, claim: int) -> Attempt:
        """The folder of that claim's trainer."""
        return run_folder(self.settings, self.spec.id).attempt(claim)

    def checkpoints(self) -> list[Path]:
        """The checkpoints of all trainers, the newest first."""
        folder = run_folder(self.settings, self.spec.id).path
        return sorted(folder.glob("attempt-*/checkpoints/step-*.safetensors"), key=lambda path: path.name, reverse=True)

    def logs(self) -> str:
        """What all trainers said."""
        folder = run_folder(self.settings, self.spec.id).path
        return "".join(path.read_text() for path in folder.glob("attempt-*/log.txt"))


@dataclass(frozen=True)
class Prey:
    """A trainer that shall be killed, and where it writes."""

    ground: Ground
    process: psutil.Process
    attempt: Attempt

    def kill_in(self, phase: str, rng: random.Random) -> None:
        """SIGKILL at a random moment of the phase."""
        if phase == "starting":
            time.sleep(rng.uniform(0, START_UP_S))
        elif phase == "finishing":
            self._stop_in("examining")
            self._run_on_to_its_last_write()
        else:
            self._stop_in(phase)
            if phase == "training":
                self._run_on(rng.uniform(0, 0.5))
        self.process.kill()

    def kill_and_tear(self, rng: random.Random) -> str:
        """Kill it while it trains, and damage the newest checkpoint before another trainer starts; its name."""
        self._stop_in("training")
        self._run_on(rng.uniform(0, 0.5))
        newest = self.ground.checkpoints()[0]
        size = newest.stat().st_size
        with newest.open("r+b") as file:
            if rng.random() < 0.5:
                file.truncate(rng.randrange(size))
            else:
                file.seek(rng.randrange(size - 8))
                file.write(rng.randbytes(8))
        self.process.kill()
        return newest.name

    def _stop_in(self, phase: str) -> None:
        """Let it run for short moments until a look finds it there; it is stopped then."""
        deadline = time.monotonic() + PATIENCE_S
        self.process.suspend()
        while not self._is_at(phase):
            assert time.monotonic() < deadline, phase
            self._run_on(SLICE_S)

    def _run_on(self, seconds: float) -> None:
        self.process.resume()
        time.sleep(seconds)
        self.process.suspend()

    def _is_at(self, phase: str) -> bool:
        """Whether it is in that phase. What the store shows counts once the trainer has told something itself."""
        job = self.ground.store.job(1)
        assert job.state is JobState.RUNNING, (phase, job.state, job.reason)
        if phase == "writing":
            return any(self.attempt.checkpoints.glob(HALF_WRITTEN))
        if phase == "training":
            return any(self.attempt.checkpoints.glob("step-*"))
        has_begun = self.attempt.log.exists() and "Training goes from step" in self.attempt.log.read_text()
        if not has_begun or job.progress is None or job.progress.phase != "evaluating":
            return False
        return (job.progress.step == job.progress.steps) == (phase == "examining")

    def _run_on_to_its_last_write(self) -> None:
        """Hold the database's write lock, so that it cannot say that it is done, until its weights are there."""
        database = self.ground.settings.home / "noisedash.db"
        with closing(sqlite3.connect(database, isolation_level=None, timeout=0.0)) as holder:
            while not _locks(holder):
                self._run_on(SLICE_S)
            self.process.resume()
            wait_until(self.attempt.weights.exists, PATIENCE_S)
            self.process.kill()


def _locks(connection: sqlite3.Connection) -> bool:
    """Whether the connection has got the write lock."""
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        return False
    return True


def register(settings: Settings) -> Dataset:
    """A small dataset of real files, half of them to test on."""
    drawn = toy_dataset(images=IMAGES)
    folder = settings.home / "pictures"
    folder.mkdir(parents=True)
    for name, pixels in zip(drawn.images.file, toy_pixels(drawn), strict=True):
        cv2.imwrite(str(folder / name), pixels[:, :, ::-1])
    sha256 = tuple(hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in drawn.images.file)
    images = replace(drawn.images, split=("train", "test") * (IMAGES // 2), sha256=sha256)
    dataset = Dataset("toy", folder, drawn.classes, images, drawn.boxes)
    DatasetRegistry(settings).register(dataset, "toy", folder)
    return dataset


def spec_of(dataset: Dataset, steps: int) -> RunSpec:
    """A run of a tiny network, evaluated five times on its way."""
    return RunSpec(
        data=DataSpec(content_hash=dataset.content_hash),
        noise=NoiseRecipe(steps=(MissingNoise(rate=0.5),)),
        detector=SsdMobileNetV1(input_side=96, depth_multiplier=0.25, first_stride=8, repeated_blocks=2),
        optimizer=AdamW(learning_rate=2e-3),
        loss=Focal(),
        training=TrainingSpec(steps=steps, batch_size=4),
        evaluation=EvaluationSpec(every=steps // 6),
    )
