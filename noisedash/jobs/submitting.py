"""Studies into runs and jobs, each run once, as functions of an open write transaction."""

from collections.abc import Iterator, Sequence
from itertools import count
from typing import TypeVar

from sqlalchemy import Column, func, insert, select, update

from noisedash.errors import SpecError
from noisedash.jobs.database import Transaction, take_turn
from noisedash.jobs.protocol import MAX_ATTEMPTS, Actor, Event, Submission
from noisedash.jobs.queue import transition
from noisedash.jobs.schema import jobs, runs, studies, study_runs, submissions
from noisedash.records import JobState, Wanted
from noisedash.spec import RunSpec, canonical_json
from noisedash.studies.study import Study

T = TypeVar("T")
NAME_LENGTH = 80
_CHUNK = 5_000


def submit_study(transaction: Transaction, study: Study, priority: int, nonce: str | None) -> Submission:
    """Keep the study and queue its runs. Raises SpecError where the name cannot be one or there are no runs.

    A nonce that was seen before gives the first answer again. A run that is done, running, paused or queued is left
    as it is (a queued one takes the higher priority); one that failed or was cancelled is queued again.
    """
    take_turn(transaction)
    before = _earlier(transaction, nonce)
    if before is not None:
        return before
    _check(study)
    specs = {spec.id: spec for spec in study.specs}
    _insert_runs(transaction, specs, study.dataset_name)
    name = _keep_study(transaction, study, tuple(specs))
    new = _insert_jobs(transaction, list(specs), priority)
    retried = _queue_again(transaction, [run_id for run_id in specs if run_id not in new], priority)
    submission = Submission(name, len(new), len(specs) - len(new) - retried, retried)
    if nonce is not None:
        values = {"nonce": nonce, "created_at": transaction.now, **vars(submission)}
        transaction.connection.execute(insert(submissions).values(values))
    return submission


def ensure_queued(transaction: Transaction, spec: RunSpec, dataset_name: str) -> None:
    """Queue one run that belongs to no study; a paused, failed or cancelled one is queued again."""
    take_turn(transaction)
    _insert_runs(transaction, {spec.id: spec}, dataset_name)
    _insert_jobs(transaction, [spec.id], priority=0)
    waiting = [jobs.c.run_id == spec.id, jobs.c.state != JobState.RUNNING]
    transition(transaction, Event.RETRY, Actor.PERSON, waiting, attempts=0, reason="")
    transition(transaction, Event.RESUME, Actor.PERSON, waiting)


def in_chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """The items in slices that are short enough for one statement's parameters."""
    return (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))


def _earlier(transaction: Transaction, nonce: str | None) -> Submission | None:
    columns = (
        submissions.c.study_name,
        submissions.c.new_jobs,
        submissions.c.existing_jobs,
        submissions.c.retried_jobs,
    )
    row = transaction.connection.execute(select(*columns).where(submissions.c.nonce == nonce)).one_or_none()
    return None if row is None else Submission(*row)


def _check(study: Study) -> None:
    if not study.specs:
        raise SpecError(f"The study {study.name!r} has no runs: choose at least one loss, one noise rate and one seed.")
    if study.name != study.name.strip() or not 0 < len(study.name) <= NAME_LENGTH or not study.name.isprintable():
        raise SpecError(
            f"{study.name!r} cannot be a study's name: take 1 to {NAME_LENGTH} printable characters, "
            "none of them white space at either end."
        )


def _keep_study(transaction: Transaction, study: Study, run_ids: tuple[str, ...]) -> str:
    """The name under which the study of exactly these runs is kept; its rows are made where there are none."""
    for number in count(1):
        name = study.name if number == 1 else f"{study.name}-{number}"
        study_id = transaction.connection.scalar(select(studies.c.id).where(studies.c.name == name))
        if study_id is None:
            _insert_study(transaction, study, name, run_ids)
            return name
        own = select(study_runs.c.run_id).where(study_runs.c.study_id == study_id)
        if set(transaction.connection.scalars(own)) == set(run_ids):
            transaction.connection.execute(update(studies).where(studies.c.id == study_id).values(cancelled_at=None))
            return name
    raise AssertionError


def _insert_study(transaction: Transaction, study: Study, name: str, run_ids: tuple[str, ...]) -> None:
    values = {"name": name, "title": study.title, "note": study.note, "dataset_name": study.dataset_name}
    added = insert(studies).values(created_at=transaction.now, **values).returning(studies.c.id)
    study_id = transaction.connection.execute(added).scalar_one()
    rows = [{"study_id": study_id, "position": n, "run_id": run_id} for n, run_id in enumerate(run_ids)]
    transaction.connection.execute(insert(study_runs), rows)


def _insert_runs(transaction: Transaction, specs: dict[str, RunSpec], dataset_name: str) -> None:
    rows = [
        {"id": run_id, "spec": canonical_json(specs[run_id]), "dataset_name": dataset_name}
        for run_id in _not_in(transaction, runs.c.id, list(specs))
    ]
    if rows:
        transaction.connection.execute(insert(runs), rows)


def _insert_jobs(transaction: Transaction, run_ids: list[str], priority: int) -> set[str]:
    """Make jobs for the runs that have none, last in the queue, in the order given; the ids of those runs."""
    new = _not_in(transaction, jobs.c.run_id, run_ids)
    last = transaction.connection.execute(select(func.coalesce(func.max(jobs.c.position), 0))).scalar_one()
    rows = [
        {
            "run_id": run_id,
            "state": JobState.QUEUED,
            "wanted": Wanted.RUN,
            "priority": priority,
            "position": last + number,
            "attempts": 0,
            "max_attempts": MAX_ATTEMPTS,
            "token": 0,
            "worker": "",
            "reason": "",
            "created_at": transaction.now,
        }
        for number, run_id in enumerate(new, start=1)
    ]
    if rows:
        transaction.connection.execute(insert(jobs), rows)
    return set(new)


def _not_in(transaction: Transaction, column: Column[str], values: list[str]) -> list[str]:
    """The values that the column does not hold, in order."""
    present: set[str] = set()
    for chunk in in_chunks(values):
        present.update(transaction.connection.scalars(select(column).where(column.in_(chunk))))
    return [value for value in values if value not in present]


def _queue_again(transaction: Transaction, run_ids: list[str], priority: int) -> int:
    """Retry those runs that failed or were cancelled; how many. One that is about to be cancelled goes on."""
    retried = 0
    for chunk in in_chunks(run_ids):
        among = jobs.c.run_id.in_(chunk)
        changed = transition(transaction, Event.RETRY, Actor.PERSON, [among], attempts=0, reason="")
        retried += len(changed)
        unwanted = [among, jobs.c.state == JobState.RUNNING, jobs.c.wanted == Wanted.CANCEL]
        transition(transaction, Event.RESUME, Actor.PERSON, unwanted)
        lower = update(jobs).where(among, jobs.c.state == JobState.QUEUED, jobs.c.priority < priority)
        transaction.connection.execute(lower.values(priority=priority))
    return retried
