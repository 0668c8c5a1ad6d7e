"""The queue's speed beside what its database does at best: as many durable commits by the bare driver."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from noisedash.errors import QueueError
from noisedash.jobs import bench_processes as parts
from noisedash.jobs.bench_database import kind_of, own_database
from noisedash.jobs.bench_processes import Held, Tally, at_once
from noisedash.jobs.store import Store
from noisedash.records import JobState
from noisedash.spec import DataSpec, Focal, RunSpec, TrainingSpec
from noisedash.studies.study import Study

STUDY_OF = 1_000
"""Runs in each of the studies that are submitted."""
ALONE = 5
"""One process does the jobs of so many times fewer."""

Row = dict[str, Any]


def bench_queue(url: str | None = None, workers: int = 4, jobs: int = 10_000) -> Iterator[Row]:
    """Rows of submit, read, claim and finish (one process, then `workers`), heartbeat and report, on one database.

    The jobs are nothing: claimed, then finished. `ratio` is ours over `limit_per_s`, which the bare driver does on
    the same database with as many processes. `url` as in `own_database`. Raises QueueError where a job was handed out
    twice or not done, StoreError where the database cannot be used.
    """
    with own_database(url) as database:
        yield from _submit_and_read(database, jobs)
        yield from _claims(database, workers, jobs)
    with own_database(url) as database:
        few = max(1, jobs // ALONE)
        _submit(database, few)
        yield from _claims(database, 1, few)
    with own_database(url) as database:
        yield from _signs_of_life(database, workers, times=max(1, jobs // workers // 2))


def studies_of(jobs: int, first: int = 0) -> Iterator[Study]:
    """Studies whose runs are all different, numbered from `first`."""
    for start in range(first, first + jobs, STUDY_OF):
        numbers = range(start, min(start + STUDY_OF, first + jobs))
        data = DataSpec(content_hash="0" * 64)
        specs = tuple(RunSpec(data=data, loss=Focal(), training=TrainingSpec(seed=number)) for number in numbers)
        yield Study(f"bench {start}", "A benchmark", "Its runs are nothing", "none", specs)


def _submit(url: str, jobs: int) -> float:
    """Queue so many jobs; the seconds that the store took."""
    seconds = 0.0
    with closing(Store(url)) as store:
        for study in studies_of(jobs):
            started = time.perf_counter()
            store.submit_study(study)
            seconds += time.perf_counter() - started
    return seconds


def _submit_and_read(url: str, jobs: int) -> Iterator[Row]:
    kind, seconds = kind_of(url), _submit(url, jobs)
    yield _row(kind, "submit", processes=1, jobs=jobs, seconds=round(seconds, 3), per_s=_rate(jobs, seconds))
    with closing(Store(url)) as store:
        for what, limit in (("read all", None), ("read a page of 100", 100)):
            started = time.perf_counter()
            found = len(store.jobs(limit=limit))
            seconds = time.perf_counter() - started
            yield _row(kind, what, processes=1, jobs=found, seconds=round(seconds, 4), per_s=_rate(found, seconds))


def _claims(url: str, workers: int, jobs: int) -> Iterator[Row]:
    """Every job claimed and finished by so many processes, and checked."""
    tallies = at_once(workers, parts.claim_and_finish, [(url, f"worker {number}") for number in range(workers)])
    claimed = [held for tally in tallies for held in tally.held]
    twice = len(claimed) - len({job_id for job_id, _, _ in claimed})
    with closing(Store(url)) as store:
        undone = jobs - store.counts()[JobState.DONE]
    parts.fill_bare_table(url, jobs)
    limit = at_once(workers, parts.bare_claim_and_finish, [(url,)] * workers)
    yield _row(
        kind_of(url),
        "claim and finish",
        processes=workers,
        jobs=jobs,
        **_speed(tallies, limit),
        twice=twice,
        undone=undone,
    )
    if twice or undone:
        raise QueueError(f"Of {jobs} jobs {twice} were handed out twice and {undone} were not done.")


def _signs_of_life(url: str, workers: int, times: int) -> Iterator[Row]:
    """Heartbeats and reports of ten jobs a process."""
    _submit(url, 10 * workers)
    with closing(Store(url)) as store:
        held = claim_all(store)
    shares: list[Sequence[Held]] = [held[number::workers] for number in range(workers)]
    parts.fill_bare_table(url, len(held))
    keys = [range(1 + number, len(held) + 1, workers) for number in range(workers)]
    limit = at_once(workers, parts.bare_updates, [(url, own, times) for own in keys])
    for what, work in (("heartbeat", parts.beat), ("report", parts.report)):
        tallies = at_once(workers, work, [(url, own, times) for own in shares])
        yield _row(kind_of(url), what, processes=workers, times=times * workers, **_speed(tallies, limit))


def claim_all(store: Store) -> list[Held]:
    """Claim whatever is queued."""
    held = []
    while (claim := store.claim("bench")) is not None:
        held.append((claim.job_id, claim.token, claim.run_id))
    return held


def speed(tallies: Sequence[Tally]) -> float:
    """Operations a second of all processes together, from the first's start to the last's end."""
    seconds = max(tally.ended for tally in tallies) - min(tally.started for tally in tallies)
    return sum(len(tally.waits_s) for tally in tallies) / seconds


def quantile_ms(tallies: Sequence[Tally], share: float) -> float:
    """How long such a share of the operations took at most.

    >>> quantile_ms([Tally(0.0, 1.0, (0.001, 0.004)), Tally(0.0, 1.0, (0.002, 0.003))], 0.5)
    3.0
    """
    waits = sorted(wait for tally in tallies for wait in tally.waits_s)
    return round(1000 * waits[min(len(waits) - 1, int(share * len(waits)))], 2)


def _speed(ours: Sequence[Tally], limit: Sequence[Tally]) -> Row:
    per_s, limit_per_s = speed(ours), speed(limit)
    return {
        "per_s": round(per_s, 1),
        "limit_per_s": round(limit_per_s, 1),
        "ratio": round(per_s / limit_per_s, 3),
        "p50_ms": quantile_ms(ours, 0.5),
        "p99_ms": quantile_ms(ours, 0.99),
        "max_ms": quantile_ms(ours, 1.0),
    }


def _row(kind: str, what: str, **values: object) -> Row:
    return {"bench": "queue", "database": kind, "what": what, **values}


def _rate(number: int, seconds: float) -> float:
    return round(number / seconds, 1)
