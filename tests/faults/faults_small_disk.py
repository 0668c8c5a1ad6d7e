"""What happens when a disk is full: run by test_faults_disk.py in a mount namespace that has a small disk."""

import errno
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults_audit import Audit
from faults_hunt import Ground
from faults_tools import PATIENCE_S, Farm, counting_study, wait_for_states
from jobs_tools import wait_until

from noisedash.errors import StoreError
from noisedash.jobs.store import Store
from noisedash.records import JobState
from noisedash.settings import Settings


class SmallDisk:
    """A disk that can be filled to the last byte, and emptied again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self) -> None:
        with self._ballast.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                self._write_until_full(file.fileno(), bytes(size))

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)

    def _write_until_full(self, descriptor: int, chunk: bytes) -> None:
        while True:
            try:
                os.write(descriptor, chunk)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                return


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    disk = SmallDisk(Path(os.environ["NOISEDASH_SMALL_DISK"]))
    yield disk
    disk.free()


def test_a_run_whose_disk_is_full_says_so_and_goes_on_when_there_is_space(disk: SmallDisk, tmp_path: Path) -> None:
    """It spends no attempt, and goes on from a checkpoint that was written before."""
    ground = Ground(disk.path / "home", 300, database=tmp_path / "noisedash.db")
    with ground.trains(checkpoint_s=0.05):
        ground.prey(1)
        wait_until(lambda: len(ground.checkpoints()) > 0, PATIENCE_S)
        disk.fill()
        wait_until(lambda: ground.store.job(1).reason != "", PATIENCE_S)
        assert re.search(r"full: free some of it|free some of the disk", ground.store.job(1).reason)
        assert ground.store.job(1).attempts <= 1
        disk.free()
        wait_for_states(ground.store, JobState.DONE, 1)
        assert ground.store.job(1).attempts == 1
    steps = [int(step) for step in re.findall(r"Training goes from step (\d+)", ground.logs())]
    assert min(steps) == 0 < max(steps)


def test_a_database_whose_disk_is_full_loses_nothing(disk: SmallDisk, own_home: Path) -> None:
    settings = Settings(own_home, f"sqlite:///{disk.path / 'noisedash.db'}")
    farm, store = Farm(settings), Store(settings.database_url)
    audit = Audit(settings.database_url)
    large = counting_study(2000, name="large", first=100, steps=1)
    try:
        store.submit_study(counting_study(4, steps=20))
        with farm.worker(slots=2, pace_s=0.05):
            wait_for_states(store, JobState.RUNNING, 2)
            disk.fill()
            with pytest.raises(StoreError, match="the disk is full; free some space, and work goes on"):
                store.submit_study(large, nonce="large")
            wait_until(lambda: "disk is full" in logs(settings), PATIENCE_S)
            time.sleep(2.0)  # both trainers have come to their end by then, on an idle machine
            disk.free()
            wait_for_states(store, JobState.DONE, 4)
            assert store.cancel_study(store.submit_study(large, nonce="large").study_name) >= 1990
        audit.check_intact()
        audit.check_each_done_once([job.run_id for job in store.jobs("study")])
        assert all(job.attempts == 1 for job in store.jobs("study"))
        assert sum(store.counts().values()) == 4 + 2000
        assert farm.processes() == []
    finally:
        farm.kill_everything()
        audit.close()
        store.close()


def logs(settings: Settings) -> str:
    """What the trainers have said."""
    return "".join(path.read_text() for path in settings.runs.glob("*/attempt-*/log.txt"))
