"""PostgreSQL restarted under load, connections cut, answers to COMMIT lost: nothing is lost, doubled or done twice."""

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from faults_audit import Audit
from faults_proxy import LossyProxy
from faults_tools import PATIENCE_S, Farm, counting_study, times, wait_for_states
from jobs_tools import wait_until
from postgres_server import PostgresServer
from sqlalchemy import make_url

from noisedash.errors import StoreError
from noisedash.jobs.protocol import Submission
from noisedash.jobs.store import Store
from noisedash.records import JobState
from noisedash.settings import Settings

LEASE_S = 3.0
JOBS_PER_STUDY = 3
STUDIES = times(20, 6)
T = TypeVar("T")


@pytest.fixture(scope="module")
def durable() -> Iterator[PostgresServer]:
    """A server that answers a commit when it is on the disk, as in production."""
    with PostgresServer(fsync=True) as server:
        yield server


@pytest.mark.parametrize("immediate", [False, True], ids=["fast", "immediate"])
def test_restarted_under_load(durable: PostgresServer, own_home: Path, immediate: bool) -> None:
    rng = random.Random(5)
    url = durable.new_database()
    with under_load(own_home, url) as (store, submitted):
        for _ in range(times(5, 2)):
            wait_until(lambda: persistently(store.counts)[JobState.RUNNING] > 0 or submitted(), PATIENCE_S)
            time.sleep(rng.uniform(0, 0.5))
            durable.restart(immediate)


def test_connections_cut_again_and_again(durable: PostgresServer, own_home: Path) -> None:
    rng = random.Random(6)
    cut = 0
    with under_load(own_home, durable.new_database()) as (_, submitted):
        while not submitted() or cut < times(100, 20):
            cut += durable.cut_connections()
            time.sleep(rng.uniform(0.02, 0.3))


def test_commits_and_their_answers_lost(durable: PostgresServer, own_home: Path) -> None:
    """Of what the worker and its trainers commit, a little; of the submissions, most."""
    url = durable.new_database()
    little = LossyProxy(durable.port, loss=0.05, seed=8)
    most = LossyProxy(durable.port, loss=0.6, seed=9, answered=0.8)
    with little, most, under_load(own_home, url, at_port(url, little.port), at_port(url, most.port)) as (_, submitted):
        wait_until(submitted, PATIENCE_S)
        wait_until(lambda: min(little.commits_lost, little.answers_lost) >= times(10, 3), PATIENCE_S)
    assert most.answers_lost > 0


def at_port(url: str, port: int) -> str:
    return make_url(url).set(port=port).render_as_string(hide_password=False)


@contextmanager
def under_load(
    home: Path, url: str, work_url: str | None = None, submit_url: str | None = None
) -> Iterator[tuple[Store, Callable[[], bool]]]:
    """Studies that are submitted, and a worker that does their jobs; whatever happens in the block, each is done once.

    Gives a store, and whether all is submitted. `work_url` and `submit_url` are other ways to the same database.
    """
    farm = Farm(Settings(home, work_url or url))
    store = Store(url)
    audit = Audit(url)
    try:
        with farm.worker(slots=3, lease_s=LEASE_S, pace_s=0.02), ThreadPoolExecutor(1) as pool:
            wait_until(lambda: len(persistently(store.workers)) == 1, PATIENCE_S)
            future = pool.submit(submit_all, submit_url or url)
            yield store, future.done
            answers = future.result()
            wait_for_states(store, JobState.DONE, STUDIES * JOBS_PER_STUDY)
        assert farm.processes() == []
        check_submissions(store, answers)
        audit.check_each_done_once([job.run_id for job in store.jobs()])
        audit.check_intact()
    finally:
        store.close()
        audit.close()
        farm.kill_everything()


def submit_all(url: str) -> list[Submission]:
    """Submit the studies as a form does: with a nonce, and again until there is an answer."""
    store = persistently(lambda: Store(url))
    answers = []
    for number in range(STUDIES):
        study = counting_study(JOBS_PER_STUDY, steps=20, name=f"study {number}", first=number * JOBS_PER_STUDY)
        answers.append(persistently(lambda study=study: store.submit_study(study, nonce=f"nonce of {study.name}")))
        time.sleep(0.1)
    store.close()
    return answers


def persistently(call: Callable[[], T]) -> T:
    """What the call gives once the database answers."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return call()
        except StoreError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def check_submissions(store: Store, answers: list[Submission]) -> None:
    """Each study was submitted once, under its name, and each of its runs is one job."""
    names = [f"study {number}" for number in range(STUDIES)]
    assert answers == [Submission(name, JOBS_PER_STUDY, 0, 0) for name in names]
    assert sorted(study.name for study in store.studies()) == sorted(names)
    assert sum(store.counts().values()) == STUDIES * JOBS_PER_STUDY
