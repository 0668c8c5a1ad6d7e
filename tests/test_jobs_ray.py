"""Dispatching, tasks, tokens and nodes without a Ray: what is decided around it."""

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jobs_tools import FAKE_TRAINER, Clock, a_store, spec, study
from typer.testing import CliRunner

from noisedash.cli.app import app
from noisedash.datasets import registry
from noisedash.errors import ClusterError, NoiseDashError, StoreError
from noisedash.jobs import ray_access, ray_placer
from noisedash.jobs.protocol import WorkerKind
from noisedash.jobs.ray_access import Answer, ask, make_token, parse_address, ray_environment, token_file
from noisedash.jobs.ray_dispatcher import AHEAD, AVOID_S, START_AGAIN_S, Dispatcher, Ending, Node, Outcome, Share
from noisedash.jobs.ray_node import NodeOptions, keep_node, start_command
from noisedash.jobs.ray_options import RayOptions
from noisedash.jobs.ray_placer import run_ray_worker, wait_for_cluster
from noisedash.jobs.ray_task import Order, settings_of_node, train_here
from noisedash.jobs.store import Store
from noisedash.records import JobState
from noisedash.settings import Settings, current_settings
from noisedash.spec import FromWeights

BOX = Node("b0b0b0b0b0", "gpubox", "10.0.0.2", cpus=4, gpus=1)
CPU = Node("c1c1c1c1c1", "cpubox", "10.0.0.3", cpus=2, gpus=0)
ADDRESS = "10.0.0.1:6379"


class FakeCluster:
    """Keeps what was submitted, and ends tasks when a test says so."""

    def __init__(self, *nodes: Node) -> None:
        self.living: Sequence[Node] = nodes
        self.submitted: list[tuple[str, Share, frozenset[str]]] = []
        self.outcomes: list[tuple[str, Outcome]] = []
        self.ending = False

    def nodes(self) -> Sequence[Node]:
        return self.living

    def submit(self, run_id: str, share: Share, avoid: frozenset[str]) -> None:
        self.submitted.append((run_id, share, avoid))

    def ended(self) -> Sequence[tuple[str, Outcome]]:
        ended, self.outcomes = self.outcomes, []
        return ended

    def end_tasks(self) -> None:
        self.ending = True

    def end(self, run_id: str, ending: Ending = Ending.TRAINED, node: Node = BOX) -> None:
        self.outcomes.append((run_id, Outcome(ending, node.id, "a reason")))

    @property
    def runs(self) -> list[str]:
        return [run_id for run_id, _, _ in self.submitted]


@pytest.fixture
def settings(own_home: Path) -> Settings:
    return current_settings()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(settings: Settings, clock: Clock) -> Store:
    return a_store(settings.home, clock)


def run(number: int) -> str:
    return spec(number).id


def dispatcher(
    store: Store, clock: Clock, *nodes: Node, cpus: float = 1.0, gpus: float | None = 0.0
) -> tuple[Dispatcher, FakeCluster]:
    cluster = FakeCluster(*nodes)
    return Dispatcher(store, cluster, cpus, gpus, address=ADDRESS, clock=clock), cluster


class TestDispatcher:
    def test_hands_out_no_more_than_there_is_room_for_and_a_few(self, store: Store, clock: Clock) -> None:
        store.submit_study(study(*range(20)))
        one, cluster = dispatcher(store, clock, CPU)
        for _ in range(3):
            one.tick()
            clock.now += 1
        assert cluster.runs == [run(number) for number in range(CPU.room(Share(1, 0)) + AHEAD)]

    def test_takes_the_highest_priority_first_and_fills_up_as_tasks_end(self, store: Store, clock: Clock) -> None:
        store.submit_study(study(*range(6)))
        one, cluster = dispatcher(store, clock, CPU)
        one.tick()
        store.submit_study(study(7, name="urgent"), priority=5)
        claimed = store.claim("there", run(0))
        assert claimed is not None
        store.finish(claimed.job_id, claimed.token)
        cluster.end(run(0))
        one.tick()
        assert cluster.runs == [run(number) for number in (0, 1, 2, 3, 7)]
        assert one.outstanding == tuple(run(number) for number in (1, 2, 3, 7))

    def test_hands_out_again_what_ray_lost_once_the_store_says_that_it_is_queued(
        self, store: Store, clock: Clock
    ) -> None:
        store.submit_study(study(1))
        one, cluster = dispatcher(store, clock, CPU)
        one.tick()
        assert store.claim("there", run(1)) is not None
        cluster.end(run(1), Ending.LOST)
        one.tick()
        assert cluster.runs == [run(1)]
        clock.now += 30  # the lease runs out
        one.tick()
        assert cluster.runs == [run(1), run(1)]
        assert store.job(1).attempts == 1

    def test_what_could_not_be_claimed_is_left_alone_for_a_while(self, store: Store, clock: Clock) -> None:
        store.submit_study(study(1))
        one, cluster = dispatcher(store, clock, CPU)
        one.tick()
        cluster.end(run(1), Ending.NOT_CLAIMED)
        for _ in range(3):
            one.tick()
            clock.now += START_AGAIN_S / 4
        assert cluster.runs == [run(1)]
        clock.now += START_AGAIN_S
        one.tick()
        assert cluster.runs == [run(1), run(1)]

    def test_a_node_that_lacks_a_dataset_gets_no_job_of_it_for_a_while(self, store: Store, clock: Clock) -> None:
        store.submit_study(study(1, 2))
        one, cluster = dispatcher(store, clock, CPU, BOX)
        one.tick()
        cluster.end(run(1), Ending.UNFIT, CPU)
        one.tick()
        assert cluster.submitted[-1] == (run(1), Share(1, 0), frozenset({CPU.id}))
        cluster.end(run(1), Ending.UNFIT, BOX)
        one.tick()
        assert len(cluster.submitted) == 3, "no node is left for it"
        clock.now += AVOID_S + 1
        one.tick()
        assert cluster.submitted[-1] == (run(1), Share(1, 0), frozenset())

    def test_jobs_behind_those_that_no_node_can_train_come_first(self, store: Store, clock: Clock) -> None:
        other = spec(5).model_copy(update={"data": spec(5).data.model_copy(update={"content_hash": "1" * 64})})
        first = study(*range(4))
        store.submit_study(first)
        store.submit_study(type(first)("other", "", "", "other", (other,)))
        one, cluster = dispatcher(store, clock, CPU)
        one.tick()
        for number in range(4):
            cluster.end(run(number), Ending.UNFIT, CPU)
        one.tick()
        assert cluster.runs[4:] == [other.id]

    def test_nothing_is_handed_out_without_a_node(self, store: Store, clock: Clock) -> None:
        store.submit_study(study(1))
        one, cluster = dispatcher(store, clock)
        one.tick()
        assert cluster.runs == []

    def test_by_default_a_job_takes_a_gpu_where_there_are_any(self, store: Store, clock: Clock) -> None:
        store.submit_study(study(1))
        one, cluster = dispatcher(store, clock, BOX, CPU, gpus=None)
        one.tick()
        assert cluster.submitted[0][1] == Share(1, 1)
        assert one.room == 1
        without, cluster = dispatcher(store, clock, CPU, gpus=None)
        without.tick()
        assert cluster.submitted[0][1] == Share(1, 0)

    def test_nodes_and_dispatcher_are_seen_and_forgotten(self, store: Store, clock: Clock) -> None:
        one, cluster = dispatcher(store, clock, BOX, CPU, gpus=0.5)
        one.tick()
        seen = {worker.name: worker for worker in store.workers()}
        box = seen.pop("gpubox (ray node b0b0b0b0)")
        assert (box.kind, box.host, box.slots, box.resources) == (WorkerKind.NODE, "gpubox", 2, "4 CPUs, 1 GPU")
        cpu = seen.pop("cpubox (ray node c1c1c1c1)")
        assert (cpu.kind, cpu.slots, cpu.resources) == (WorkerKind.NODE, 0, "2 CPUs")
        assert [(worker.kind, worker.resources) for worker in seen.values()] == [
            (WorkerKind.DISPATCHER, f"Ray at {ADDRESS}, 2 nodes")
        ]
        cluster.living = [BOX]
        clock.now += 10
        one.tick()
        assert "cpubox (ray node c1c1c1c1)" not in {worker.name for worker in store.workers()}
        one.stop(sleep=lambda _seconds: None)
        assert store.workers() == []
        assert cluster.ending

    def test_stop_waits_for_the_tasks_and_then_no_longer(self, store: Store, clock: Clock) -> None:
        store.submit_study(study(1, 2))
        one, cluster = dispatcher(store, clock, CPU)
        one.tick()

        def sleep(_seconds: float) -> None:
            clock.now += 1
            if clock.now == 1_000_003:
                cluster.end(run(1))

        one.stop(sleep)
        assert one.outstanding == (run(2),)
        assert 1_000_010 < clock.now < 1_000_020

    def test_a_database_that_is_away_is_waited_for(
        self, store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        store.submit_study(study(1))
        one, cluster = dispatcher(store, clock, CPU)
        one.tick()
        cluster.end(run(1), Ending.LOST)

        def away(*_args: object, **_more: object) -> None:
            raise StoreError("The database is away.")

        with monkeypatch.context() as patch:
            patch.setattr(store, "jobs", away)
            patch.setattr(store, "see_worker", away)
            for _ in range(3):
                clock.now += 5
                one.tick()
        assert caplog.text.count("The database is away.") == 1
        clock.now += 5
        one.tick()
        assert cluster.runs == [run(1), run(1)]


def order(settings: Settings, number: int, **changes: Any) -> Order:
    fake = (sys.executable, str(FAKE_TRAINER), "{job}", "{token}", "count")
    host = os.uname().nodename
    plain = Order(run(number), str(settings.home), host, settings.database_url, storage=None, threads=1, trainer=fake)
    return replace(plain, **changes)


class TestTask:
    @pytest.fixture
    def store(self, settings: Settings) -> Store:
        return a_store(settings.home)

    def test_claims_the_job_and_sees_its_trainer_through(self, store: Store, settings: Settings) -> None:
        store.submit_study(study(1))
        assert train_here(order(settings, 1), gpu="3") == Outcome(Ending.TRAINED)
        job = store.job(1)
        assert job.state is JobState.DONE
        assert job.place == f"{os.uname().nodename}: gpu 3 (ray)"
        assert job.worker.endswith("(ray)")

    @pytest.mark.parametrize("wish", [Store.request_cancel, Store.request_pause])
    def test_a_job_that_is_no_longer_queued_ends_the_task_at_once(
        self, store: Store, settings: Settings, wish: "type[Store.request_cancel]"
    ) -> None:
        store.submit_study(study(1))
        wish(store, 1)
        assert train_here(order(settings, 1), gpu=None).ending is Ending.NOT_CLAIMED
        assert store.job(1).claims == 0

    def test_a_node_without_the_dataset_says_so_and_spends_no_attempt(
        self, store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(registry, "BUILTIN", {})  # drawing it takes long
        store.submit_study(study(1))
        outcome = train_here(order(settings, 1, trainer=()), gpu=None)
        job = store.job(1)
        assert outcome == Outcome(Ending.UNFIT, reason=job.reason)
        assert (job.state, job.attempts) == (JobState.QUEUED, 0)
        assert "No registered dataset has the content 000000000000" in job.reason
        assert "NOISEDASH_HOME" in job.reason

    def test_another_version_and_a_database_out_of_reach_are_refused(self, store: Store, settings: Settings) -> None:
        store.submit_study(study(1))
        assert "install the same" in train_here(order(settings, 1, version="0"), None).reason
        elsewhere = train_here(order(settings, 1, host="elsewhere"), None)
        assert (elsewhere.ending, "PostgreSQL" in elsewhere.reason) == (Ending.UNFIT, True)
        assert store.job(1).claims == 0

    def test_a_database_that_is_away_is_no_fault_of_the_node(self, settings: Settings, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        away = order(settings, 1, database_url=f"sqlite:///{tmp_path}/file/noisedash.db")
        assert train_here(away, None).ending is Ending.NOT_CLAIMED

    def test_a_trainer_that_cannot_be_started_gives_the_job_back(self, store: Store, settings: Settings) -> None:
        store.submit_study(study(1))
        assert train_here(order(settings, 1, trainer=("/nowhere",)), None).ending is Ending.UNFIT
        assert (store.job(1).state, store.job(1).attempts) == (JobState.QUEUED, 0)

    def test_a_node_whose_disk_is_full_is_left_alone_and_spends_no_attempt(
        self, store: Store, settings: Settings
    ) -> None:
        store.submit_study(study(1))
        full = (*order(settings, 1).trainer[:-1], "full")
        outcome = train_here(order(settings, 1, trainer=full), None)
        assert (outcome.ending, "cannot be written" in outcome.reason) == (Ending.UNFIT, True)
        assert (store.job(1).state, store.job(1).attempts) == (JobState.QUEUED, 0)
        assert store.job(1).reason == "The disk of nowhere is full."

    def test_the_nodes_own_home_comes_first(
        self, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        theirs = order(settings, 1, home="/their/home", storage="file:///shared")
        assert settings_of_node(theirs) == Settings(settings.home, settings.database_url, "file:///shared")
        monkeypatch.delenv("NOISEDASH_HOME")
        assert settings_of_node(theirs).home == Path("/their/home")


class TestToken:
    def test_is_made_once_and_for_its_owner_alone(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        old = os.umask(0)
        try:
            path = make_token(settings)
        finally:
            os.umask(old)
        assert path.stat().st_mode & 0o777 == 0o600
        token = path.read_text()
        assert len(token) == 64
        assert make_token(settings).read_text() == token
        environment = ray_environment(settings, ADDRESS, {})
        assert (environment["RAY_AUTH_MODE"], environment["RAY_AUTH_TOKEN_PATH"]) == ("token", str(path))
        assert environment["RAY_USAGE_STATS_ENABLED"] == "0"

    def test_one_that_others_can_read_is_refused(self, settings: Settings) -> None:
        make_token(settings).chmod(0o640)
        with pytest.raises(ClusterError, match="chmod 600"):
            ray_environment(settings, ADDRESS, {})

    def test_none_and_an_empty_one_are_refused(self, settings: Settings) -> None:
        with pytest.raises(ClusterError, match="no cluster token"):
            ray_environment(settings, ADDRESS, {})
        make_token(settings).write_text("\n")
        with pytest.raises(ClusterError, match="empty"):
            ray_environment(settings, ADDRESS, {})

    def test_rays_own_variables_name_another(
        self, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given = ray_environment(settings, ADDRESS, {"RAY_AUTH_TOKEN": "secret", "RAY_AUTH_MODE": "disabled"})
        assert (given["RAY_AUTH_TOKEN"], given["RAY_AUTH_MODE"]) == ("secret", "token")
        assert "RAY_AUTH_TOKEN_PATH" not in given
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "own"))
        assert token_file(settings) == tmp_path / "own"

    def test_ray_listens_on_loopback_only_where_the_address_is(self, settings: Settings) -> None:
        make_token(settings)
        assert ray_environment(settings, "127.0.0.1:1", {})["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
        assert "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER" not in ray_environment(settings, ADDRESS, {})

    def test_nobody_at_the_address(self, settings: Settings) -> None:
        make_token(settings)
        assert ask("127.0.0.1:1", settings) is Answer.NONE

    @pytest.mark.parametrize("address", ["box", "box:", ":6379", "box:port", "auto"])
    def test_what_is_no_address(self, address: str) -> None:
        with pytest.raises(ClusterError, match="HOST:PORT"):
            parse_address(address)


class TestPlacer:
    @pytest.mark.parametrize(("answer", "words"), [(Answer.OPEN, "demands no token"), (Answer.REFUSED, "refuses our")])
    def test_refuses_a_cluster_that_is_open_or_anothers(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch, answer: Answer, words: str
    ) -> None:
        monkeypatch.setattr(ray_placer, "ask", lambda _address, _settings: answer)
        with pytest.raises(ClusterError, match=words):
            run_ray_worker(settings, RayOptions(ADDRESS))

    def test_waits_for_a_cluster_that_is_away(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        answers = [Answer.NONE, Answer.NONE, Answer.GUARDED]
        monkeypatch.setattr(ray_placer, "ask", lambda _address, _settings: answers.pop(0))
        monkeypatch.setattr(ray_placer, "LOOK_S", 0.0)
        assert wait_for_cluster(settings, ADDRESS, lambda: False)
        assert caplog.text.count("No Ray answers") == 1
        assert not wait_for_cluster(settings, ADDRESS, lambda: True)

    def test_says_how_to_install_ray(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ray_access, "find_spec", lambda _name: None)
        with pytest.raises(ClusterError, match=r"pip install 'noisedash\[ray\]'"):
            run_ray_worker(settings, RayOptions(ADDRESS))
        with pytest.raises(ClusterError, match="pip install"):
            keep_node(settings, NodeOptions(join=None), print)


class TestNode:
    def test_a_head_and_a_node_that_joins(self, tmp_path: Path) -> None:
        head = start_command(NodeOptions(None, port=7000, cpus=2), tmp_path)
        assert {"--head", "--port=7000", "--num-cpus=2", "--disable-usage-stats"} <= {*head}
        node = start_command(NodeOptions(ADDRESS, host="10.0.0.2", gpus=0), tmp_path)
        assert {f"--address={ADDRESS}", "--node-ip-address=10.0.0.2", "--num-gpus=0"} <= {*node}
        assert "--head" not in node

    def test_who_joins_must_have_the_token(self, settings: Settings) -> None:
        with pytest.raises(ClusterError, match="copy it from there"):
            keep_node(settings, NodeOptions(ADDRESS), print)


class TestCommands:
    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["worker", "--address", ADDRESS], "--placer ray"),
            (["worker", "--placer", "ray"], "--address"),
            (["worker", "--placer", "ray", "--address", ADDRESS, "--slots", "2"], "--gpus-per-job"),
            (["cluster", "start"], "--head"),
            (["cluster", "start", "--head", "--join", ADDRESS], "--head"),
        ],
    )
    def test_options_that_do_not_go_together(self, own_home: Path, words: list[str], message: str) -> None:
        error = CliRunner().invoke(app, words).exception
        assert isinstance(error, NoiseDashError)
        assert message in str(error)

    def test_where_the_token_lies(self, own_home: Path) -> None:
        result = CliRunner().invoke(app, ["cluster", "token"])
        assert result.stdout.strip() == str(own_home / "ray-token")
        assert (own_home / "ray-token").is_file()


def test_weights_that_a_node_lacks_are_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from noisedash.jobs import ray_task

    monkeypatch.setattr(ray_task.DatasetRegistry, "by_hash", lambda _self, _hash: None)
    lacking = spec(1).model_copy(update={"initial": FromWeights(sha256="a" * 64)})
    assert "aaaaaaaa" in ray_task.what_is_missing(lacking, settings)
    assert ray_task.what_is_missing(spec(1), settings) == ""
