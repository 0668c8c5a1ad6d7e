"""Worker, supervisors, trainers and web app killed at once, and PostgreSQL too: nothing lives on, nothing is lost."""

import os
import random
import signal
import socket
import subprocess
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest
from faults_audit import Audit
from faults_tools import PATIENCE_S, Farm, checkpoint_of, counting_study, namespace, times
from jobs_tools import wait_until
from postgres_server import PostgresServer

from noisedash.jobs.runfolder import run_folder
from noisedash.jobs.store import Store
from noisedash.records import JobState
from noisedash.settings import Settings, current_settings

LEASE_S = 3.0
PROMISED_S = LEASE_S + 5.0
JOBS = 4
SLOW_S = 1.0
"""Seconds a step, so that no trainer is done before it is killed."""


def test_everything_killed_at_once(settings: Settings, store: Store, audit: Audit, farm: Farm) -> None:
    """None survives, the database is intact, each job goes on within a lease and 5 seconds, none is lost or redone."""
    rng = random.Random(11)
    for number in range(times(3, 1)):
        name = f"study {number}"
        port = free_port()
        with farm.worker(slots=JOBS, lease_s=LEASE_S, pace_s=SLOW_S, web_port=port, sealed=True) as machine:
            wait_until(lambda port=port: answers(port), PATIENCE_S)
            store.submit_study(counting_study(JOBS, name=name, first=number * JOBS))
            wait_until(lambda name=name: all_have_checkpoints(settings, store, name), PATIENCE_S)
            time.sleep(rng.uniform(0, 0.5))
            assert len(farm.trainers()) == JOBS
            kill_at_once(farm, machine)
        check_everything_goes_on(settings, store, audit, farm, name)


def test_everything_and_the_database_server_killed_at_once(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As above, with a server that brings commits to the disk, killed in the same moment."""
    with PostgresServer(fsync=True) as server:
        monkeypatch.setenv("NOISEDASH_DB", server.new_database())
        settings = current_settings()
        store, farm = Store(settings.database_url), Farm(settings)
        audit = Audit(settings.database_url)
        try:
            store.submit_study(counting_study(JOBS))
            with farm.worker(slots=JOBS, lease_s=LEASE_S, pace_s=SLOW_S, sealed=True) as machine:
                wait_until(lambda: all_have_checkpoints(settings, store, "study"), PATIENCE_S)
                for pid in server.pids:
                    os.kill(pid, signal.SIGKILL)
                kill_at_once(farm, machine)
            server.pause()
            server.resume()
            check_everything_goes_on(settings, store, audit, farm, "study")
        finally:
            store.close()
            audit.close()
            farm.kill_everything()


def kill_at_once(farm: Farm, machine: "subprocess.Popen[bytes]") -> None:
    """End the namespace by its first process, and with it all that is in there; without one, kill each process."""
    if namespace():
        machine.kill()
        machine.wait()
    else:
        farm.kill_everything()
        machine.wait()
    wait_until(lambda: farm.processes() == [], PATIENCE_S)


def check_everything_goes_on(settings: Settings, store: Store, audit: Audit, farm: Farm, study: str) -> None:
    audit.check_intact()
    interrupted = {job.run_id: job.claims for job in store.jobs(study, [JobState.RUNNING])}
    kept = {run_id: checkpoint_of(settings, run_id, claim) for run_id, claim in interrupted.items()}
    assert interrupted
    with farm.worker(slots=JOBS, lease_s=LEASE_S):
        ready = farm.ready_at()
        wait_until(lambda: len(store.jobs(study, [JobState.DONE])) == JOBS, PATIENCE_S)
    for claim in audit.claims():
        if interrupted.get(claim.run_id) == claim.token - 1:
            assert claim.at - ready < PROMISED_S, claim
    audit.check_each_done_once([job.run_id for job in store.jobs(study)])
    for run_id, claims in interrupted.items():
        written = run_folder(settings, run_id).attempt(claims + 1).path / "written.txt"
        assert int(written.read_text().split()[1]) == kept[run_id] + 1, "it did not go on from its checkpoint"
        assert store.job_of_run(run_id).claims == claims + 1


def all_have_checkpoints(settings: Settings, store: Store, study: str) -> bool:
    return all(checkpoint_of(settings, job.run_id, job.claims) > 0 for job in store.jobs(study))


def answers(port: int) -> bool:
    """Whether the web app serves."""
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5) as response:
        return bool(response.status == 200)
    return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
