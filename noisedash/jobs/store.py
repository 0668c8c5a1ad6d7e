"""The one truth about studies, jobs and results: an SQL database. Pages read it, workers claim from it.

Safe from any number of threads and processes; imports no torch.
"""

from collections.abc import Callable, Iterable, Sequence

from noisedash.jobs import queue, reading, submitting, wishes
from noisedash.jobs.database import BUSY_TIMEOUT_S
from noisedash.jobs.migrating import open_database
from noisedash.jobs.protocol import HEARTBEAT_S, LEASE_S, Claim, Event, Submission, WorkerKind, WorkerRecord
from noisedash.records import JobRecord, JobState, MetricRecord, Progress, ResultRecord, StudyRecord, Wanted
from noisedash.spec import RunSpec
from noisedash.studies.study import Study

__all__ = ["Claim", "Store", "Submission", "WorkerKind", "WorkerRecord"]


class Store:
    """Opens the database at an SQLAlchemy URL; its tables are made where there are none.

    `lease_s` is how long a claimed job stays its worker's without a heartbeat. `clock` replaces the database's clock
    (seconds since 1970 UTC) in tests. Every method may raise StoreError (database locked, full, read-only, gone).
    """

    def __init__(
        self,
        url: str,
        *,
        lease_s: float = LEASE_S,
        clock: Callable[[], float] | None = None,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ):
        self._database = open_database(url, clock, busy_timeout_s)
        self._lease_s = lease_s

    def close(self) -> None:
        """Close the connections to the database."""
        self._database.close()

    # What a person does

    def submit_study(self, study: Study, priority: int = 0, nonce: str | None = None) -> Submission:
        """Keep a study and queue its runs; no run is trained twice.

        Runs that are done, running, paused or queued stay as they are; those that failed or were cancelled are queued
        again. A study of the same name and the same runs is the same study; with other runs the new one is called
        'name-2'. Submitting with a nonce that was seen before changes nothing and gives the first answer.
        Raises SpecError where the name is unusable or there are no runs.
        """
        with self._database.write() as transaction:
            return submitting.submit_study(transaction, study, priority, nonce)

    def request_cancel(self, job_id: int) -> None:
        """Cancel a job: at once where it waits; its supervisor ends it where it runs. Raises QueueError if final."""
        self._ask(Event.CANCEL, job_id)

    def request_pause(self, job_id: int) -> None:
        """Pause a job: at once where it waits; where it runs it keeps its checkpoint. Spends no attempt."""
        self._ask(Event.PAUSE, job_id)

    def resume(self, job_id: int) -> None:
        """Queue a paused job again, or take back what was asked of a running one. Raises QueueError otherwise."""
        self._ask(Event.RESUME, job_id)

    def retry(self, job_id: int) -> None:
        """Queue a failed or cancelled job again with all its attempts; it goes on from its newest checkpoint."""
        self._ask(Event.RETRY, job_id)

    def cancel_study(self, name: str) -> int:
        """Cancel the study's jobs that are not final; how many. Runs that another study needs too go on."""
        with self._database.write() as transaction:
            return queue.cancel_study(transaction, name)

    def pause_study(self, name: str) -> int:
        """Pause the study's jobs, those that run too and keep their progress; how many. Raises NotFoundError."""
        return self._ask_study(Event.PAUSE, name)

    def resume_study(self, name: str) -> int:
        """Queue the study's paused jobs again; how many."""
        return self._ask_study(Event.RESUME, name)

    def retry_study(self, name: str) -> int:
        """Queue the study's failed and cancelled jobs again; how many."""
        return self._ask_study(Event.RETRY, name)

    def set_priority(self, job_id: int, priority: int) -> None:
        """Give a job another priority: higher goes first. Raises NotFoundError, QueueError where it is done."""
        with self._database.write() as transaction:
            wishes.set_priority(transaction, job_id, priority)

    def set_study_priority(self, name: str, priority: int) -> int:
        """Give the study's jobs that are not final another priority; how many."""
        with self._database.write() as transaction:
            return wishes.set_study_priority(transaction, name, priority)

    def move_before(self, job_id: int, other_id: int) -> None:
        """Put a waiting job right before another of the same priority. Raises NotFoundError, QueueError."""
        with self._database.write() as transaction:
            wishes.move_before(transaction, job_id, other_id)

    def move_first(self, job_id: int) -> None:
        """Put a waiting job before all others of its priority. Raises NotFoundError, QueueError."""
        with self._database.write() as transaction:
            wishes.move_first(transaction, job_id)

    def move_last(self, job_id: int) -> None:
        """Put a waiting job after all others of its priority. Raises NotFoundError, QueueError."""
        with self._database.write() as transaction:
            wishes.move_last(transaction, job_id)

    def _ask_study(self, event: Event, name: str) -> int:
        with self._database.write() as transaction:
            return wishes.ask_study(transaction, event, name)

    def _ask(self, event: Event, job_id: int) -> None:
        with self._database.write() as transaction:
            queue.ask(transaction, event, job_id)

    # What pages read

    def studies(self) -> list[StudyRecord]:
        """All studies, the newest first."""
        with self._database.read() as transaction:
            return reading.all_studies(transaction)

    def study(self, name: str) -> StudyRecord:
        """The study of that name. Raises NotFoundError."""
        with self._database.read() as transaction:
            return reading.one_study(transaction, name)

    def jobs(
        self,
        study: str | None = None,
        states: Iterable[JobState] | None = None,
        limit: int | None = None,
        *,
        offset: int = 0,
        newest_first: bool = False,
    ) -> list[JobRecord]:
        """Jobs of a study (None: of all) in some states (None: in any).

        In the order in which they are claimed, or `newest_first`: the last finished or started first.
        """
        with self._database.read() as transaction:
            return reading.jobs_of(transaction, study, states, limit, offset, newest_first)

    def job(self, job_id: int) -> JobRecord:
        """The job of that id. Raises NotFoundError."""
        with self._database.read() as transaction:
            return reading.one_job(transaction, job_id)

    def job_of_run(self, run_id: str) -> JobRecord:
        """The job of that run. Raises NotFoundError."""
        with self._database.read() as transaction:
            return reading.job_of_run(transaction, run_id)

    def counts(self, study: str | None = None) -> dict[JobState, int]:
        """How many jobs of a study (None: of all) are in each state; every state is a key."""
        with self._database.read() as transaction:
            return reading.counts(transaction, study)

    def counts_by_study(self) -> dict[str, dict[JobState, int]]:
        """`counts` of every study in one query, the newest study first."""
        with self._database.read() as transaction:
            return reading.counts_by_study(transaction)

    def studies_of(self, run_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """For each run the names of the studies that it is part of."""
        with self._database.read() as transaction:
            return reading.studies_of(transaction, run_ids)

    def metrics(self, run_id: str, after_step: int = -1) -> list[MetricRecord]:
        """The run's training curves by step, from after `after_step` on."""
        with self._database.read() as transaction:
            return reading.metrics_of(transaction, run_id, after_step)

    def results(self, run_ids: Sequence[str], *, final_only: bool = False) -> list[ResultRecord]:
        """Results of the runs in their order, then by step and threshold; interim ones too unless `final_only`."""
        with self._database.read() as transaction:
            return reading.results_of(transaction, run_ids, final_only)

    def workers(self, within_s: float = 5 * HEARTBEAT_S) -> list[WorkerRecord]:
        """The workers that gave a sign of life within so many seconds."""
        with self._database.read() as transaction:
            return reading.seen_workers(transaction, within_s)

    # What workers do

    def claim(self, worker: str, run_id: str | None = None, place: str = "") -> Claim | None:
        """Take the next queued job, or that of one run: highest priority first, then first submitted. None: none.

        `place` is where it shall run, in words.
        """
        if self._database.is_sqlite:
            with self._database.read() as transaction:
                if not reading.is_work_waiting(transaction):
                    return None  # an idle worker does not hold the one write lock
        with self._database.write() as transaction:
            return queue.claim(transaction, worker, self._lease_s, run_id, place)

    def claim_run(self, spec: RunSpec, dataset_name: str, worker: str) -> Claim | None:
        """Take a run that belongs to no study, in one step, so that no other worker does. None: it runs or is done."""
        with self._database.write() as transaction:
            submitting.ensure_queued(transaction, spec, dataset_name)
            return queue.claim(transaction, worker, self._lease_s, spec.id)

    def heartbeat(self, job_id: int, token: int) -> Wanted:
        """Renew the lease, and say what is wanted of the job. Raises StaleTokenError if it is another's by now."""
        with self._database.write() as transaction:
            return queue.heartbeat(transaction, job_id, token, self._lease_s)

    def lease_left_s(self, job_id: int, token: int) -> float:
        """How many seconds the holder's lease has left, negative once it has run out. Raises StaleTokenError."""
        with self._database.read() as transaction:
            return reading.lease_left_s(transaction, job_id, token)

    def wanted(self, job_ids: Sequence[int]) -> dict[int, Wanted]:
        """What is wanted of those jobs."""
        with self._database.read() as transaction:
            return reading.wanted_of(transaction, job_ids)

    def requeue_expired(self) -> int:
        """Take jobs whose lease ran out from their workers: queued again, or failed past their attempts; how many."""
        with self._database.write() as transaction:
            return queue.requeue_expired(transaction)

    def lose(self, job_id: int, token: int, reason: str) -> None:
        """Say that the job's trainer died: queued again, or failed past its attempts. Raises StaleTokenError."""
        with self._database.write() as transaction:
            queue.lose(transaction, job_id, token, reason)

    def give_back(self, job_id: int, token: int, reason: str) -> None:
        """Return a job whose trainer was ended on purpose: cancelled or paused if that was wanted, else queued again.

        Spends no attempt. Raises StaleTokenError.
        """
        with self._database.write() as transaction:
            queue.give_back(transaction, job_id, token, reason)

    def see_worker(
        self,
        name: str,
        host: str,
        pid: int,
        slots: int,
        kind: WorkerKind = WorkerKind.WORKER,
        resources: str = "",
    ) -> None:
        """Note a worker's sign of life."""
        with self._database.write() as transaction:
            queue.see_worker(transaction, name, host, pid, slots, kind, resources)

    def forget_worker(self, name: str) -> None:
        """Note that a worker has ended."""
        with self._database.write() as transaction:
            queue.forget_worker(transaction, name)

    # What trainers write: each only while their token is the job's, in the same transaction; else StaleTokenError

    def report(self, job_id: int, token: int, progress: Progress, metric: MetricRecord | None = None) -> None:
        """Keep a trainer's progress, and a point of its curves."""
        with self._database.write() as transaction:
            queue.report(transaction, job_id, token, progress, metric)

    def checkpointed(self, job_id: int, token: int, step: int) -> None:
        """Note that the run's progress up to a step is kept."""
        with self._database.write() as transaction:
            queue.checkpointed(transaction, job_id, token, step)

    def record_results(self, job_id: int, token: int, results: Iterable[ResultRecord]) -> None:
        """Keep interim results of the job's run."""
        with self._database.write() as transaction:
            queue.record_results(transaction, job_id, token, results)

    def finish(self, job_id: int, token: int, results: Iterable[ResultRecord] = ()) -> None:
        """Keep the final results and mark the job done, both or neither.

        A trainer that did not hear the answer may say so again: under the same token it is told that all is well.
        """
        with self._database.write() as transaction:
            if queue.is_finished(transaction, job_id, token):
                return
            queue.record_results(transaction, job_id, token, results)
            queue.finish(transaction, job_id, token)

    def fail(self, job_id: int, token: int, reason: str) -> None:
        """Mark the job failed for good: another attempt would meet the same fault."""
        with self._database.write() as transaction:
            queue.fail(transaction, job_id, token, reason)
