"""Ray under the queue: a Ray worker, a raylet and the head's GCS are killed, and nothing is lost or done twice."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from faults_audit import Audit
from faults_tools import Farm, counting_study, end, times, wait_for_states
from jobs_tools import wait_until

from noisedash.jobs.protocol import WorkerKind
from noisedash.jobs.ray_access import make_token
from noisedash.jobs.runfolder import run_folder
from noisedash.jobs.store import Store
from noisedash.records import JobRecord, JobState
from noisedash.settings import Settings

LEASE_S = 8.0
STEPS = 25
STEP_S = 0.2
CPUS = 2
"""Of each of the two nodes: four jobs run at a time."""
SLOW_S = 180.0
"""A head that died takes a while to be back, on a machine that does other things too."""
TRAINER = Path(__file__).parent / "faults_trainer.py"
DISPATCH = """
import logging, sys
from noisedash.jobs.ray_options import RayOptions
from noisedash.jobs.ray_placer import run_ray_worker
from noisedash.settings import current_settings
logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
run_ray_worker(current_settings(), RayOptions(sys.argv[1], lease_s=float(sys.argv[2]), trainer=tuple(sys.argv[3:])))
"""


class RayFarm:
    """A cluster of two nodes on loopback and a dispatcher, each of their processes marked as the farm's."""

    def __init__(self, farm: Farm) -> None:
        self._farm = farm
        self._port = free_port()
        self.head_address = f"127.0.0.2:{self._port}"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Head, node and dispatcher; each keeps itself alive, and ends what it started when it is asked to end."""
        make_token(self._farm.settings)
        with tempfile.TemporaryDirectory(prefix="nd-", ignore_cleanup_errors=True) as folder, ExitStack() as stack:
            self._folder = folder  # short: the names of Ray's sockets are not
            head = ["--head", "--host", "127.0.0.2", "--port", str(self._port)]
            node = ["--join", self.head_address, "--host", "127.0.0.3"]
            for number, words in enumerate((head, node)):
                command = [sys.executable, "-m", "noisedash", "cluster", "start", "--cpus", str(CPUS), "--gpus", "0"]
                stack.enter_context(self._process([*command, *words], f"node-{number}.log"))
            trainer = [sys.executable, str(TRAINER), "{job}", "{token}", "count", str(STEP_S)]
            command = [sys.executable, "-c", DISPATCH, self.head_address, str(LEASE_S), *trainer]
            stack.enter_context(self._process(command, "dispatcher.log"))
            yield

    def raylets(self) -> list[psutil.Process]:
        return self._named("raylet")

    def gcs(self) -> list[psutil.Process]:
        return self._named("gcs_server")

    def ray_workers_that_train(self) -> list[psutil.Process]:
        """Ray's worker processes that look after a trainer."""
        found = []
        for trainer in self._farm.trainers():
            with suppress(psutil.NoSuchProcess):
                found.append(trainer.parent())
        return [process for process in found if process is not None]

    def _named(self, name: str) -> list[psutil.Process]:
        return [process for process in self._farm.processes() if _executable(process) == name]

    @contextmanager
    def _process(self, command: list[str], log_name: str) -> Iterator[None]:
        home = self._farm.settings.home
        environment = {**self._farm.environment(home), "TMPDIR": self._folder}
        with (home / log_name).open("ab") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            yield
        finally:
            end(process)


@pytest.fixture
def ray_farm(farm: Farm) -> RayFarm:
    return RayFarm(farm)


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
def test_ray_killed_in_every_part(
    settings: Settings, store: Store, audit: Audit, farm: Farm, ray_farm: RayFarm
) -> None:
    """20 jobs, a Ray worker, a raylet and the head's GCS killed: all done exactly once, from their checkpoints."""
    jobs = times(20, 8)
    with ray_farm.running():
        store.submit_study(counting_study(jobs, STEPS))
        for victims in (ray_farm.ray_workers_that_train, ray_farm.raylets, ray_farm.gcs):
            wait_until(lambda: trains_with_progress(settings, store), SLOW_S)
            before = {job.run_id for job in running(store)}
            kill_one(victims)
            wait_until(lambda before=before: len(done(store, before)) == len(before), SLOW_S)
        wait_for_states(store, JobState.DONE, jobs)
        nodes = [worker for worker in store.workers() if worker.kind is WorkerKind.NODE]
        assert {worker.slots for worker in nodes} == {CPUS}
    runs = [job.run_id for job in store.jobs()]
    audit.check_each_done_once(runs)
    audit.check_intact()
    check_resumed(settings, store)
    assert all(job.place.endswith("(ray)") for job in store.jobs())


def kill_one(victims: Callable[[], list[psutil.Process]]) -> None:
    """SIGKILL to one of them, without a warning."""
    wait_until(lambda: victims() != [], SLOW_S)
    victims()[-1].send_signal(signal.SIGKILL)


def running(store: Store) -> list[JobRecord]:
    return store.jobs(states=[JobState.RUNNING])


def done(store: Store, run_ids: set[str]) -> set[str]:
    return {job.run_id for job in store.jobs(states=[JobState.DONE])} & run_ids


def trains_with_progress(settings: Settings, store: Store) -> bool:
    """Whether some job runs that has a checkpoint, or none is left to run."""
    counts = store.counts()
    if not counts[JobState.RUNNING] and not counts[JobState.QUEUED]:
        return True
    return any(
        (run_folder(settings, job.run_id).attempt(job.claims).path / "checkpoint").exists() for job in running(store)
    )


def check_resumed(settings: Settings, store: Store) -> None:
    """Each claim went on after the step that the claims before it had kept, and together they made every step once."""
    again = 0
    for job in store.jobs():
        steps: list[int] = []
        for claim in range(1, job.claims + 1):
            written = run_folder(settings, job.run_id).attempt(claim).path / "written.txt"
            lines = written.read_text().splitlines() if written.exists() else []
            steps += [int(line.split()[1]) for line in lines]
        again += job.claims > 1
        assert steps == sorted(set(steps)), (job.run_id, steps)
        assert len(steps) >= STEPS - (job.claims - 1), (job.run_id, steps)
    assert again, "no job was hit"


def free_port() -> int:
    """A port above those that Ray gives its workers."""
    for port in range(26_000 + os.getpid() % 4_000, 32_000):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.2", port))
            return port
    raise AssertionError("no port is free")


def _executable(process: psutil.Process) -> str:
    try:
        return Path(process.cmdline()[0]).name
    except (psutil.Error, IndexError):
        return ""
