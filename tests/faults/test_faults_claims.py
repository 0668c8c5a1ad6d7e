"""Many jobs and several workers at once: each job is handed out once."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from faults_tools import FULL, Farm, counting_study, times

from noisedash.jobs.store import Store
from noisedash.records import JobState
from noisedash.settings import Settings

CLAIMER = Path(__file__).parent / "faults_claimer.py"
PROCESSES = 4
PROMISED_PER_S = 100


def test_four_processes_claim_each_job_once(
    settings: Settings, store: Store, farm: Farm, capsys: pytest.CaptureFixture[str]
) -> None:
    count = times(10_000, 1_000)
    store.submit_study(counting_study(count))
    start = time.monotonic()
    claimers = [
        subprocess.Popen(
            [sys.executable, str(CLAIMER), f"claimer {number}"],
            env=farm.environment(settings.home),
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    printed = [claimer.communicate()[0].split("\n")[:-1] for claimer in claimers]
    per_s = count / (time.monotonic() - start)
    with capsys.disabled():
        sys.stdout.write(f"\n{per_s:.0f} jobs claimed and finished a second by {PROCESSES} processes\n")
    assert [claimer.returncode for claimer in claimers] == [0] * PROCESSES
    assert all(printed), "a process was given nothing"
    ids = [int(line) for lines in printed for line in lines]
    assert sorted(ids) == list(range(1, count + 1))
    assert store.counts()[JobState.DONE] == count
    jobs = store.jobs()
    assert {(job.attempts, job.claims) for job in jobs} == {(1, 1)}
    assert not FULL or per_s >= PROMISED_PER_S
