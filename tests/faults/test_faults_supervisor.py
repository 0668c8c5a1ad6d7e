"""A supervisor that is stopped past its lease and goes on: there are never two writers, and one end."""

import os
import random
import signal
import time
from pathlib import Path

import pytest
from faults_audit import Audit
from faults_tools import PATIENCE_S, Farm, checkpoint_of, counting_study, times
from jobs_tools import wait_until

from noisedash.errors import StoreError
from noisedash.jobs.runfolder import run_folder
from noisedash.jobs.store import Store
from noisedash.records import JobState
from noisedash.settings import Settings

LEASE_S = 2.0


@pytest.mark.parametrize("trainer_too", [False, True], ids=["trainer runs on", "trainer stopped too"])
def test_a_stopped_supervisor_that_goes_on_never_makes_two_writers(
    settings: Settings, store: Store, audit: Audit, farm: Farm, tmp_path: Path, trainer_too: bool
) -> None:
    rng = random.Random(7)
    for number in range(times(5, 1)):
        store.submit_study(counting_study(1, name=f"study {number}", first=number))
        other = second_machine(settings, tmp_path / f"machine-{number}")
        job_id = store.jobs(f"study {number}")[0].id
        stop_and_continue(settings, store, farm, other, job_id, trainer_too, rng)
        audit.check_each_done_once([store.job(job_id).run_id])
        check_own_folders(settings, store.job(job_id).run_id, claims=2)


def stop_and_continue(
    settings: Settings, store: Store, farm: Farm, other: Path, job_id: int, trainer_too: bool, rng: random.Random
) -> None:
    """Stop a supervisor, wait until another has its job, and let it go on while the other's trainer writes."""
    with farm.worker(slots=1, lease_s=LEASE_S, pace_s=0.1) as first:
        wait_until(lambda: checkpoint_of(settings, store.job(job_id).run_id, 1) > 0, PATIENCE_S)
        time.sleep(rng.uniform(0, 0.5))
        stopped = [first.pid, *(process.pid for process in farm.trainers() if trainer_too)]
        stop_between_transactions(settings, stopped)
        with farm.worker(slots=1, lease_s=LEASE_S, pace_s=0.1, home=other):
            wait_until(lambda: store.job(job_id).claims == 2, PATIENCE_S)
            time.sleep(rng.uniform(0, 1.0))
            send(stopped, signal.SIGCONT)
            wait_until(lambda: store.job(job_id).state is JobState.DONE, PATIENCE_S)


def second_machine(settings: Settings, home: Path) -> Path:
    """The home of another machine with the same runs: one worker is allowed on each."""
    home.mkdir()
    settings.runs.mkdir(exist_ok=True)
    (home / "runs").symlink_to(settings.runs)
    return home


def stop_between_transactions(settings: Settings, pids: list[int]) -> None:
    """Stop processes where none of them holds SQLite's one write lock: nobody could take the job until they go on."""
    store = Store(settings.database_url, busy_timeout_s=0.5)
    while True:
        send(pids, signal.SIGSTOP)
        try:
            store.forget_worker("nobody")
        except StoreError:
            send(pids, signal.SIGCONT)
            time.sleep(0.1)
        else:
            store.close()
            return


def send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, number)


def check_own_folders(settings: Settings, run_id: str, claims: int) -> None:
    """Each trainer wrote into a folder that no other wrote into."""
    writers = []
    for claim in range(1, claims + 1):
        lines = (run_folder(settings, run_id).attempt(claim).path / "written.txt").read_text().splitlines()
        writers.append({line.split()[0] for line in lines})
    assert all(len(pids) == 1 for pids in writers), writers
    assert len(set.union(*writers)) == claims, writers
