"""What the processes of the queue's benchmarks do, and how several of them are started at the same moment."""

import multiprocessing
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from typing import Any

import psycopg
from sqlalchemy import make_url

from noisedash.jobs.bench_database import is_sqlite
from noisedash.jobs.store import Store
from noisedash.records import MetricRecord, Progress, ResultRecord

START_WITHIN_S = 300.0
Held = tuple[int, int, str]
"""A job that is held: its id, its token and its run's id."""

_start: Barrier | None = None


@dataclass(frozen=True)
class Tally:
    """What one process did between two moments of the machine's monotonic clock."""

    started: float
    ended: float
    waits_s: tuple[float, ...]
    """How long each operation took."""
    held: tuple[Held, ...] = ()


def at_once(processes: int, work: Callable[..., Tally], arguments: Sequence[tuple[Any, ...]]) -> list[Tally]:
    """Run `work` with each of the arguments in a process of its own; all begin together."""
    assert len(arguments) == processes
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, _remember, (context.Barrier(processes),)) as pool:
        return [future.result() for future in [pool.submit(work, *given) for given in arguments]]


def timed(operation: Callable[[], bool], times: int | None = None) -> Tally:
    """Call `operation` so often, or until it says False; begins when all processes are ready."""
    if _start is not None:
        _start.wait(START_WITHIN_S)
    waits: list[float] = []
    started = before = time.monotonic()
    while (times is None or len(waits) < times) and operation():
        now = time.monotonic()
        waits.append(now - before)
        before = now
    return Tally(started, before, tuple(waits))


def claim_and_finish(url: str, worker: str) -> Tally:
    """Do the queue's jobs, which are nothing: claim one, finish it, until there is none."""
    store = Store(url)
    held: list[Held] = []

    def one() -> bool:
        claim = store.claim(worker)
        if claim is None:
            return False
        store.finish(claim.job_id, claim.token)
        held.append((claim.job_id, claim.token, claim.run_id))
        return True

    store.counts()  # opens the connection before the clock runs
    tally = timed(one)
    store.close()
    return Tally(tally.started, tally.ended, tally.waits_s, tuple(held))


def beat(url: str, held: Sequence[Held], times: int) -> Tally:
    """Renew the leases of these jobs in turn."""
    store, number = Store(url), 0

    def one() -> bool:
        nonlocal number
        job_id, token, _ = held[number % len(held)]
        store.heartbeat(job_id, token)
        number += 1
        return True

    store.counts()
    tally = timed(one, times)
    store.close()
    return tally


def report(url: str, held: Sequence[Held], times: int) -> Tally:
    """Report progress and a point of the curves of these jobs in turn."""
    store, number = Store(url), 0

    def one() -> bool:
        nonlocal number
        job_id, token, _ = held[number % len(held)]
        store.report(job_id, token, *a_report(number // len(held)))
        number += 1
        return True

    store.counts()
    tally = timed(one, times)
    store.close()
    return tally


def a_report(step: int) -> tuple[Progress, MetricRecord]:
    """What a trainer says about once a second."""
    return (
        Progress("training", step, 10_000, 1.2345678, 0.7654321, 0.4691357, 123.456, 456.789),
        MetricRecord(step, 1.2345678, 0.7654321, 0.4691357, 0.00123, 123.456),
    )


def final_results(run_id: str) -> list[ResultRecord]:
    """What a trainer says at the end."""
    of_class: dict[str, float | None] = {f"class {number}": 0.123456789 for number in range(7)}
    return [ResultRecord(run_id, 10_000, True, threshold, 0.5, of_class) for threshold in (0.0, 0.3)]


# The limits: the same number of durable commits with the least that a queue could write, by the bare driver

BARE_TABLE = "CREATE TABLE bare (id INTEGER PRIMARY KEY, state INTEGER NOT NULL)"
BARE_INDEX = "CREATE INDEX ix_bare ON bare (state, id)"
_BARE_CLAIM = (
    "UPDATE bare SET state = 1 WHERE id = (SELECT id FROM bare WHERE state = 0 ORDER BY id LIMIT 1{skip}) RETURNING id"
)
_BARE_FINISH = "UPDATE bare SET state = 2 WHERE id = {id} RETURNING id"


def bare_claim_and_finish(url: str) -> Tally:
    """Two one-statement transactions a job, until there is none."""
    execute = _bare_driver(url)
    claim = _BARE_CLAIM.format(skip="" if is_sqlite(url) else " FOR UPDATE SKIP LOCKED")

    def one() -> bool:
        row = execute(claim)
        return row is not None and execute(_BARE_FINISH.format(id=row)) is not None

    return timed(one)


def bare_updates(url: str, keys: Sequence[int], times: int) -> Tally:
    """One-statement transactions that each change one row of these."""
    execute, number = _bare_driver(url), 0

    def one() -> bool:
        nonlocal number
        number += 1
        return execute(_BARE_FINISH.format(id=keys[number % len(keys)])) is not None

    return timed(one, times)


def fill_bare_table(url: str, rows: int) -> None:
    """Make the bare table anew with so many rows to claim."""
    execute = _bare_driver(url)
    for statement in ("DROP TABLE IF EXISTS bare", BARE_TABLE, BARE_INDEX):
        execute(statement)
    numbers = "WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < {rows})"
    execute(f"INSERT INTO bare {numbers} SELECT id, 0 FROM n".format(rows=rows))


def _bare_driver(url: str) -> Callable[[str], int | None]:
    """Runs a statement as a transaction of its own, as durable as the queue's; the first value it returns."""
    if not is_sqlite(url):
        parsed = make_url(url).set(drivername="postgresql")
        connection = psycopg.connect(parsed.render_as_string(hide_password=False), autocommit=True)

        def execute(statement: str) -> int | None:
            cursor = connection.execute(statement.encode())
            row = cursor.fetchone() if cursor.description else None
            return None if row is None else int(row[0])

        return execute
    return _bare_sqlite(str(make_url(url).database))


def _bare_sqlite(file: str) -> Callable[[str], int | None]:
    connection = sqlite3.connect(file, timeout=0.0, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")

    def execute(statement: str) -> int | None:
        while True:
            try:
                rows = connection.execute(statement).fetchall()
            except sqlite3.OperationalError as error:
                if not error.sqlite_errorname.startswith("SQLITE_BUSY"):
                    raise
                time.sleep(0.001)
            else:
                return int(rows[0][0]) if rows else None

    return execute


def _remember(start: Barrier) -> None:
    global _start
    _start = start
