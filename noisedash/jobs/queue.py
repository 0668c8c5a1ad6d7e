"""What happens to jobs, as functions of an open write transaction. Every change of state goes through `transition`."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, select, update

from noisedash.errors import NotFoundError, QueueError, StaleTokenError
from noisedash.jobs.database import Transaction, take_turn, upsert
from noisedash.jobs.protocol import FINAL, TRANSITIONS, Actor, Claim, Event, WorkerKind, event_of_lost_trainer
from noisedash.jobs.schema import jobs, metrics, results, runs, studies, study_runs, workers
from noisedash.records import JobState, MetricRecord, Progress, ResultRecord, Wanted
from noisedash.spec import RunSpec

FORGET_WORKER_S = 86_400.0
Conditions = Sequence[ColumnElement[bool]]
_WAITING = jobs.alias()


def claim(
    transaction: Transaction, worker: str, lease_s: float, run_id: str | None = None, place: str = ""
) -> Claim | None:
    """Hand the next queued job, or the one of `run_id`, to `worker`: counts the attempt and gives a new token."""
    wish = [_WAITING.c.run_id == run_id] if run_id else []
    first = (
        select(_WAITING.c.id)
        .where(_WAITING.c.state == JobState.QUEUED, *wish)
        .order_by(_WAITING.c.priority.desc(), _WAITING.c.position)
        .limit(1)
        .with_for_update(skip_locked=run_id is None)
    )
    claimed = transition(
        transaction,
        Event.CLAIM,
        Actor.WORKER,
        [jobs.c.id == first.scalar_subquery()],
        token=jobs.c.token + 1,
        attempts=jobs.c.attempts + 1,
        lease_until=transaction.now + lease_s,
        worker=worker,
        place=place,
        started_at=transaction.now,
    )
    if not claimed:
        return None
    columns = (
        jobs.c.id,
        jobs.c.token,
        jobs.c.attempts,
        jobs.c.max_attempts,
        runs.c.id,
        runs.c.spec,
        runs.c.dataset_name,
    )
    row = transaction.connection.execute(select(*columns).join(runs).where(jobs.c.id == claimed[0])).one()
    job_id, token, attempt, max_attempts, run, spec, dataset_name = row
    return Claim(job_id, token, attempt, max_attempts, run, RunSpec.model_validate_json(spec), dataset_name)


def heartbeat(transaction: Transaction, job_id: int, token: int, lease_s: float) -> Wanted:
    """Renew the lease, and say what is wanted of the job. Raises StaleTokenError."""
    renewed = (
        update(jobs).where(*_held(job_id, token)).values(lease_until=transaction.now + lease_s).returning(jobs.c.wanted)
    )
    wanted = transaction.connection.scalar(renewed)
    if wanted is None:
        raise _stale(transaction, job_id, token)
    return Wanted(wanted)


def report(transaction: Transaction, job_id: int, token: int, progress: Progress, metric: MetricRecord | None) -> None:
    """Keep a trainer's progress, and a point of its curves. Raises StaleTokenError."""
    run_id = _guard(transaction, job_id, token, progress=json.dumps(asdict(progress)))
    if metric is None:
        return
    upsert(transaction, metrics, {"run_id": run_id, **asdict(metric)})


def checkpointed(transaction: Transaction, job_id: int, token: int, step: int) -> None:
    """Note that the job's progress up to a step is kept. Raises StaleTokenError."""
    _guard(transaction, job_id, token, checkpoint_step=step)


def record_results(transaction: Transaction, job_id: int, token: int, records: Iterable[ResultRecord]) -> None:
    """Keep results; those of the same step and threshold are replaced. Raises StaleTokenError."""
    run_id = _guard(transaction, job_id, token)
    for record in records:
        assert record.run_id == run_id
        upsert(transaction, results, _result_values(record))


def is_finished(transaction: Transaction, job_id: int, token: int) -> bool:
    """Whether the job is done under this very token: its trainer asks again when it never heard the answer."""
    done = select(jobs.c.id).where(jobs.c.id == job_id, jobs.c.token == token, jobs.c.state == JobState.DONE)
    return transaction.connection.scalar(done) is not None


def finish(transaction: Transaction, job_id: int, token: int) -> None:
    """Mark the job done. Raises StaleTokenError."""
    _transition_held(transaction, Event.FINISH, job_id, token, reason="")


def fail(transaction: Transaction, job_id: int, token: int, reason: str) -> None:
    """Mark the job failed for good: another attempt would meet the same fault. Raises StaleTokenError."""
    _transition_held(transaction, Event.FAIL, job_id, token, reason=_storable(reason))


def lose(transaction: Transaction, job_id: int, token: int, reason: str) -> None:
    """The holder's trainer died: queued again, or failed past the attempts limit. Raises StaleTokenError."""
    row = _held_row(transaction, job_id, token)
    _lose(transaction, row, Actor.HOLDER, reason)


def give_back(transaction: Transaction, job_id: int, token: int, reason: str) -> None:
    """The holder ended its trainer on purpose: cancelled or paused where that was wanted, else queued again.

    Spends no attempt. Raises StaleTokenError.
    """
    row = _held_row(transaction, job_id, token)
    event = event_of_lost_trainer(Wanted(row.wanted), attempts=0, max_attempts=1)
    _transition_held(transaction, event, job_id, token, attempts=jobs.c.attempts - 1, reason=_reason(event, reason))


def requeue_expired(transaction: Transaction, *conditions: ColumnElement[bool]) -> int:
    """Take jobs whose lease ran out from their workers; how many there were."""
    columns = (jobs.c.id, jobs.c.token, jobs.c.wanted, jobs.c.attempts, jobs.c.max_attempts, jobs.c.worker)
    expired = select(*columns).where(
        jobs.c.state == JobState.RUNNING, jobs.c.lease_until < transaction.now, *conditions
    )
    # A row that is locked is being renewed, ended or taken by another: no longer ours to take.
    rows = transaction.connection.execute(expired.with_for_update(skip_locked=True)).all()
    for row in rows:
        _lose(transaction, row, Actor.REAPER, f"The worker {row.worker} was lost")
    return len(rows)


def ask(transaction: Transaction, event: Event, job_id: int) -> None:
    """A person's cancel, pause, resume or retry. Raises QueueError where the state does not allow it, NotFoundError."""
    if not ask_all(transaction, event, [jobs.c.id == job_id]):
        state = transaction.connection.scalar(select(jobs.c.state).where(jobs.c.id == job_id))
        if state is None:
            raise NotFoundError(f"There is no job {job_id}.")
        raise QueueError(f"Job {job_id} is {state}: it cannot be {_PAST[event]}.")


def cancel_study(transaction: Transaction, name: str) -> int:
    """Cancel the study's jobs that are not final, save those that another study, not cancelled, needs too."""
    take_turn(transaction)
    study_id = transaction.connection.scalar(
        update(studies).where(studies.c.name == name).values(cancelled_at=transaction.now).returning(studies.c.id)
    )
    if study_id is None:
        raise NotFoundError(f"There is no study {name!r}.")
    own = select(study_runs.c.run_id).where(study_runs.c.study_id == study_id)
    of_others = select(study_runs.c.run_id).join(studies).where(studies.c.cancelled_at.is_(None))
    return len(ask_all(transaction, Event.CANCEL, [jobs.c.run_id.in_(own), jobs.c.run_id.not_in(of_others)]))


def see_worker(
    transaction: Transaction, name: str, host: str, pid: int, slots: int, kind: WorkerKind, resources: str
) -> None:
    """Note that a worker lives, and forget those that were killed long ago."""
    long_gone = select(workers.c.name).where(workers.c.seen_at < transaction.now - FORGET_WORKER_S)
    gone = transaction.connection.scalars(long_gone.with_for_update(skip_locked=True)).all()
    if gone:  # PostgreSQL would look for them anew for each worker, were it one statement
        transaction.connection.execute(delete(workers).where(workers.c.name.in_(gone)))
    values = {
        **{"name": name, "host": host, "pid": pid, "slots": slots, "kind": kind, "resources": resources},
        "seen_at": transaction.now,
    }
    upsert(transaction, workers, values)


def forget_worker(transaction: Transaction, name: str) -> None:
    """Note that a worker has ended."""
    transaction.connection.execute(delete(workers).where(workers.c.name == name))


_PAST = {Event.CANCEL: "cancelled", Event.PAUSE: "paused", Event.RESUME: "resumed", Event.RETRY: "retried"}


def transition(
    transaction: Transaction, event: Event, actor: Actor, conditions: Conditions, **values: object
) -> list[int]:
    """Let the event happen to all jobs that meet the conditions in a state that allows it; their ids."""
    rows = [(key[0], then) for key, then in TRANSITIONS.items() if key[1:] == (event, actor)]
    if len(rows) > 1:  # between two statements no job may go from a later row's state to an earlier one's
        lock(transaction, conditions)
    changed: list[int] = []
    for state, then in rows:
        entry = {} if state is then.to else _on_entry(then.to, transaction.now)
        statement = (
            update(jobs)
            .where(jobs.c.state == state, *conditions)
            .values({"state": then.to, "wanted": then.wanted, **entry, **values})
            .returning(jobs.c.id)
        )
        changed += transaction.connection.scalars(statement).all()
    return changed


def lock(transaction: Transaction, conditions: Conditions) -> None:
    """Keep others from changing the jobs that meet the conditions until this transaction ends.

    In the order of their ids, so that two who lock many never wait for each other. SQLite's write lock is that already.
    """
    if transaction.connection.dialect.name == "postgresql":
        rows = select(jobs.c.id).where(*conditions).order_by(jobs.c.id)
        transaction.connection.execute(rows.with_for_update())


def _on_entry(state: JobState, now: float) -> dict[str, object]:
    """What holds of a job that has just come into a state."""
    if state is JobState.RUNNING:
        return {"finished_at": None}
    if state in FINAL:
        return {"lease_until": None, "finished_at": now}
    return {"lease_until": None, "finished_at": None, "worker": ""}


def ask_all(transaction: Transaction, event: Event, conditions: Conditions) -> list[int]:
    """A person's wish for all jobs that meet the conditions in a state that allows it; their ids."""
    values: dict[str, object] = {"attempts": 0, "reason": ""} if event is Event.RETRY else {}
    changed = transition(transaction, event, Actor.PERSON, conditions, **values)
    requeue_expired(transaction, *conditions)  # with no worker alive, the wish is granted here and now
    return changed


def _lose(transaction: Transaction, row: Row[*tuple[Any, ...]], actor: Actor, reason: str) -> None:
    event = event_of_lost_trainer(Wanted(row.wanted), row.attempts, row.max_attempts)
    counted = f"{reason} (attempt {row.attempts} of {row.max_attempts})."
    transition(transaction, event, actor, _held(row.id, row.token), reason=_reason(event, counted))


def _reason(event: Event, reason: str) -> str:
    return "" if event in (Event.CANCEL, Event.PAUSE) else _storable(reason)


def _storable(text: str) -> str:
    """A text as every database takes it: a trainer's last words may hold NUL characters."""
    return text.replace("\0", "\ufffd")


def _held(job_id: int, token: int) -> Conditions:
    return (jobs.c.id == job_id, jobs.c.token == token, jobs.c.state == JobState.RUNNING)


def _held_row(transaction: Transaction, job_id: int, token: int) -> Row[*tuple[Any, ...]]:
    columns = (jobs.c.id, jobs.c.token, jobs.c.wanted, jobs.c.attempts, jobs.c.max_attempts)
    held = select(*columns).where(*_held(job_id, token)).with_for_update()
    row = transaction.connection.execute(held).one_or_none()
    if row is None:
        raise _stale(transaction, job_id, token)
    return row


def _transition_held(transaction: Transaction, event: Event, job_id: int, token: int, **values: object) -> None:
    if not transition(transaction, event, Actor.HOLDER, _held(job_id, token), **values):
        raise _stale(transaction, job_id, token)


def _guard(transaction: Transaction, job_id: int, token: int, **values: object) -> str:
    """Write `values` if the token is the job's; its run. Raises StaleTokenError otherwise. Locks the row to the end."""
    guarded = update(jobs).where(*_held(job_id, token)).values({"token": token, **values}).returning(jobs.c.run_id)
    run_id: str | None = transaction.connection.scalar(guarded)
    if run_id is None:
        raise _stale(transaction, job_id, token)
    return run_id


def _stale(transaction: Transaction, job_id: int, token: int) -> NotFoundError | StaleTokenError:
    row = transaction.connection.execute(select(jobs.c.state, jobs.c.token).where(jobs.c.id == job_id)).one_or_none()
    if row is None:
        return NotFoundError(f"There is no job {job_id}.")
    return StaleTokenError(f"Token {token} of job {job_id} is void: the job is {row.state} under token {row.token}.")


def _result_values(record: ResultRecord) -> dict[str, object]:
    return {
        **asdict(record),
        "mean_ap": None if math.isnan(record.mean_ap) else record.mean_ap,
        "ap_of_class": json.dumps(record.ap_of_class),
    }
