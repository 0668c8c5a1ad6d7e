"""How large a cluster the database carries: a simulation of it, what each call costs, and what follows.

Calls a second (`simulation.calls_per_s`, from the intervals that workers really use) times the processor time that
PostgreSQL's processes spent on each call gives the cores that a cluster of a size takes; workers that call in real time
check that sum.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import cycle
from typing import Any

from noisedash.errors import QueueError
from noisedash.jobs.bench import claim_all, quantile_ms, speed, studies_of
from noisedash.jobs.bench_database import ServerMeter, Spent, is_sqlite, kind_of, own_database, without_flushes
from noisedash.jobs.bench_processes import Held, Tally, a_report, at_once, final_results, timed
from noisedash.jobs.simulation import Scene, Simulation, calls_per_s
from noisedash.jobs.store import Store

Row = dict[str, Any]
Call = Callable[[], object]

PERIODIC = ("heartbeat", "look", "read lease", "report", "checkpoint", "sign of life", "sweep")
READS = ("look", "read lease")
TABLES = ("jobs", "runs", "metrics", "results")
LENGTHS = {"1 minute": 60.0, "10 minutes": 600.0, "1 hour": 3600.0}
LONG_S = 3_600.0
"""Leases while costs are measured, so that none runs out."""
CONNECTIONS_PER_SLOT = 3
"""With one slot a worker: one of the worker or Ray task, two of its trainer (reports, and a look at the lease)."""


def bench_cluster(
    url: str | None = None,
    workers: int = 1_000,
    jobs: int = 100_000,
    watched: int = 1,
    samples: int = 1_000,
    seconds: float = 10.0,
    connections: Sequence[int] = (1, 2, 4, 8),
) -> Iterator[Row]:
    """Rows of a simulation of the cluster, of the cost of each call, of the load that follows, and of its check.

    `watched`: see `simulation`. Each call is timed `samples` times. `seconds`: how long the check runs, and each
    number of `connections`. `url` as in `own_database`. Raises QueueError where a job did not end as it must.
    """
    with own_database(url) as database, _Meter(database) as meter:
        yield from _simulate(database, Scene(workers, jobs, watched=watched), meter)
        costs = []
        for row in _costs(database, workers, samples, meter, first_job=jobs):
            costs.append(row)
            yield row
        yield _row(database, "storage", bytes_per_row=meter.storage(), max_connections=meter.max_connections())
        yield from _load(costs, workers)
        yield from _check(database, costs, seconds, meter)
        yield from _saturation(database, connections, seconds, meter)


def _simulate(url: str, scene: Scene, meter: "_Meter") -> Iterator[Row]:
    with closing(Store(url)) as store:
        started = time.perf_counter()
        for study in studies_of(scene.jobs):
            store.submit_study(study)
        yield _row(url, "submit", jobs=scene.jobs, seconds=round(time.perf_counter() - started, 1))
    with without_flushes(url), closing(Simulation(url, scene)) as simulation:
        before, cpu_before, started = meter.read(), time.process_time(), time.perf_counter()
        for tenth in range(1, 10):
            simulation.run(leave_open=scene.jobs * (10 - tenth) // 10)
            yield _row(url, "progress", tenths=tenth, seconds=round(time.perf_counter() - started, 1))
        outcome = simulation.run()
        seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu_before
        spent = meter.read() - before
        simulation.compare()
    wrong = {what: number for what, number in outcome.wrong.items() if number}
    yield _row(
        url,
        "simulation",
        workers=scene.workers,
        jobs=scene.jobs,
        mean_job_s=scene.mean_s,
        watched=scene.watched,
        simulated_s=round(outcome.simulated_s),
        seconds=round(seconds, 1),
        claims_per_s=round(outcome.executed["claim"] / seconds, 1),
        client_cpu_s=round(cpu_s, 1),
        server_cpu_s=_rounded(spent.cpu_s, 1),
        wal_mb=round(spent.wal_bytes / 1e6, 1),
        executed=dict(sorted(outcome.executed.items())),
        counted=dict(sorted(outcome.counted.items())),
        ends=dict(sorted(outcome.ends.items())),
        wrong=wrong,
    )
    if wrong:
        raise QueueError(f"The simulated cluster's jobs did not end as they must: {wrong}.")


# What a call costs


def _costs(url: str, workers: int, samples: int, meter: "_Meter", first_job: int) -> Iterator[Row]:
    """Each call in turn, on jobs that as many workers hold, by the database's clock and with all its durability."""
    with closing(Store(url, lease_s=LONG_S)) as store:
        for study in studies_of(max(workers, samples), first=first_job):
            store.submit_study(study)
        held: list[Held] = []
        yield _cost(url, "claim", lambda: _claim_one(store, held), max(workers, samples), meter)
        yield _cost(url, "claim nothing", lambda: _no_claim(store), samples, meter)
        for name, call in calls_of(store, held).items():
            yield _cost(url, name, call, samples, meter)
        ends = iter(held)
        yield _cost(url, "finish", lambda: _finish(store, next(ends)), min(samples, len(held)), meter)


def calls_of(store: Store, held: Sequence[Held]) -> dict[str, Call]:
    """The periodic calls; each goes on to the next of these jobs."""
    steps = {job_id: 0 for job_id, _, _ in held}

    def next_of(jobs: Iterator[Held]) -> tuple[int, int]:
        job_id, token, _ = next(jobs)
        return job_id, token

    def report(jobs: Iterator[Held]) -> None:
        job_id, token = next_of(jobs)
        steps[job_id] += 1
        store.report(job_id, token, *a_report(steps[job_id]))

    beats, looks, leases, reports, checkpoints, workers = (cycle(held) for _ in range(6))
    return {
        "heartbeat": lambda: store.heartbeat(*next_of(beats)),
        "look": lambda: store.wanted([next_of(looks)[0]]),
        "read lease": lambda: store.lease_left_s(*next_of(leases)),
        "report": lambda: report(reports),
        "checkpoint": lambda: store.checkpointed(*next_of(checkpoints), 1),
        "sign of life": lambda: store.see_worker(f"worker {next_of(workers)[0]}", "node", 1, 1),
        "sweep": lambda: store.requeue_expired(),
    }


def _claim_one(store: Store, held: list[Held]) -> None:
    claim = store.claim("bench", place="node: gpu 0")
    assert claim is not None
    held.append((claim.job_id, claim.token, claim.run_id))


def _no_claim(store: Store) -> None:
    assert store.claim("bench") is None


def _finish(store: Store, job: Held) -> None:
    job_id, token, run_id = job
    store.finish(job_id, token, final_results(run_id))


def _cost(url: str, call: str, do: Call, times: int, meter: "_Meter") -> Row:
    before, cpu_before, started = meter.read(), time.process_time(), time.perf_counter()
    for _ in range(times):
        do()
    seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu_before
    spent = meter.read() - before
    return _row(
        url,
        "cost",
        call=call,
        times=times,
        ms=_per(1000 * seconds, times),
        client_cpu_ms=_per(1000 * cpu_s, times),
        server_cpu_ms=None if spent.cpu_s is None else _per(1000 * spent.cpu_s, times),
        wal_bytes=round(spent.wal_bytes / times),
    )


# What follows for a cluster


def _load(costs: Sequence[Row], workers: int) -> Iterator[Row]:
    """The load of so many workers, each with one slot that always has work, for jobs of several lengths."""
    cost_of = {row["call"]: row for row in costs}
    for length, mean_s in LENGTHS.items():
        rates = {call: workers * rate for call, rate in calls_per_s(mean_s).items()}
        writes = sum(rate for call, rate in rates.items() if call not in READS)
        yield {
            "bench": "cluster",
            "database": costs[0]["database"],
            "what": "load",
            "workers": workers,
            "jobs_of": length,
            "calls_per_s": {call: round(rate, 1) for call, rate in rates.items()},
            "transactions_per_s": round(sum(rates.values()), 1),
            "writing_per_s": round(writes, 1),
            "server_cores": _weighted(rates, cost_of, "server_cpu_ms", 1e-3),
            "one_client_s_per_s": _weighted(rates, cost_of, "ms", 1e-3),
            "wal_mb_per_s": _weighted(rates, cost_of, "wal_bytes", 1e-6),
            "connections": CONNECTIONS_PER_SLOT * workers,
        }


def _weighted(rates: dict[str, float], cost_of: dict[str, Row], column: str, unit: float) -> float | None:
    if any(cost_of[call][column] is None for call in rates):
        return None
    return float(round(sum(rate * cost_of[call][column] * unit for call, rate in rates.items()), 3))


def _check(url: str, costs: Sequence[Row], seconds: float, meter: "_Meter") -> Iterator[Row]:
    """Two processes do what forty workers do, in real time; the server's cores beside what the costs foretell."""
    held = _hold(url, 40)
    rates = {call: rate for call, rate in calls_per_s(3600.0).items() if call in PERIODIC}
    before = meter.read()
    tallies = at_once(2, in_real_time, [(url, held[half::2], rates, seconds) for half in range(2)])
    spent, lasted = meter.read() - before, max(tally.ended - tally.started for tally in tallies)
    cost_of = {row["call"]: row for row in costs}
    foretold = _weighted({call: len(held) * rate for call, rate in rates.items()}, cost_of, "server_cpu_ms", 1e-3)
    measured = None if spent.cpu_s is None else spent.cpu_s / lasted
    yield _row(
        url,
        "check",
        workers=len(held),
        seconds=round(lasted, 1),
        calls=sum(len(tally.waits_s) for tally in tallies),
        calls_foretold=round(len(held) * sum(rates.values()) * seconds),
        server_cores=_rounded(measured, 3),
        server_cores_foretold=foretold,
        p99_ms=quantile_ms(tallies, 0.99),
    )


def in_real_time(url: str, held: Sequence[Held], rates: dict[str, float], seconds: float) -> Tally:
    """Make the periodic calls of these jobs' workers as often as those would, in turn."""
    with closing(Store(url, lease_s=LONG_S)) as store:
        calls = calls_of(store, held)
        schedule = sorted(
            (number / (len(held) * rate), call)
            for call, rate in rates.items()
            for number in range(int(seconds * rate * len(held)))
        )
        coming = iter(schedule)
        waits: list[float] = []
        began: list[float] = []

        def one() -> bool:
            due, call = next(coming, (seconds, ""))
            if not began:
                began.append(time.monotonic())
            time.sleep(max(0.0, began[0] + due - time.monotonic()))
            started = time.monotonic()
            if call:
                calls[call]()
                waits.append(time.monotonic() - started)
            return bool(call)

        calls["look"]()
        tally = timed(one)
    return Tally(tally.started, max(tally.ended, began[0] + seconds), tuple(waits))


def _saturation(url: str, connections: Sequence[int], seconds: float, meter: "_Meter") -> Iterator[Row]:
    """As many calls as so many connections can make, in the proportion in which workers make them."""
    for processes in connections:
        held = _hold(url, 10 * processes)
        before = meter.read()
        tallies = at_once(processes, without_rest, [(url, held[part::processes], seconds) for part in range(processes)])
        spent, per_s = meter.read() - before, speed(tallies)
        lasted = max(tally.ended for tally in tallies) - min(tally.started for tally in tallies)
        of_one = sum(rate for call, rate in calls_per_s(3600.0).items() if call in PERIODIC)
        yield _row(
            url,
            "saturation",
            connections=processes,
            calls_per_s=round(per_s, 1),
            workers_carried=int(per_s / of_one),
            server_cores=None if spent.cpu_s is None else round(spent.cpu_s / lasted, 2),
            p50_ms=quantile_ms(tallies, 0.5),
            p99_ms=quantile_ms(tallies, 0.99),
        )


def without_rest(url: str, held: Sequence[Held], seconds: float) -> Tally:
    """Make the periodic calls of these jobs' workers one after the other."""
    rates = {call: rate for call, rate in calls_per_s(3600.0).items() if call in PERIODIC}
    with closing(Store(url, lease_s=LONG_S)) as store:
        calls = calls_of(store, held)
        once = sorted((number / rate, call) for call, rate in rates.items() for number in range(round(60 * rate)))
        turns = cycle(call for _, call in once)
        calls["look"]()
        end: list[float] = []

        def one() -> bool:
            end[:] = end or [time.monotonic() + seconds]
            if time.monotonic() >= end[0]:
                return False
            calls[next(turns)]()
            return True

        return timed(one)


def _hold(url: str, jobs: int) -> list[Held]:
    """New jobs, claimed."""
    with closing(Store(url, lease_s=LONG_S)) as store:
        first = sum(store.counts().values())
        for study in studies_of(jobs, first=first):
            store.submit_study(study)
        return claim_all(store)


# The server


class _Meter:
    """A ServerMeter, or nothing to read where the database is a file."""

    def __init__(self, url: str):
        self._server = None if is_sqlite(url) else ServerMeter(url)

    def __enter__(self) -> "_Meter":
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()

    def read(self) -> Spent:
        return Spent(None, 0) if self._server is None else self._server.read()

    def storage(self) -> dict[str, int]:
        return {} if self._server is None else {table: self._server.bytes_per_row(table) for table in TABLES}

    def max_connections(self) -> int | None:
        return None if self._server is None else self._server.max_connections()


def _row(url: str, what: str, **values: object) -> Row:
    return {"bench": "cluster", "database": kind_of(url), "what": what, **values}


def _per(total: float, times: int) -> float:
    return round(total / times, 3)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
