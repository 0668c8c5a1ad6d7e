"""Supervisor and worker with real processes: killed, cancelled, stopped, interrupted."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from jobs_tools import Clock, a_store, end_worker, fake_command, is_alive, start_worker, study, wait_until

from noisedash.errors import QueueError, StoreError
from noisedash.jobs import supervisor
from noisedash.jobs.processes import describe_exit
from noisedash.jobs.protocol import Claim, TrainerExit
from noisedash.jobs.runfolder import newest_attempt, queue_log, run_folder, tail
from noisedash.jobs.slots import Slot, cpu_cores, share_out, slots_of_machine, visible_gpus
from noisedash.jobs.store import Store
from noisedash.jobs.supervisor import supervise
from noisedash.jobs.worker import Worker, only_worker
from noisedash.records import JobRecord, JobState
from noisedash.settings import Settings, current_settings

ON_BOTH_DATABASES = pytest.mark.usefixtures("database")
SLOT = Slot("cpu 1", None, 1)


@pytest.fixture
def settings(own_home: Path) -> Settings:
    return current_settings()


@pytest.fixture
def store(settings: Settings) -> Store:
    return a_store(settings.database_url)


def claimed(store: Store) -> Claim:
    claim = store.claim("here")
    assert claim is not None
    return claim


def in_state(store: Store, *states: JobState) -> Callable[[], bool]:
    return lambda: store.job(1).state in states


def trained_steps(settings: Settings, job: JobRecord) -> list[tuple[int, int]]:
    """(token, step) in the order in which the fake trainers of a run counted."""
    text = (run_folder(settings, job.run_id).path / "steps.txt").read_text()
    return [(int(line.split()[0]), int(line.split()[1])) for line in text.splitlines()]


def pids_of(settings: Settings, job: JobRecord) -> list[int]:
    """Process ids of a deaf trainer, its child, and its child that left the group, once they run."""
    path = newest_attempt(settings, job).path / "pids"
    wait_until(path.exists)
    return [int(pid) for pid in path.read_text().split()]


def trainer_of(worker_pid: int) -> int:
    """The process id of the worker's trainer, once it has begun."""
    children: list[psutil.Process] = []

    def found() -> bool:
        children[:] = psutil.Process(worker_pid).children()
        return bool(children)

    wait_until(found)
    return children[0].pid


@contextmanager
def running_worker(
    settings: Settings, mode: str, slots: int = 1, lease_s: float = 20.0
) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker that is ended afterwards, unless the test has ended it."""
    worker = start_worker(settings, mode, slots, lease_s)
    try:
        yield worker
    finally:
        if worker.poll() is None:
            worker.send_signal(signal.SIGCONT)
            end_worker(worker)


class TestSupervise:
    def test_a_trainer_that_finishes(self, store: Store, settings: Settings) -> None:
        store.submit_study(study(1))
        supervise(store, claimed(store), settings, SLOT, command=fake_command("count"))
        job = store.job(1)
        assert (job.state, job.reason) == (JobState.DONE, "")
        assert trained_steps(settings, job) == [(1, step) for step in range(1, 41)]

    def test_a_trainer_that_crashes_says_why_and_is_tried_again(self, store: Store, settings: Settings) -> None:
        store.submit_study(study(1))
        for attempt in (1, 2, 3):
            supervise(store, claimed(store), settings, SLOT, command=fake_command("crash"))
            job = store.job(1)
            assert job.reason == (
                "The trainer ended with exit code 1 before its run was finished; "
                f"the last line of its log: It cannot go on. (attempt {attempt} of 3)."
            )
            assert queue_log(settings, job) == "It cannot go on."
        assert job.state is JobState.FAILED

    def test_a_trainer_that_cannot_be_started_spends_no_attempt(self, store: Store, settings: Settings) -> None:
        store.submit_study(study(1))
        with pytest.raises(OSError, match="nowhere"):
            supervise(store, claimed(store), settings, SLOT, command=lambda claim: ["/nowhere"])
        job = store.job(1)
        assert (job.state, job.attempts) == (JobState.QUEUED, 0)
        assert "could not be started" in job.reason

    def test_threads_and_gpu_are_set_before_the_trainer_starts(self, store: Store, settings: Settings) -> None:
        store.submit_study(study(1))

        def command(claim: Claim) -> list[str]:
            return ["/bin/sh", "-c", "echo $CUDA_VISIBLE_DEVICES-$OMP_NUM_THREADS-$NOISEDASH_HOME"]

        supervise(store, claimed(store), settings, Slot("gpu 1", "1", 3), command=command)
        assert queue_log(settings, store.job(1)) == f"1-3-{settings.home}"

    def test_a_child_that_outlives_its_trainer_is_ended(self, store: Store, settings: Settings) -> None:
        store.submit_study(study(1))
        pid_file = settings.home / "pid"

        def command(claim: Claim) -> list[str]:
            return ["/bin/sh", "-c", f"trap '' TERM; sleep 600 & echo $! > {pid_file}; exit 3"]

        supervise(store, claimed(store), settings, SLOT, command=command)
        assert not is_alive(int(pid_file.read_text()))

    def test_a_job_given_to_another_worker_ends_the_trainer_and_is_left_alone(
        self, settings: Settings, store: Store
    ) -> None:
        hasty = Store(settings.database_url, lease_s=-1.0)
        hasty.submit_study(study(1))
        claim = claimed(hasty)
        hasty.requeue_expired()
        other = claimed(store)
        start = time.monotonic()
        supervise(hasty, claim, settings, SLOT, command=fake_command("deaf"))
        assert time.monotonic() - start < 5
        job = store.job(1)
        assert (job.state, job.claims) == (JobState.RUNNING, other.token)


class TestMemory:
    def test_a_trainer_that_runs_out_of_memory_says_what_to_change(self, store: Store, settings: Settings) -> None:
        store.submit_study(study(1))
        supervise(store, claimed(store), settings, SLOT, command=fake_command("large"))
        job = store.job(1)
        assert (job.state, job.attempts) == (JobState.QUEUED, 1)
        assert job.reason == (
            "It ran out of memory at batch 1, 300 px: choose a smaller batch or fewer slots (attempt 1 of 3)."
        )

    @pytest.mark.parametrize(
        ("end", "before", "reason"),
        [
            (f"exit {TrainerExit.OUT_OF_GPU_MEMORY:d}", 3, "It ran out of GPU memory at batch 1, 300 px: choose"),
            ("kill -KILL $$", 2, "It ran out of memory at batch 1, 300 px: choose"),
            ("kill -KILL $$", 3, "The trainer was killed by signal 9 (SIGKILL"),
        ],
    )
    def test_the_kernels_and_the_gpus_want_of_memory_is_told_from_other_ends(
        self, store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch, end: str, before: int, reason: str
    ) -> None:
        """The kernel's counter goes from `before` to 3 while the trainer runs."""
        counts = iter((before, 3))
        monkeypatch.setattr(supervisor, "kills_for_memory", lambda: next(counts))
        store.submit_study(study(1))
        supervise(store, claimed(store), settings, SLOT, command=lambda _claim: ["/bin/sh", "-c", end])
        assert store.job(1).reason.startswith(reason)


class TestWorker:
    @ON_BOTH_DATABASES
    def test_all_jobs_are_done_on_all_slots(self, store: Store, settings: Settings) -> None:
        store.submit_study(study(*range(4)))
        with running_worker(settings, "count", slots=2):
            wait_until(lambda: store.counts()[JobState.RUNNING] == 2)
            assert [worker.slots for worker in store.workers()] == [2]
            wait_until(lambda: store.counts()[JobState.DONE] == 4, 40)
        assert store.workers() == []

    @ON_BOTH_DATABASES
    def test_a_killed_trainer_goes_on_from_its_checkpoint(self, store: Store, settings: Settings) -> None:
        store.submit_study(study(1))
        with running_worker(settings, "count") as worker:
            wait_until(lambda: (run_folder(settings, store.job(1).run_id).attempt(1).path / "checkpoint").exists())
            os.kill(trainer_of(worker.pid), signal.SIGKILL)
            wait_until(in_state(store, JobState.DONE), 30)
        job = store.job(1)
        assert job.attempts == 2
        steps = trained_steps(settings, job)
        assert {token for token, _ in steps} == {1, 2}
        assert len(steps) - len({step for _, step in steps}) <= 1
        assert sorted({step for _, step in steps}) == list(range(1, 41))

    @ON_BOTH_DATABASES
    @pytest.mark.parametrize(("wish", "state"), [("request_cancel", "cancelled"), ("request_pause", "paused")])
    def test_a_wish_ends_a_deaf_trainer_and_its_child_within_five_seconds(
        self, store: Store, settings: Settings, wish: str, state: str
    ) -> None:
        store.submit_study(study(1))
        with running_worker(settings, "deaf"):
            wait_until(in_state(store, JobState.RUNNING))
            pids = pids_of(settings, store.job(1))
            assert all(map(is_alive, pids))
            getattr(store, wish)(1)
            assert wait_until(lambda: store.job(1).state == state) < 5
            assert not any(map(is_alive, pids))
            assert store.job(1).attempts == 0

    def test_a_stopped_worker_gives_its_jobs_back_within_five_seconds(self, store: Store, settings: Settings) -> None:
        store.submit_study(study(1))
        with running_worker(settings, "deaf") as worker:
            wait_until(in_state(store, JobState.RUNNING))
            pids = pids_of(settings, store.job(1))
            start = time.monotonic()
            end_worker(worker)
            assert time.monotonic() - start < 5
        job = store.job(1)
        assert (job.state, job.attempts) == (JobState.QUEUED, 0)
        assert job.reason == "It was interrupted: the worker stopped."
        assert not any(map(is_alive, pids))

    def test_a_trainer_whose_supervisor_was_stopped_ends_itself_though_it_reports_nothing(
        self, store: Store, settings: Settings
    ) -> None:
        store.submit_study(study(1))
        with running_worker(settings, "silent", lease_s=2.0) as worker:
            wait_until(in_state(store, JobState.RUNNING))
            pids = pids_of(settings, store.job(1))
            worker.send_signal(signal.SIGSTOP)
            wait_until(lambda: not any(map(is_alive, pids)))
            job = store.job(1)
            assert (job.state, job.claims) == (JobState.RUNNING, 1)
            assert "The lease ran out" in queue_log(settings, job)
            worker.send_signal(signal.SIGCONT)
            wait_until(lambda: store.job(1).claims == 2)
            assert store.job(1).attempts == 1

    @ON_BOTH_DATABASES
    def test_a_trainer_dies_with_its_worker_and_the_job_goes_on_elsewhere(
        self, store: Store, settings: Settings
    ) -> None:
        store.submit_study(study(1))
        with running_worker(settings, "count", lease_s=2.0) as worker:
            wait_until(lambda: (run_folder(settings, store.job(1).run_id).attempt(1).path / "checkpoint").exists())
            trainer = trainer_of(worker.pid)
            worker.kill()
            worker.wait()
        wait_until(lambda: not is_alive(trainer), 2)
        assert store.job(1).state is JobState.RUNNING
        with running_worker(settings, "count", lease_s=2.0):
            wait_until(in_state(store, JobState.DONE), 30)
        job = store.job(1)
        assert job.attempts == 2
        assert "was lost (attempt 1 of 3)" in job.reason or job.reason == ""
        assert sorted({step for _, step in trained_steps(settings, job)}) == list(range(1, 41))

    @ON_BOTH_DATABASES
    def test_a_worker_that_was_stopped_and_continued_never_makes_two_writers(
        self, store: Store, settings: Settings
    ) -> None:
        store.submit_study(study(1))
        with running_worker(settings, "deaf", lease_s=3.0) as first:
            wait_until(in_state(store, JobState.RUNNING))
            pids = pids_of(settings, store.job(1))
            first.send_signal(signal.SIGSTOP)
            wait_until(lambda: store.requeue_expired() == 1, 8)
            second = claimed(store)
            first.send_signal(signal.SIGCONT)
            wait_until(lambda: not any(map(is_alive, pids)), 8)
            job = store.job(1)
            assert (job.state, job.claims, job.worker) == (JobState.RUNNING, second.token, "here")

    def test_one_worker_for_a_home(self, settings: Settings) -> None:
        refused = pytest.raises(QueueError, match=rf"process {os.getpid()}\) runs on this machine for")
        with only_worker(settings.home), refused, only_worker(settings.home):
            pass
        with only_worker(settings.home):
            pass

    def test_nothing_is_started_for_a_while_when_nothing_can_be(self, store: Store, settings: Settings) -> None:
        now = [0.0]
        started: list[int] = []

        def command(claim: Claim) -> list[str]:
            started.append(claim.job_id)
            return ["/nowhere"]

        store.submit_study(study(1, 2))
        worker = Worker(store, settings, [SLOT, Slot("cpu 2", None, 1)], command=command, clock=lambda: now[0])
        for now[0] in (0.0, 1.0, 29.0, 31.0):
            worker.tick()
        assert started == [1, 1]
        assert store.counts()[JobState.QUEUED] == 2
        worker.stop()

    def test_work_goes_on_when_the_database_is_back(
        self, store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        store.submit_study(study(1))
        now = [0.0]
        worker = Worker(store, settings, [SLOT], command=fake_command("count"), clock=lambda: now[0])

        def locked(*_: object, **__: object) -> None:
            raise StoreError("The database is locked.")

        with monkeypatch.context() as broken:
            broken.setattr(store, "see_worker", locked)
            for _ in range(3):
                worker.tick()
        assert caplog.text.count("The database is locked.") == 1
        assert worker.running == []
        now[0] += 5
        worker.tick()
        assert [claim.job_id for claim in worker.running] == [1]
        worker.stop()
        assert store.job(1).attempts == 0

    def test_own_leases_are_renewed_before_any_is_reaped_after_an_outage(
        self, store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        clock, now = Clock(), [0.0]
        stopped = a_store(settings.home, clock)
        stopped.submit_study(study(1))
        worker = Worker(stopped, settings, [SLOT], command=fake_command("deaf"), clock=lambda: now[0])
        worker.tick()
        pids_of(settings, store.job(1))

        def away(*_: object, **__: object) -> None:
            raise StoreError("The database is away.")

        with monkeypatch.context() as broken:
            for method in ("heartbeat", "wanted", "see_worker"):
                broken.setattr(stopped, method, away)
            for _ in range(160):
                clock.now += 0.25
                now[0] += 0.25
                worker.tick()
        assert len(worker.running) == 1
        assert caplog.text.count("No heartbeat for job 1: The database is away.") == 1
        for _ in range(10):
            clock.now += 1
            now[0] += 1
            worker.tick()
        job = store.job(1)
        assert (job.state, job.claims, job.attempts) == (JobState.RUNNING, 1, 1)

        def sleep(seconds: float) -> None:
            now[0] += seconds
            time.sleep(seconds)

        worker.stop(sleep)

    def test_a_full_disk_spends_no_attempt_and_nothing_is_started_for_a_while(
        self, store: Store, settings: Settings
    ) -> None:
        now = [0.0]
        store.submit_study(study(1, 2))
        worker = Worker(store, settings, [SLOT], command=fake_command("full"), clock=lambda: now[0])
        worker.tick()
        assert [claim.job_id for claim in worker.running] == [1]
        wait_until(lambda: worker.tick() or not worker.running)
        for _ in range(3):
            worker.tick()
        job = store.job(1)
        assert (job.state, job.attempts, job.reason) == (JobState.QUEUED, 0, "The disk of nowhere is full.")
        assert worker.running == []
        now[0] += 31
        worker.tick()
        assert [claim.job_id for claim in worker.running] == [1]
        wait_until(lambda: worker.tick() or not worker.running)

    def test_what_a_killed_worker_left_behind_is_ended_by_the_next(self, store: Store, settings: Settings) -> None:
        store.submit_study(study(1))
        with running_worker(settings, "deaf") as worker:
            wait_until(in_state(store, JobState.RUNNING))
            trainer, *children = pids_of(settings, store.job(1))
            worker.kill()
            worker.wait()
        wait_until(lambda: not is_alive(trainer))
        assert all(map(is_alive, children))
        with running_worker(settings, "count"):
            wait_until(lambda: not any(map(is_alive, children)))

    def test_each_machine_has_a_lock_of_its_own(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        with only_worker(settings.home):
            monkeypatch.setattr("socket.gethostname", lambda: "other/machine")
            with only_worker(settings.home):
                assert {path.name for path in settings.home.glob("*.lock")} >= {"worker-other_machine.lock"}

    def test_workers_of_one_process_id_have_different_names(self, store: Store, settings: Settings) -> None:
        assert Worker(store, settings, [SLOT]).name != Worker(store, settings, [SLOT]).name


class TestSlots:
    def test_one_thread_for_each_core_by_default(self) -> None:
        assert share_out((), 3, 64 << 30) == tuple(Slot(f"cpu {n}", None, 1) for n in (1, 2, 3))

    def test_little_memory_means_fewer_slots_of_more_threads(self) -> None:
        assert [slot.threads for slot in share_out((), 8, 2 << 30)] == [4, 4]
        assert len(share_out((), 8, 1 << 20)) == 1

    def test_one_slot_for_each_gpu_by_default(self) -> None:
        slots = share_out(("0", "1"), 8, 64 << 30)
        assert [(slot.gpu, slot.threads) for slot in slots] == [("0", 4), ("1", 4)]
        assert slots[1].environment["CUDA_VISIBLE_DEVICES"] == "1"

    def test_more_slots_than_cores_have_one_thread_each(self) -> None:
        assert [slot.threads for slot in share_out((), 2, 64 << 30, count=4)] == [1, 1, 1, 1]

    def test_gpus_are_those_that_the_environment_allows(self) -> None:
        assert visible_gpus({"CUDA_VISIBLE_DEVICES": "2,GPU-5d3"}) == ("2", "GPU-5d3")
        assert visible_gpus({"CUDA_VISIBLE_DEVICES": "2", "NOISEDASH_GPUS": ""}) == ()
        assert visible_gpus({"CUDA_VISIBLE_DEVICES": "-1"}) == ()

    def test_a_slot_without_gpu_hides_them_all(self) -> None:
        assert SLOT.environment["CUDA_VISIBLE_DEVICES"] == ""

    def test_the_environment_says_how_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NOISEDASH_SLOTS", "3")
        assert len(slots_of_machine()) == 3
        assert len(slots_of_machine(2)) == 2
        monkeypatch.setenv("NOISEDASH_SLOTS", "0")
        with pytest.raises(QueueError, match="NOISEDASH_SLOTS=0"):
            slots_of_machine()

    def test_this_machine_has_a_slot(self) -> None:
        assert len(slots_of_machine()) >= 1
        assert cpu_cores() >= 1


class TestWords:
    def test_exits_in_words(self) -> None:
        assert describe_exit(-15) == "was killed by signal 15 (SIGTERM)"
        assert describe_exit(-64) == "was killed by signal 64 (SIGRTMAX)"
        assert describe_exit(0) == "ended with exit code 0"

    def test_the_tail_of_a_log(self, tmp_path: Path) -> None:
        log = tmp_path / "log.txt"
        assert tail(log, 3) == []
        log.write_bytes(b"x" * 100_000 + b"\none\ntwo \xff\n")
        assert tail(log, 2) == ["one", "two \ufffd"]
        assert tail(log, 0) == []
