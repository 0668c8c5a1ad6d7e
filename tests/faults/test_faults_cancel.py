"""Cancelling what does not want to end, and cancelling while the app or the worker is down."""

import subprocess
import sys

from faults_audit import Audit
from faults_tools import PATIENCE_S, Farm, checkpoint_of, counting_study, times, wait_for_states
from jobs_tools import wait_until

from noisedash.jobs.store import Store
from noisedash.records import JobState
from noisedash.settings import Settings

PROMISED_S = 5.0
LEASE_S = 3.0
ENDS_WITH_WORKER_S = 5.0
"""The kernel ends a trainer in the moment of its worker's death; a stale lease would do so later."""


def test_a_stubborn_trainer_and_all_that_it_started_are_gone_in_5_s_and_the_next_job_runs(
    settings: Settings, store: Store, audit: Audit, farm: Farm
) -> None:
    """No app runs: the wish goes through the database alone."""
    for number in range(times(5, 1)):
        cancel_a_stubborn_one(settings, store, farm, number)
    audit.check_each_done_once([job.run_id for job in store.jobs() if job.id != 1])


def cancel_a_stubborn_one(settings: Settings, store: Store, farm: Farm, number: int) -> None:
    with farm.worker("trap", slots=1) as worker:
        if number:
            store.retry(1)
        store.submit_study(counting_study(1 if number else 2, steps=5, name=f"study {number}", first=2 * number))
        wait_for_stubborn(settings)
        stubborn = {process for process in farm.processes() if process.pid != worker.pid}
        store.request_cancel(1)
        took = wait_until(lambda: stubborn.isdisjoint(farm.processes()), PATIENCE_S)
        assert took < PROMISED_S
        wait_for_states(store, JobState.DONE, 1 + number)
    assert store.job(1).state is JobState.CANCELLED


def test_cancelled_on_the_command_line_while_the_worker_is_down(
    settings: Settings, store: Store, audit: Audit, farm: Farm
) -> None:
    """A queued job is cancelled at once; one whose worker was killed when its lease is over: it never runs again."""
    store.submit_study(counting_study(3))
    with farm.worker(slots=1, lease_s=LEASE_S, pace_s=1.0) as worker:
        wait_until(lambda: checkpoint_of(settings, store.job(1).run_id, 1) > 0, PATIENCE_S)
        worker.kill()
        worker.wait()
    wait_until(lambda: farm.processes() == [], ENDS_WITH_WORKER_S)
    for job_id in (1, 2):
        command = [sys.executable, "-m", "noisedash", "queue", "cancel", str(job_id)]
        subprocess.run(command, env=farm.environment(settings.home), check=True, capture_output=True)
    assert store.job(2).state is JobState.CANCELLED
    with farm.worker(slots=1, lease_s=LEASE_S):
        wait_for_states(store, JobState.DONE, 1)
        wait_for_states(store, JobState.CANCELLED, 2)
    assert [entry.token for entry in audit.claims()] == [1, 1]
    audit.check_each_done_once([store.job(3).run_id])


def wait_for_stubborn(settings: Settings) -> None:
    """Wait until the trainer's child and grandchildren ignore what they are told."""
    paths = [settings.home / name for name in ("child", "grandchild", "orphan")]
    wait_until(lambda: all(path.exists() for path in paths), PATIENCE_S)
    for path in paths:
        path.unlink()
