"""The queue's benchmarks at a small size: what they check, what they extrapolate, that they leave nothing behind."""

import json
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from jobs_tools import study
from postgres_server import PostgresServer
from psycopg.sql import SQL
from typer.testing import CliRunner

from noisedash.cli.app import app
from noisedash.errors import QueueError, StoreError
from noisedash.jobs import bench_processes, queue, simulation
from noisedash.jobs.bench import bench_queue, studies_of
from noisedash.jobs.bench_cluster import bench_cluster
from noisedash.jobs.bench_database import ServerMeter, own_database
from noisedash.jobs.bench_processes import Tally
from noisedash.jobs.simulation import Fate, Outcome, Scene, Simulation, calls_per_s, expected_end, fate_of
from noisedash.jobs.store import Store
from noisedash.records import JobState

SMALL = Scene(workers=6, jobs=40, mean_s=20.0, watched=0)
ROUGH = {Fate.CRASH: 0.15, Fate.DEATH: 0.1, Fate.STANDSTILL: 0.1, Fate.CANCEL: 0.1, Fate.PAUSE: 0.15}


def simulate(url: str | None, scene: Scene) -> Outcome:
    with own_database(url) as database:
        with closing(Store(database)) as store:
            for submitted in studies_of(scene.jobs):
                store.submit_study(submitted)
        with closing(Simulation(database, scene)) as simulated:
            simulated.run()
            return simulated.compare()


def wrong(outcome: Outcome) -> dict[str, int]:
    return dict(+outcome.wrong)


@pytest.fixture
def rough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "SHARES", ROUGH)


class TestSimulation:
    @pytest.mark.usefixtures("rough")
    def test_every_job_ends_as_it_must_whatever_happens_to_its_workers(self) -> None:
        outcome = simulate(None, SMALL)
        assert wrong(outcome) == {}
        assert set(outcome.ends) == set(Fate)

    @pytest.mark.usefixtures("rough")
    def test_what_is_only_counted_for_most_workers_is_what_they_would_have_called(self) -> None:
        counted, executed = simulate(None, SMALL), simulate(None, Scene(6, 40, 20.0, watched=6))
        assert wrong(counted) == wrong(executed) == {}
        assert counted.ends == executed.ends
        periodic = Counter({call: executed.executed[call] for call in counted.counted})
        assert counted.counted == executed.counted == periodic

    def test_the_rates_are_those_of_the_counted_calls(self) -> None:
        scene = Scene(workers=20, jobs=200, mean_s=600.0, watched=0)
        fates = [fate_of(scene, job_id, 1) for job_id in range(scene.jobs)]
        lives_s = [seconds for _, seconds in fates]
        counted = Counter(call for s in lives_s for tick in simulation._ticks(s) for call in simulation._calls_at(tick))
        for call, number in counted.items():
            assert number / sum(lives_s) == pytest.approx(calls_per_s(600.0)[call], rel=0.05), call

    def test_ends_are_drawn_in_the_stated_shares_and_known_beforehand(self) -> None:
        scene = Scene(jobs=4_000)
        fates = Counter(fate_of(scene, job_id, 1)[0] for job_id in range(scene.jobs))
        for fate, share in simulation.SHARES.items():
            assert fates[fate] / scene.jobs == pytest.approx(share, abs=0.006)
        finished = [seconds for fate, seconds in (fate_of(scene, n, 1) for n in range(4_000)) if fate is Fate.FINISH]
        assert sum(finished) / len(finished) == pytest.approx(scene.mean_s, rel=0.05)
        states = Counter(expected_end(scene, job_id)[0] for job_id in range(scene.jobs))
        assert states[JobState.DONE] > 3_900
        assert states[JobState.CANCELLED] > 5

    @pytest.mark.usefixtures("rough")
    @pytest.mark.parametrize(
        ("name", "broken", "leave_open", "told"),
        [
            ("requeue_expired", lambda *_: 0, 15, "leases that ran out"),
            ("_held", lambda job_id, _token: (queue.jobs.c.id == job_id,), 2, "void token taken"),
        ],
    )
    def test_a_queue_that_breaks_its_promise_is_found_out(
        self, monkeypatch: pytest.MonkeyPatch, name: str, broken: Callable[..., object], leave_open: int, told: str
    ) -> None:
        monkeypatch.setattr(queue, name, broken)
        with own_database(None) as database, closing(Store(database)) as store:
            store.submit_study(study(*range(40)))
            with closing(Simulation(database, SMALL)) as simulated:
                assert told in wrong(simulated.run(leave_open=leave_open))


class TestQueueBench:
    def test_rows_for_a_script_and_nothing_left_behind(self, tmp_path: Path) -> None:
        named = tmp_path / "queue.db"
        rows = list(bench_queue(f"sqlite:///{named}", workers=2, jobs=30))
        assert json.loads(json.dumps(rows)) == rows
        assert [(row["what"], row["processes"]) for row in rows] == [
            *[("submit", 1), ("read all", 1), ("read a page of 100", 1)],
            *[("claim and finish", 2), ("claim and finish", 1), ("heartbeat", 2), ("report", 2)],
        ]
        for row in rows:
            assert row["per_s"] > 0
            if "limit_per_s" in row:
                assert row["ratio"] == pytest.approx(row["per_s"] / row["limit_per_s"], abs=0.01)
        claims = rows[3]
        assert (claims["jobs"], claims["twice"], claims["undone"]) == (30, 0, 0)
        assert list(tmp_path.glob("queue*")) == list(tmp_path.glob("noisedash-bench-*")) == []

    def test_a_job_that_two_workers_had_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            "noisedash.jobs.bench.at_once",
            lambda processes, work, arguments: [Tally(0.0, 1.0, (0.1,), ((1, 1, "run"),)) for _ in range(processes)],
        )
        with pytest.raises(QueueError, match="1 were handed out twice and 10 were not done"):
            list(bench_queue(None, workers=2, jobs=10))

    def test_it_is_a_command(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[object] = []
        monkeypatch.setattr("noisedash.jobs.bench.bench_queue", lambda *given: asked.append(given) or [{"per_s": 1.0}])
        monkeypatch.setattr("noisedash.jobs.bench_cluster.bench_cluster", lambda *given: asked.append(given) or [])
        told = CliRunner().invoke(app, ["bench", "queue", "--workers", "3", "--jobs", "70"], catch_exceptions=False)
        assert json.loads(told.stdout) == {"per_s": 1.0}
        CliRunner().invoke(app, ["bench", "cluster", "--db", "sqlite:///x.db", "--jobs", "7"], catch_exceptions=False)
        assert asked == [(None, 3, 70), ("sqlite:///x.db", 1_000, 7)]


class TestClusterBench:
    def test_load_follows_from_rates_and_costs(self) -> None:
        rows = list(bench_cluster(None, workers=5, jobs=20, samples=5, seconds=0.5, connections=(1, 2)))
        assert json.loads(json.dumps(rows)) == rows
        (simulated,) = [row for row in rows if row["what"] == "simulation"]
        assert simulated["wrong"] == {}
        cost = {row["call"]: row["ms"] for row in rows if row["what"] == "cost"}
        (load,) = [row for row in rows if row["what"] == "load" and row["jobs_of"] == "10 minutes"]
        by_hand = sum(5 * rate * cost[call] / 1000 for call, rate in calls_per_s(600.0).items())
        assert load["one_client_s_per_s"] == pytest.approx(by_hand, abs=0.01)
        assert load["connections"] == 15
        (check,) = [row for row in rows if row["what"] == "check"]
        assert check["calls"] == pytest.approx(check["calls_foretold"], rel=0.1)
        assert [row["connections"] for row in rows if row["what"] == "saturation"] == [1, 2]


def test_a_server_that_is_not_there_is_named() -> None:
    with (
        pytest.raises(StoreError, match="gives the benchmark no database"),
        own_database("postgresql+psycopg://127.0.0.1:1/x"),
    ):
        raise AssertionError


def test_processes_begin_together() -> None:
    tallies = bench_processes.at_once(2, bench_processes.timed, [(bool, 0), (bool, 0)])
    assert max(tally.started for tally in tallies) - min(tally.started for tally in tallies) < 5.0


class TestPostgres:
    def test_the_simulation_ends_well_and_the_server_keeps_what_it_had(self, postgres: PostgresServer) -> None:
        url = postgres.new_database()
        with closing(Store(url)) as store:
            store.submit_study(study(1, 2))
            assert wrong(simulate(url, SMALL)) == {}
            assert store.counts()[JobState.QUEUED] == 2
        assert postgres.execute(SQL("SELECT datname FROM pg_database WHERE datname LIKE 'noisedash_bench%'")) == []

    def test_the_meter_reads_what_the_server_spends(self, postgres: PostgresServer) -> None:
        url = postgres.new_database()
        meter = ServerMeter(url)
        before = meter.read()
        with closing(Store(url)) as store:
            store.submit_study(study(*range(300)))
        spent = meter.read() - before
        assert spent.wal_bytes > 10_000
        assert spent.cpu_s is not None
        assert spent.cpu_s > 0
        assert meter.bytes_per_row("jobs") > 100
        assert meter.max_connections() == 100
        meter.close()
