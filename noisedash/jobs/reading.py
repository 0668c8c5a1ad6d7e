"""Rows into records, as functions of an open transaction. Made for pages that ask every second."""

import json
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Row, Select, func, select

from noisedash.errors import NotFoundError, StaleTokenError
from noisedash.jobs.database import Transaction
from noisedash.jobs.protocol import WorkerKind, WorkerRecord
from noisedash.jobs.schema import jobs, metrics, results, runs, studies, study_runs, workers
from noisedash.jobs.submitting import in_chunks
from noisedash.records import JobRecord, JobState, MetricRecord, Progress, ResultRecord, StudyRecord, Wanted
from noisedash.spec import RunSpec

_JOBS = select(jobs, runs.c.spec, runs.c.dataset_name).join(runs, runs.c.id == jobs.c.run_id)


def all_studies(transaction: Transaction) -> list[StudyRecord]:
    """All studies, the newest first."""
    rows = transaction.connection.execute(select(studies).order_by(studies.c.id.desc())).all()
    pairs = select(study_runs.c.study_id, study_runs.c.run_id).order_by(study_runs.c.study_id, study_runs.c.position)
    run_ids: dict[int, list[str]] = {}
    for study_id, run_id in transaction.connection.execute(pairs):
        run_ids.setdefault(study_id, []).append(run_id)
    return [_study(row, run_ids[row.id]) for row in rows]


def one_study(transaction: Transaction, name: str) -> StudyRecord:
    """The study of that name. Raises NotFoundError."""
    row = transaction.connection.execute(select(studies).where(studies.c.name == name)).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no study {name!r}.")
    own = select(study_runs.c.run_id).where(study_runs.c.study_id == row.id).order_by(study_runs.c.position)
    return _study(row, transaction.connection.scalars(own).all())


def jobs_of(
    transaction: Transaction,
    study: str | None,
    states: Iterable[JobState] | None,
    limit: int | None,
    offset: int,
    newest_first: bool,
) -> list[JobRecord]:
    """Jobs of a study (None: of all) in some states (None: in any), in the order of claims or newest first."""
    query = _JOBS
    if study is not None:
        query = _within(query, one_study_id(transaction, study))
    if states is not None:
        query = query.where(jobs.c.state.in_(list(states)))
    if newest_first:
        changed = func.coalesce(jobs.c.finished_at, jobs.c.started_at, jobs.c.created_at)
        query = query.order_by(changed.desc(), jobs.c.id.desc())
    else:
        query = query.order_by(jobs.c.priority.desc(), jobs.c.position)
    rows = transaction.connection.execute(query.limit(limit).offset(offset or None))
    return [_job(row) for row in rows]


def one_job(transaction: Transaction, job_id: int) -> JobRecord:
    """The job of that id. Raises NotFoundError."""
    row = transaction.connection.execute(_JOBS.where(jobs.c.id == job_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no job {job_id}.")
    return _job(row)


def job_of_run(transaction: Transaction, run_id: str) -> JobRecord:
    """The job of a run. Raises NotFoundError."""
    row = transaction.connection.execute(_JOBS.where(jobs.c.run_id == run_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no run {run_id}.")
    return _job(row)


def counts(transaction: Transaction, study: str | None) -> dict[JobState, int]:
    """How many jobs of a study (None: of all) are in each state; every state is a key."""
    query = select(jobs.c.state, func.count()).group_by(jobs.c.state)
    if study is not None:
        query = _within(query, one_study_id(transaction, study))
    found: dict[str, int] = dict(transaction.connection.execute(query).all())
    return {state: found.get(state, 0) for state in JobState}


def counts_by_study(transaction: Transaction) -> dict[str, dict[JobState, int]]:
    """`counts` of every study, the newest first."""
    query = (
        select(studies.c.name, jobs.c.state, func.count())
        .join(study_runs, study_runs.c.study_id == studies.c.id)
        .join(jobs, jobs.c.run_id == study_runs.c.run_id)
        .group_by(studies.c.id, studies.c.name, jobs.c.state)
        .order_by(studies.c.id.desc())
    )
    table: dict[str, dict[JobState, int]] = {}
    for name, state, number in transaction.connection.execute(query):
        table.setdefault(name, dict.fromkeys(JobState, 0))[JobState(state)] = number
    return table


def studies_of(transaction: Transaction, run_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """For each run the names of the studies that it is part of."""
    names: dict[str, tuple[str, ...]] = dict.fromkeys(run_ids, ())
    for chunk in in_chunks(run_ids):
        query = select(study_runs.c.run_id, studies.c.name).join(studies).where(study_runs.c.run_id.in_(chunk))
        for run_id, name in transaction.connection.execute(query.order_by(studies.c.id)):
            names[run_id] += (name,)
    return names


def metrics_of(transaction: Transaction, run_id: str, after_step: int) -> list[MetricRecord]:
    """The run's training curves from after a step on, by step."""
    columns = [column for column in metrics.c if column.name != "run_id"]
    query = select(*columns).where(metrics.c.run_id == run_id, metrics.c.step > after_step).order_by(metrics.c.step)
    return [MetricRecord(**row._mapping) for row in transaction.connection.execute(query)]


def results_of(transaction: Transaction, run_ids: Sequence[str], final_only: bool) -> list[ResultRecord]:
    """Results of the runs, in the order of the runs, then by step and threshold."""
    found: dict[str, list[ResultRecord]] = {run_id: [] for run_id in run_ids}
    for chunk in in_chunks(list(found)):
        query = select(results).where(results.c.run_id.in_(chunk))
        if final_only:
            query = query.where(results.c.final)
        for row in transaction.connection.execute(query.order_by(results.c.step, results.c.score_threshold)):
            found[row.run_id].append(_result(row))
    return [record for records in found.values() for record in records]


def seen_workers(transaction: Transaction, within_s: float) -> list[WorkerRecord]:
    """The workers that gave a sign of life within so many seconds."""
    query = select(workers).where(workers.c.seen_at >= transaction.now - within_s).order_by(workers.c.name)
    return [
        WorkerRecord(
            row.name, row.host, row.pid, row.slots, transaction.now - row.seen_at, WorkerKind(row.kind), row.resources
        )
        for row in transaction.connection.execute(query)
    ]


def lease_left_s(transaction: Transaction, job_id: int, token: int) -> float:
    """How many seconds the holder's lease has left, negative once it has run out. Raises StaleTokenError."""
    held = (jobs.c.id == job_id, jobs.c.token == token, jobs.c.state == JobState.RUNNING)
    until: float | None = transaction.connection.scalar(select(jobs.c.lease_until).where(*held))
    if until is None:
        raise StaleTokenError(f"Token {token} of job {job_id} is void: the job is another's by now, or has ended.")
    return until - transaction.now


def is_work_waiting(transaction: Transaction) -> bool:
    """Whether any job is queued."""
    query = select(jobs.c.id).where(jobs.c.state == JobState.QUEUED).limit(1)
    return transaction.connection.scalar(query) is not None


def wanted_of(transaction: Transaction, job_ids: Sequence[int]) -> dict[int, Wanted]:
    """What is wanted of the jobs."""
    query = select(jobs.c.id, jobs.c.wanted).where(jobs.c.id.in_(job_ids))
    return {job_id: Wanted(wanted) for job_id, wanted in transaction.connection.execute(query)}


def one_study_id(transaction: Transaction, name: str) -> int:
    """The key of the study of that name. Raises NotFoundError."""
    study_id: int | None = transaction.connection.scalar(select(studies.c.id).where(studies.c.name == name))
    if study_id is None:
        raise NotFoundError(f"There is no study {name!r}.")
    return study_id


def _within(query: Select[Any], study_id: int) -> Select[Any]:
    return query.where(jobs.c.run_id.in_(select(study_runs.c.run_id).where(study_runs.c.study_id == study_id)))


def _study(row: Row[Any], run_ids: Sequence[str]) -> StudyRecord:
    return StudyRecord(row.name, row.title, row.note, row.dataset_name, tuple(run_ids), _time(row.created_at))


def _job(row: Row[Any]) -> JobRecord:
    return JobRecord(
        id=row.id,
        run_id=row.run_id,
        spec=_spec(row.spec),
        dataset_name=row.dataset_name,
        state=JobState(row.state),
        wanted=Wanted(row.wanted),
        priority=row.priority,
        attempts=row.attempts,
        max_attempts=row.max_attempts,
        reason=row.reason,
        worker=row.worker,
        progress=None if row.progress is None else Progress(**json.loads(row.progress)),
        created_at=_time(row.created_at),
        started_at=None if row.started_at is None else _time(row.started_at),
        finished_at=None if row.finished_at is None else _time(row.finished_at),
        claims=row.token,
        place=row.place,
        checkpoint_step=row.checkpoint_step,
    )


@lru_cache(maxsize=20_000)
def _spec(text: str) -> RunSpec:
    return RunSpec.model_validate_json(text)


def _result(row: Row[Any]) -> ResultRecord:
    mean_ap = math.nan if row.mean_ap is None else row.mean_ap
    return ResultRecord(row.run_id, row.step, row.final, row.score_threshold, mean_ap, json.loads(row.ap_of_class))


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
