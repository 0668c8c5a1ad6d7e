"""The trainer from its job to its results: interrupted, killed, wrong, and in the foreground."""

import hashlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import psutil
import pytest
import torch
from jobs_tools import wait_until
from training_toys import CLASSES, toy_dataset, toy_pixels

from noisedash.datasets import registry
from noisedash.datasets.dataset import Dataset
from noisedash.datasets.registry import DatasetRegistry
from noisedash.datasets.splits import split
from noisedash.detector.ssd import SsdMobileNet
from noisedash.detector.weights import build, write_tensors
from noisedash.errors import (
    DataError,
    DivergedError,
    NotFoundError,
    QueueError,
    StaleTokenError,
    StorageError,
    StoreError,
)
from noisedash.evaluation.files import load_predictions
from noisedash.jobs import patience, trainer
from noisedash.jobs.protocol import Claim, TrainerExit
from noisedash.jobs.run import prepare
from noisedash.jobs.runfolder import Attempt, newest_attempt, queue_log, run_folder
from noisedash.jobs.slots import Slot
from noisedash.jobs.store import Store
from noisedash.jobs.supervisor import supervise, trainer_command
from noisedash.jobs.trainer import StoreDesk, run_here
from noisedash.probe_records import load_probe
from noisedash.records import JobState, Progress
from noisedash.settings import Settings, current_settings
from noisedash.spec import (
    AdamW,
    DataSpec,
    EvaluationSpec,
    Focal,
    FromWeights,
    MissingNoise,
    NoiseRecipe,
    RunSpec,
    SplitSpec,
    SsdMobileNetV1,
    TrainingSpec,
)
from noisedash.studies.study import Study
from noisedash.training.checkpoint import Checkpoint, CheckpointFolder
from noisedash.weights import WeightsInfo, WeightsRegistry

MICRO = SsdMobileNetV1(input_side=96, depth_multiplier=0.25, first_stride=8, repeated_blocks=2)
SLOT = Slot("cpu 1", None, 1)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def settings(own_home: Path) -> Settings:
    return current_settings()


@pytest.fixture
def store(settings: Settings) -> Store:
    return Store(settings.database_url)


def register(settings: Settings) -> Dataset:
    """A small dataset of real files, half of them to test on."""
    drawn = toy_dataset(images=16)
    folder = settings.home / "pictures"
    folder.mkdir(parents=True)
    for name, pixels in zip(drawn.images.file, toy_pixels(drawn), strict=True):
        cv2.imwrite(str(folder / name), pixels[:, :, ::-1])
    sha256 = tuple(hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in drawn.images.file)
    images = replace(drawn.images, split=("train", "test") * 8, sha256=sha256)
    dataset = Dataset("toy", folder, drawn.classes, images, drawn.boxes)
    DatasetRegistry(settings).register(dataset, "toy", folder)
    return dataset


def spec_of(dataset: Dataset, steps: int = 6, **changes: Any) -> RunSpec:
    return RunSpec(
        data=DataSpec(content_hash=dataset.content_hash),
        noise=NoiseRecipe(steps=(MissingNoise(rate=0.5),)),
        detector=MICRO,
        optimizer=AdamW(learning_rate=changes.pop("learning_rate", 2e-3)),
        loss=Focal(),
        training=TrainingSpec(steps=steps, batch_size=4),
        evaluation=EvaluationSpec(every=changes.pop("every", 0)),
        **changes,
    )


def submit(store: Store, spec: RunSpec) -> None:
    store.submit_study(Study("study", "", "", "toy", (spec,)))


def claimed(store: Store) -> Claim:
    claim = store.claim("here")
    assert claim is not None
    return claim


def train_in_process(store: Store, settings: Settings, should_stop: Callable[[], bool] = lambda: False) -> Attempt:
    command = partial(trainer_command, checkpoint_s=0.1)
    claim = claimed(store)
    supervise(store, claim, settings, SLOT, command=command, should_stop=should_stop)
    return run_folder(settings, claim.run_id).attempt(claim.token)


def has_checkpoint(attempt: Attempt) -> bool:
    return any(attempt.checkpoints.glob("step-*.safetensors"))


def first_step(attempt: Attempt) -> int:
    """The step from which a trainer says that it trains."""
    found = re.search(r"Training goes from step (\d+)", attempt.log.read_text())
    assert found is not None
    return int(found[1])


class TestTrainerProcess:
    def test_a_database_that_is_away_as_it_starts_is_waited_for(self, settings: Settings, store: Store) -> None:
        submit(store, spec_of(register(settings)))
        claim = claimed(store)
        store.close()
        database = settings.home / "noisedash.db"
        database.rename(settings.home / "away.db")
        database.mkdir()
        log = run_folder(settings, claim.run_id).attempt(claim.token).log
        log.parent.mkdir(parents=True)
        with log.open("wb") as output:
            environment = {**os.environ, "NOISEDASH_HOME": str(settings.home), "NOISEDASH_DB": settings.database_url}
            trainer = subprocess.Popen(trainer_command(claim), env=environment, stdout=output, stderr=output)
        wait_until(lambda: "Trying again." in log.read_text(), 60)
        database.rmdir()
        (settings.home / "away.db").rename(database)
        assert trainer.wait(120) == 0, log.read_text()
        assert store.job(1).state is JobState.DONE

    def test_stopped_and_killed_it_ends_with_the_same_weights_to_the_bit(
        self, settings: Settings, store: Store, tmp_path: Path
    ) -> None:
        spec = spec_of(register(settings), steps=40)
        undisturbed = Settings(tmp_path / "other", f"sqlite:///{tmp_path / 'other' / 'noisedash.db'}")
        register(undisturbed)
        other_store = Store(undisturbed.database_url)
        submit(other_store, spec)
        expected = train_in_process(other_store, undisturbed)
        assert other_store.job(1).state is JobState.DONE, queue_log(undisturbed, other_store.job(1))

        submit(store, spec)
        attempts = run_folder(settings, spec.id).attempt
        train_in_process(store, settings, should_stop=lambda: has_checkpoint(attempts(1)))
        job = store.job(1)
        assert (job.state, job.attempts) == (JobState.QUEUED, 0)
        kill_after(lambda: has_checkpoint(attempts(2)), lambda: attempts(2), settings)
        train_in_process(store, settings)
        job = store.job(1)
        assert (job.state, job.attempts) == (JobState.QUEUED, 1)
        assert "SIGKILL" in job.reason
        last = train_in_process(store, settings)
        job = store.job(1)
        assert (job.state, job.attempts, job.claims) == (JobState.DONE, 2, 3), queue_log(settings, job)
        assert last.weights.read_bytes() == expected.weights.read_bytes()
        assert store.results([spec.id]) == other_store.results([spec.id])
        assert last.probe.read_bytes() == expected.probe.read_bytes()
        assert load_probe(last.probe).steps.tolist() == [0, 20, 40]
        assert not any(has_checkpoint(attempts(claim)) for claim in (1, 2, 3))
        firsts = [first_step(attempts(claim)) for claim in (1, 2, 3)]
        assert firsts[0] == 0 < firsts[1] < firsts[2]
        steps = [metric.step for metric in store.metrics(spec.id)]
        assert steps == sorted(set(steps))
        assert steps[-1] == 40

    def test_a_trainer_without_a_valid_token_touches_nothing(self, settings: Settings, store: Store) -> None:
        submit(store, spec_of(register(settings)))
        claimed(store)
        before = store.job(1)
        command = [sys.executable, "-m", "noisedash.jobs.trainer", "1", "7", "1"]
        ended = subprocess.run(command, capture_output=True, text=True)
        assert ended.returncode == TrainerExit.CUT_OFF
        assert "Token 7 of job 1 is void" in ended.stderr
        assert store.job(1) == before

    def test_a_fault_of_the_data_fails_at_once_and_says_which(self, settings: Settings, store: Store) -> None:
        dataset = register(settings)
        submit(store, spec_of(dataset))
        (dataset.root / "003.png").write_bytes(b"no picture")
        attempt = train_in_process(store, settings)
        job = store.job(1)
        assert (job.state, job.attempts) == (JobState.FAILED, 1)
        assert "003.png" in job.reason
        assert job.reason in attempt.log.read_text()


def kill_after(condition: Callable[[], bool], attempt: Callable[[], Attempt], settings: Settings) -> None:
    """From a thread, kill the trainer that this process will have started, once the condition holds."""

    def kill() -> None:
        wait_until(condition, 60)
        children = psutil.Process().children()
        trainers = [child for child in children if "noisedash.jobs.trainer" in child.cmdline()]
        assert len(trainers) == 1
        trainers[0].kill()

    threading.Thread(target=kill).start()


def split_without_test_boxes(dataset: Dataset) -> SplitSpec:
    """A random split whose only test image has no boxes."""
    draws = (SplitSpec(kind="random", max_test_images=1, seed=seed) for seed in range(100))
    return next(drawn for drawn in draws if len(split(dataset, drawn).test.boxes) == 0)


class TestRunHere:
    def test_results_weights_and_predictions_are_kept(self, settings: Settings, store: Store) -> None:
        spec = spec_of(register(settings), every=2)
        told: list[Progress] = []
        results = run_here(spec, "toy", settings, told.append)
        assert [(result.step, result.score_threshold) for result in results] == [(6, 0.01), (6, 0.3)]
        assert set(results[0].ap_of_class) == set(CLASSES)
        assert store.results([spec.id], final_only=True) == results
        assert [result.step for result in store.results([spec.id]) if not result.final] == [2, 2, 4, 4]
        job = store.job_of_run(spec.id)
        assert job.checkpoint_step == 6
        assert job.state is JobState.DONE
        assert (told[0].phase, told[-1].phase) == ("preparing", "evaluating")
        assert told[-1].images_per_s is not None
        attempt = newest_attempt(settings, job)
        assert build(attempt.weights).spec == MICRO
        assert len(load_predictions(attempt.predictions)) >= 0
        assert RunSpec.model_validate_json((run_folder(settings, spec.id).path / "spec.json").read_text()) == spec
        assert not has_checkpoint(attempt)

    def test_a_run_that_is_done_is_not_trained_again(self, settings: Settings) -> None:
        spec = spec_of(register(settings))
        results = run_here(spec, "toy", settings)
        told: list[Progress] = []
        assert run_here(spec, "toy", settings, told.append) == results
        assert told == []

    def test_a_run_that_trains_elsewhere_is_left_alone(self, settings: Settings, store: Store) -> None:
        spec = spec_of(register(settings))
        submit(store, spec)
        claimed(store)
        with pytest.raises(QueueError, match="is being trained by here"):
            run_here(spec, "toy", settings)

    def test_what_cannot_be_mended_by_trying_again_fails(
        self, settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(registry, "BUILTIN", {})  # none is drawn in search of the unknown content
        dataset = register(settings)
        diverging = spec_of(dataset, learning_rate=1e30)
        with pytest.raises(DivergedError):
            run_here(diverging, "toy", settings)
        job = store.job_of_run(diverging.id)
        assert job.state is JobState.FAILED
        assert job.reason.startswith("Training diverged")
        unknown = spec_of(dataset).model_copy(update={"data": DataSpec(content_hash="0" * 64)})
        with pytest.raises(NotFoundError, match="No registered dataset"):
            run_here(unknown, "toy", settings)
        assert store.job_of_run(unknown.id).state is JobState.FAILED

    def test_a_full_disk_keeps_the_checkpoint_before_and_a_retry_goes_on(
        self, settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spec = spec_of(register(settings))
        whole = CheckpointFolder.save

        def full_at_the_end(folder: CheckpointFolder, checkpoint: Checkpoint) -> Path:
            if checkpoint.step == 6:
                raise StorageError("The checkpoint of step 6 does not fit on the disk.")
            return whole(folder, checkpoint)

        monkeypatch.setattr(trainer, "conduct", partial(trainer.conduct, checkpoint_s=0.0))
        with monkeypatch.context() as full:
            full.setattr(CheckpointFolder, "save", full_at_the_end)
            with pytest.raises(StorageError):
                run_here(spec, "toy", settings)
        job = store.job_of_run(spec.id)
        assert (job.state, job.reason) == (JobState.FAILED, "The checkpoint of step 6 does not fit on the disk.")
        told: list[Progress] = []
        run_here(spec, "toy", settings, told.append)
        assert next(progress.step for progress in told if progress.phase == "training") == 5

    def test_a_cancel_from_elsewhere_keeps_the_progress(self, settings: Settings, store: Store) -> None:
        spec = spec_of(register(settings), steps=100_000)

        def cancel_once(progress: Progress) -> None:
            if progress.step > 0:
                job = store.job_of_run(spec.id)
                if job.wanted == "run":
                    store.request_cancel(job.id)

        with pytest.raises(QueueError, match="was interrupted: start it again"):
            run_here(spec, "toy", settings, cancel_once)
        assert store.job_of_run(spec.id).state is JobState.CANCELLED
        assert has_checkpoint(newest_attempt(settings, store.job_of_run(spec.id)))

    def test_ctrl_c_keeps_the_progress_and_no_worker_goes_on(self, settings: Settings, store: Store) -> None:
        spec = spec_of(register(settings), steps=100_000)

        def interrupt(progress: Progress) -> None:
            if progress.step > 0:
                signal.raise_signal(signal.SIGINT)

        before = signal.getsignal(signal.SIGINT)
        with pytest.raises(QueueError, match="was interrupted"):
            run_here(spec, "toy", settings, interrupt)
        assert signal.getsignal(signal.SIGINT) is before
        assert store.job_of_run(spec.id).state is JobState.CANCELLED
        assert store.claim("worker") is None

    def test_a_bug_leaves_no_job_running(self, settings: Settings, store: Store) -> None:
        spec = spec_of(register(settings))

        def break_down(progress: Progress) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            run_here(spec, "toy", settings, break_down)
        assert store.job_of_run(spec.id).state is JobState.CANCELLED


class TestPrepare:
    def test_a_test_set_without_boxes_is_refused_before_training(self, settings: Settings, store: Store) -> None:
        dataset = register(settings)
        spec = spec_of(dataset, steps=100_000)
        data = DataSpec(content_hash=dataset.content_hash, split=split_without_test_boxes(dataset))
        spec = spec.model_copy(update={"data": data})
        told: list[Progress] = []
        with pytest.raises(DataError, match="no boxes"):
            run_here(spec, "toy", settings, told.append)
        assert {progress.phase for progress in told} == {"preparing"}

    def test_folded_weights_get_the_statistics_of_the_training_images(self, settings: Settings) -> None:
        dataset = register(settings)
        network = SsdMobileNet(MICRO, len(CLASSES), seed=5)
        info = WeightsInfo(MICRO, CLASSES, "a test", "none", batch_norm_folded=True)
        write_tensors(settings.home / "folded.safetensors", network.state_dict(), info)
        record = WeightsRegistry(settings).add(settings.home / "folded.safetensors", "folded")

        class Silent:
            def should_stop(self) -> bool:
                return False

            def report(self, *_: object) -> None: ...
            def checkpointed(self, *_: object) -> None: ...
            def record(self, *_: object) -> None: ...
            def finish(self, *_: object) -> None: ...

        spec = spec_of(dataset, initial=FromWeights(sha256=record.sha256))
        ready = prepare(spec, settings, Silent())
        norms = [module for module in ready.model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        assert all(norm.running_mean is not None and norm.running_mean.abs().sum() > 0 for norm in norms)
        assert {row.split("/")[-1] for row in ready.noisy.clean.images.split} == {"train"}
        assert set(ready.test.images.split) == {"test"}


class TestDesk:
    def desk(self, store: Store) -> StoreDesk:
        submit(store, RunSpec(data=DataSpec(content_hash="0" * 64), loss=Focal()))
        claim = claimed(store)
        return StoreDesk(store, claim.job_id, claim.token, threading.Event(), lambda _: None)

    def test_a_report_that_the_database_does_not_take_is_left_out(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        store = Store(f"sqlite:///{tmp_path / 'noisedash.db'}", busy_timeout_s=0.05)
        desk = self.desk(store)
        holder = sqlite3.connect(tmp_path / "noisedash.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        desk.report(Progress("training", 1, 2))
        assert "A report was left out" in caplog.text
        holder.execute("ROLLBACK")
        holder.close()
        desk.report(Progress("training", 2, 2))
        progress = store.job(1).progress
        assert progress is not None
        assert progress.step == 2

    def test_a_void_token_ends_the_run_at_its_next_report(self, store: Store) -> None:
        desk = self.desk(store)
        store.give_back(1, 1, "")
        with pytest.raises(StaleTokenError):
            desk.report(Progress("training", 1, 2))

    def test_results_whose_receipt_was_lost_are_not_a_void_token(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        desk = self.desk(store)
        finish, tries = store.finish, []

        def cut_after_the_commit(*arguments: Any) -> None:
            tries.append(1)
            finish(*arguments)
            if len(tries) == 1:
                raise StoreError("The connection was cut.")

        monkeypatch.setattr(store, "finish", cut_after_the_commit)
        monkeypatch.setattr(patience, "AGAIN_S", 0.0)
        desk.finish([])
        assert len(tries) == 2
        assert store.job(1).state is JobState.DONE

    def test_results_of_a_void_token_are_refused(self, store: Store) -> None:
        desk = self.desk(store)
        store.give_back(1, 1, "")
        other = claimed(store)
        store.finish(other.job_id, other.token)
        with pytest.raises(StaleTokenError):
            desk.finish([])

    def test_a_void_token_ends_the_run_at_its_next_checkpoint(self, store: Store, tmp_path: Path) -> None:
        desk = self.desk(store)
        desk.checkpointed(7, tmp_path)
        assert store.job(1).checkpoint_step == 7
        store.give_back(1, 1, "")
        with pytest.raises(StaleTokenError):
            desk.checkpointed(8, tmp_path)
        assert store.job(1).checkpoint_step == 7
