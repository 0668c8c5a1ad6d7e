"""Run files in the storage of all machines: what is torn, fails or lies elsewhere."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from jobs_tools import a_store, spec, study, wait_until
from test_jobs_trainer import first_step, register, spec_of, submit, train_in_process

from noisedash.errors import TransferError
from noisedash.jobs import patience
from noisedash.jobs.runfolder import Attempt, queue_log, run_folder
from noisedash.jobs.storage import CHECKPOINTS, RunStorage, checksummed, finished_attempt, storage_of
from noisedash.jobs.uploads import share_results, uploads
from noisedash.records import JobState
from noisedash.settings import Settings, current_settings

RUN = spec(1).id


@pytest.fixture(params=["memory", "file", "folder"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "memory":
        return f"memory://{uuid4().hex}"
    return f"file://{tmp_path}/shared" if request.param == "file" else f"{tmp_path}/shared"


@pytest.fixture
def storage(url: str) -> RunStorage:
    return RunStorage(url, RUN)


@pytest.fixture
def settings(own_home: Path, url: str) -> Settings:
    return replace(current_settings(), storage=url)


def checkpoint(folder: Path, step: int, content: bytes = b"weights") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:08}.{hashlib.sha256(content).hexdigest()[:16]}.safetensors"
    path.write_bytes(content)
    return path


def attempt(folder: Path) -> Attempt:
    """A finished attempt's files."""
    made = Attempt(folder)
    folder.mkdir(parents=True)
    made.predictions.write_bytes(b"predictions")
    made.weights.write_bytes(b"weights")
    made.probe.write_bytes(b"probe")
    made.log.write_text("one\ntwo\n")
    return made


def tear(storage: RunStorage, name: str) -> None:
    """Cut the end off a file that lies in the storage."""
    files, (there,) = storage._files, storage._files.glob(f"{storage._root}/**/{name}")
    files.pipe_file(there, files.cat_file(there)[:-1])


class Failing:
    """Lets the storage fail a number of times in what is written."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
        self.left = times
        write: Callable[..., object] = MemoryFileSystem.pipe_file

        def pipe_file(files: MemoryFileSystem, path: str, value: bytes, **more: object) -> object:
            if self.left:
                self.left -= 1
                write(files, path, value[:3])
                raise OSError("The line is cut")
            return write(files, path, value, **more)

        monkeypatch.setattr(MemoryFileSystem, "pipe_file", pipe_file)


class TestRunStorage:
    def test_the_newest_checkpoint_of_any_attempt_comes_back(self, storage: RunStorage, tmp_path: Path) -> None:
        for claim, step in ((1, 10), (2, 30), (1, 20)):
            storage.keep(checkpoint(tmp_path / "a", step), claim, CHECKPOINTS)
        assert storage.fetch_checkpoint(tmp_path / "b", newer_than=-1) == 30
        (fetched,) = (tmp_path / "b").iterdir()
        assert fetched == checkpoint(tmp_path / "b", 30)

    def test_nothing_is_fetched_that_is_no_newer(self, storage: RunStorage, tmp_path: Path) -> None:
        assert storage.fetch_checkpoint(tmp_path / "b", newer_than=-1) is None
        storage.keep(checkpoint(tmp_path / "a", 10), 1, CHECKPOINTS)
        assert storage.fetch_checkpoint(tmp_path / "b", newer_than=10) is None

    def test_a_torn_checkpoint_is_passed_over(
        self, storage: RunStorage, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        for step in (10, 20):
            storage.keep(checkpoint(tmp_path / "a", step), 1, CHECKPOINTS)
        tear(storage, "step-00000020.*")
        assert storage.fetch_checkpoint(tmp_path / "b", newer_than=-1) == 10
        assert "torn or damaged" in caplog.text

    def test_few_checkpoints_stay_and_none_at_the_end(self, storage: RunStorage, tmp_path: Path) -> None:
        for step in (10, 20, 30):
            storage.keep(checkpoint(tmp_path / "a", step), 1, CHECKPOINTS)
            storage.prune(1)
        names = [name.rsplit("/", 1)[1][:13] for name in sorted(storage._checkpoints("attempt-1"))]
        assert names == ["step-00000020", "step-00000030"]
        storage.clear_checkpoints()
        assert storage.fetch_checkpoint(tmp_path / "b", newer_than=-1) is None

    def test_results_come_back_whole_or_not_at_all(self, storage: RunStorage, tmp_path: Path) -> None:
        made, other = attempt(tmp_path / "a"), Attempt(tmp_path / "b")
        share_results(storage, made, 3)
        assert storage.fetch(other.predictions, 3)
        assert other.predictions.read_bytes() == b"predictions"
        assert storage.fetch(other.probe, 3)
        assert other.probe.read_bytes() == b"probe"
        tear(storage, "weights.*")
        assert not storage.fetch(other.weights, 3)
        assert not storage.fetch(other.predictions, 2), "another attempt's"

    def test_a_name_carries_its_checksum_once(self) -> None:
        name = checksummed("weights.safetensors", b"x")
        assert checksummed(name, b"x") == name

    def test_what_cannot_be_used_is_told_in_a_sentence_without_a_password(self) -> None:
        with pytest.raises(TransferError, match=r"nosuch://box/runs \(NOISEDASH_STORAGE\)") as told:
            RunStorage("nosuch://me:secret@box/runs", RUN)
        assert "secret" not in str(told.value)

    def test_a_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        storage = RunStorage(f"{tmp_path}/file/shared", RUN)
        with pytest.raises(TransferError, match="may be written to"):
            storage.keep(checkpoint(tmp_path / "a", 1), 1, CHECKPOINTS)


class TestUploads:
    @pytest.fixture
    def url(self) -> str:
        return f"memory://{uuid4().hex}"

    def test_what_is_handed_over_is_there_at_the_end(self, storage: RunStorage, tmp_path: Path) -> None:
        made = attempt(tmp_path / "a")
        with uploads(storage, made, 1) as upload:
            for step in range(1, 6):
                upload(checkpoint(made.checkpoints, step))
        assert storage.fetch_checkpoint(tmp_path / "b", newer_than=-1) == 5
        assert storage.fetch_log(tmp_path / "log", 1)

    def test_a_storage_that_fails_is_warned_of_and_training_goes_on(
        self, storage: RunStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        made, failing = attempt(tmp_path / "a"), Failing(monkeypatch, times=1)
        with uploads(storage, made, 1) as upload:
            upload(checkpoint(made.checkpoints, 1))
            wait_until(lambda: failing.left == 0)
            wait_until(lambda: "on this machine only" in caplog.text)
            assert storage.fetch_checkpoint(tmp_path / "b", newer_than=-1) is None
            upload(checkpoint(made.checkpoints, 2))
        assert storage.fetch_checkpoint(tmp_path / "b", newer_than=-1) == 2
        storage.clear_checkpoints()
        assert not [name for name in storage._files.find(storage._root) if "partial" in name]

    def test_a_checkpoint_that_made_room_is_left_out(self, storage: RunStorage, tmp_path: Path) -> None:
        made = attempt(tmp_path / "a")
        with uploads(storage, made, 1) as upload:
            upload(made.checkpoints / "step-00000001.0000000000000000.safetensors")
        assert storage.fetch_checkpoint(tmp_path / "b", newer_than=-1) is None

    def test_results_are_insisted_on(
        self, storage: RunStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(patience, "AGAIN_S", 0.0)
        Failing(monkeypatch, times=3)
        share_results(storage, attempt(tmp_path / "a"), 1)
        assert storage.fetch(Attempt(tmp_path / "b").weights, 1)

    def test_nothing_happens_without_a_storage(self, tmp_path: Path) -> None:
        with uploads(None, Attempt(tmp_path), 1) as upload:
            upload(tmp_path / "nothing")


class TestOnDemand:
    def test_pages_fetch_what_another_machine_made(self, settings: Settings, own_home: Path, tmp_path: Path) -> None:
        store = a_store(own_home)
        store.submit_study(study(1))
        assert store.claim("there") is not None
        job = store.job(1)
        storage = storage_of(settings, RUN)
        assert storage is not None
        share_results(storage, attempt(tmp_path / "there"), job.claims)
        assert queue_log(settings, job, 1) == "two"
        assert finished_attempt(settings, job).predictions.read_bytes() == b"predictions"
        assert finished_attempt(settings, job).weights.read_bytes() == b"weights"

    def test_a_log_that_lies_here_is_not_replaced(self, settings: Settings, own_home: Path, tmp_path: Path) -> None:
        store = a_store(own_home)
        store.submit_study(study(1))
        store.claim("here")
        log = run_folder(settings, RUN).attempt(1).log
        log.parent.mkdir(parents=True)
        log.write_text("mine\n")
        RunStorage(str(settings.storage), RUN).keep_log(attempt(tmp_path / "there").log, 1)
        assert queue_log(settings, store.job(1)) == "mine"

    def test_a_storage_that_is_away_does_not_hide_the_page(self, settings: Settings, own_home: Path) -> None:
        store = a_store(own_home)
        store.submit_study(study(1))
        assert "NOISEDASH_STORAGE" in queue_log(replace(settings, storage="nosuch://x"), store.job(1))
        assert queue_log(replace(settings, storage=None), store.job(1)) == ""


class TestTrainer:
    def test_another_machine_goes_on_from_the_storage_and_a_third_shows_the_results(
        self, own_home: Path, tmp_path: Path
    ) -> None:
        settings = replace(current_settings(), storage=f"{tmp_path}/shared")
        store = a_store(own_home)
        run = spec_of(register(settings), steps=120)
        submit(store, run)
        shared = RunStorage(str(settings.storage), run.id)
        train_in_process(store, settings, should_stop=lambda: shared._checkpoints("attempt-1") != [])
        assert (store.job(1).state, store.job(1).attempts) == (JobState.QUEUED, 0)
        shutil.rmtree(settings.runs)
        second = train_in_process(store, settings)
        job = store.job(1)
        assert job.state is JobState.DONE, queue_log(settings, job)
        assert first_step(second) > 0
        made = second.predictions.read_bytes()
        shutil.rmtree(settings.runs)
        assert finished_attempt(settings, job).predictions.read_bytes() == made
        assert finished_attempt(settings, job).weights.is_file()
        assert "Training goes from step" in queue_log(settings, job)
        assert shared._checkpoints("attempt-*") == []
