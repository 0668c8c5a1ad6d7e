"""A real Ray cluster of one node, bound to loopback: jobs run on it, come back from it, and nothing stays."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from jobs_tools import FAKE_TRAINER, a_store, spec, study, wait_until

from noisedash.jobs.protocol import WorkerKind
from noisedash.jobs.ray_access import Answer, ask
from noisedash.jobs.store import Store
from noisedash.records import JobState
from noisedash.settings import Settings, current_settings
from noisedash.spec import TrainingSpec
from noisedash.studies.study import Study

PATIENCE_S = 120.0
MARK = "NOISEDASH_RAY_TEST"
DISPATCH = """
import sys
from noisedash.jobs.ray_options import RayOptions
from noisedash.jobs.ray_placer import run_ray_worker
from noisedash.settings import current_settings
options = RayOptions(sys.argv[1], cpus_per_job=0.5, gpus_per_job=0.5, trainer=tuple(sys.argv[2:]))
run_ray_worker(current_settings(), options)
"""


@pytest.fixture
def settings(own_home: Path) -> Settings:
    return current_settings()


@pytest.fixture
def store(settings: Settings) -> Store:
    return a_store(settings.home)


@contextmanager
def process(settings: Settings, *command: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A process of this Python that is asked to end afterwards, and must obey."""
    environment = {**os.environ, MARK: str(settings.home)}
    started = subprocess.Popen([sys.executable, *command], env=environment, start_new_session=True)
    try:
        yield started
    finally:
        if started.poll() is None:
            started.send_signal(signal.SIGINT)
        assert started.wait(PATIENCE_S) == 0


def processes(settings: Settings) -> list[str]:
    """The processes that this test started, directly or not."""
    found = []
    for one in psutil.process_iter():
        try:
            if one.environ().get(MARK) == str(settings.home) and one.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(one.cmdline()))
        except psutil.Error:
            continue
    return found


def test_jobs_run_on_a_real_cluster_and_come_back_from_it(store: Store, settings: Settings) -> None:
    port = 24_000 + os.getpid() % 6_000
    address = f"127.0.0.1:{port}"
    head = ["-m", "noisedash", "cluster", "start", "--head", "--port", str(port), "--cpus", "2", "--gpus", "1"]
    trainer = [sys.executable, str(FAKE_TRAINER), "{job}", "{token}", "count"]
    with process(settings, *head) as node:
        wait_until((settings.home / "ray-token").exists, PATIENCE_S)
        wait_until(lambda: ask(address, settings) is Answer.GUARDED, PATIENCE_S)
        assert all_on_loopback(node.pid)
        stranger = replace(settings, home=settings.home / "stranger")
        stranger.home.mkdir()
        (stranger.home / "ray-token").touch(0o600)
        (stranger.home / "ray-token").write_text("0" * 64)
        assert ask(address, stranger) is Answer.REFUSED
        with process(settings, "-c", DISPATCH, address, *trainer):
            store.submit_study(study(1, 2))
            wait_until(lambda: store.counts()[JobState.DONE] == 2, PATIENCE_S)
            check_places(store)
            endless = spec(3).model_copy(update={"training": TrainingSpec(steps=100_000, batch_size=1)})
            store.submit_study(Study("endless", "", "", "dataset", (endless,)))
            wait_until(lambda: store.job(3).progress is not None, PATIENCE_S)
        assert (store.job(3).state, store.job(3).attempts) == (JobState.QUEUED, 0), "it was given back"
        assert store.workers() == []
    wait_until(lambda: processes(settings) == [], PATIENCE_S)


def check_places(store: Store) -> None:
    for job in store.jobs():
        assert job.place == f"{os.uname().nodename}: gpu 0 (ray)"
        assert job.attempts == 1
    kinds = {worker.kind: worker for worker in store.workers()}
    assert kinds[WorkerKind.NODE].resources == "2 CPUs, 1 GPU"
    assert kinds[WorkerKind.NODE].slots == 2
    assert kinds[WorkerKind.DISPATCHER].resources.endswith("1 node")


def all_on_loopback(pid: int) -> bool:
    """Whether whatever the process and its children listen on is not to be reached from outside."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    listening = [link.laddr.ip for one in family for link in one.net_connections("inet") if link.status == "LISTEN"]
    return bool(listening) and all(ip.removeprefix("::ffff:").startswith("127.") for ip in listening)
