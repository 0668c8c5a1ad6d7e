"""What a person asks of a whole study, or of the order of the queue, as functions of an open write transaction."""

from sqlalchemy import ColumnElement, select, update

from noisedash.errors import NotFoundError, QueueError
from noisedash.jobs.database import Transaction, take_turn
from noisedash.jobs.protocol import FINAL, Event
from noisedash.jobs.queue import ask_all
from noisedash.jobs.reading import one_study_id
from noisedash.jobs.schema import jobs, studies, study_runs
from noisedash.records import JobState

WAITING = (JobState.QUEUED, JobState.PAUSED)
"""States in which a job has a place in the queue."""


def ask_study(transaction: Transaction, event: Event, name: str) -> int:
    """A person's pause, resume or retry of all the study's jobs whose state allows it; how many. Raises NotFoundError.

    Runs that another study needs too are among them: unlike a cancel, it is taken back with nothing lost.
    """
    take_turn(transaction)
    study_id = one_study_id(transaction, name)
    if event is Event.RETRY:
        transaction.connection.execute(update(studies).where(studies.c.id == study_id).values(cancelled_at=None))
    return len(ask_all(transaction, event, [_of_study(study_id)]))


def set_priority(transaction: Transaction, job_id: int, priority: int) -> None:
    """Give a job another priority; higher goes first. Raises NotFoundError, QueueError where it is done."""
    changed = transaction.connection.execute(
        update(jobs).where(jobs.c.id == job_id, jobs.c.state != JobState.DONE).values(priority=priority)
    )
    if not changed.rowcount:
        state, _, _ = _place(transaction, job_id)
        raise QueueError(f"Job {job_id} is {state}: its priority decides nothing any more.")


def set_study_priority(transaction: Transaction, name: str, priority: int) -> int:
    """Give the study's jobs that are not final another priority; how many. Raises NotFoundError."""
    take_turn(transaction)
    mine = _of_study(one_study_id(transaction, name))
    changed = update(jobs).where(mine, jobs.c.state.not_in(FINAL)).values(priority=priority)
    return transaction.connection.execute(changed).rowcount


def move_before(transaction: Transaction, job_id: int, other_id: int) -> None:
    """Put a waiting job right before another of its priority. Raises NotFoundError, QueueError where that cannot be."""
    take_turn(transaction)
    priority, _ = _waiting(transaction, job_id)
    other_priority, position = _waiting(transaction, other_id)
    if priority != other_priority:
        raise QueueError(
            f"Job {job_id} has priority {priority} and job {other_id} has {other_priority}: "
            "give them the same priority first."
        )
    if job_id == other_id:
        return
    room = update(jobs).where(jobs.c.priority == priority, jobs.c.position < position)
    transaction.connection.execute(room.values(position=jobs.c.position - 1))
    _put(transaction, job_id, position - 1)


def move_first(transaction: Transaction, job_id: int) -> None:
    """Put a waiting job before all others of its priority. Raises NotFoundError, QueueError where it does not wait."""
    take_turn(transaction)
    _put(transaction, job_id, _end(transaction, job_id, first=True) - 1)


def move_last(transaction: Transaction, job_id: int) -> None:
    """Put a waiting job after all others of its priority. Raises NotFoundError, QueueError where it does not wait."""
    take_turn(transaction)
    _put(transaction, job_id, _end(transaction, job_id, first=False) + 1)


def _end(transaction: Transaction, job_id: int, *, first: bool) -> int:
    """The first or the last position of the jobs of this one's priority."""
    priority, _ = _waiting(transaction, job_id)
    order = jobs.c.position if first else jobs.c.position.desc()
    found = select(jobs.c.position).where(jobs.c.priority == priority).order_by(order).limit(1)
    position: int = transaction.connection.execute(found).scalar_one()
    return position


def _put(transaction: Transaction, job_id: int, position: int) -> None:
    transaction.connection.execute(update(jobs).where(jobs.c.id == job_id).values(position=position))


def _waiting(transaction: Transaction, job_id: int) -> tuple[int, int]:
    """Priority and position of a waiting job. Raises NotFoundError, QueueError."""
    state, priority, position = _place(transaction, job_id)
    if state not in WAITING:
        raise QueueError(f"Job {job_id} is {state}: only a job that waits has a place in the queue.")
    return priority, position


def _place(transaction: Transaction, job_id: int) -> tuple[JobState, int, int]:
    columns = (jobs.c.state, jobs.c.priority, jobs.c.position)
    row = transaction.connection.execute(select(*columns).where(jobs.c.id == job_id)).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no job {job_id}.")
    return JobState(row.state), row.priority, row.position


def _of_study(study_id: int) -> ColumnElement[bool]:
    return jobs.c.run_id.in_(select(study_runs.c.run_id).where(study_runs.c.study_id == study_id))
