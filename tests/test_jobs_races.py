"""Two at once, on SQLite and on PostgreSQL: what one does while the transaction of the other is still open."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import pytest
from jobs_tools import Clock, a_store, spec, study
from postgres_server import PostgresServer
from sqlalchemy import func, select

from noisedash.errors import StoreError
from noisedash.jobs import queue, submitting
from noisedash.jobs.database import Transaction, take_turn
from noisedash.jobs.protocol import LEASE_S, Event, WorkerKind
from noisedash.jobs.schema import jobs
from noisedash.jobs.store import Claim, Store
from noisedash.records import JobState, MetricRecord, Progress, ResultRecord, Wanted

T = TypeVar("T")
SOON_S = 0.3
"""After this long the second one waits for a lock of the first, or is done."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(database: str, clock: Clock) -> Store:
    return a_store(database, clock)


def meanwhile(store: Store, first: Callable[[Transaction], object], second: Callable[[], T]) -> T:
    """What `second` gives, begun after `first` wrote and before it commits."""
    with ThreadPoolExecutor(1) as pool:
        with store._database.write() as transaction:
            first(transaction)
            outcome = pool.submit(second)
            wait([outcome], SOON_S)
        return outcome.result(60)


def claimed(store: Store, run_id: str | None = None) -> Claim:
    claim = store.claim("worker", run_id)
    assert claim is not None
    return claim


class TestSubmitting:
    def test_the_same_study_twice_is_one(self, store: Store) -> None:
        second = meanwhile(
            store,
            lambda transaction: submitting.submit_study(transaction, study(1, 2), 0, None),
            lambda: store.submit_study(study(1, 2)),
        )
        assert (second.study_name, second.new_jobs, second.existing_jobs) == ("study", 0, 2)
        assert len(store.studies()) == 1

    def test_the_same_nonce_counts_once(self, store: Store) -> None:
        second = meanwhile(
            store,
            lambda transaction: submitting.submit_study(transaction, study(1, 2), 0, "nonce"),
            lambda: store.submit_study(study(3), nonce="nonce"),
        )
        assert (second.study_name, second.new_jobs) == ("study", 2)
        assert len(store.jobs()) == 2

    def test_other_runs_of_the_same_name_are_another_study_further_back_in_the_queue(self, store: Store) -> None:
        second = meanwhile(
            store,
            lambda transaction: submitting.submit_study(transaction, study(1, 2), 0, None),
            lambda: store.submit_study(study(3, 4)),
        )
        assert second.study_name == "study-2"
        with store._database.read() as transaction:
            positions = transaction.connection.scalars(select(jobs.c.position).order_by(jobs.c.run_id)).all()
        assert sorted(positions) == [1, 2, 3, 4]
        assert [claimed(store).spec for _ in range(4)] == [spec(number) for number in (1, 2, 3, 4)]

    def test_a_run_started_here_twice_runs_once(self, store: Store) -> None:
        def first(transaction: Transaction) -> None:
            submitting.ensure_queued(transaction, spec(1), "dataset")
            assert queue.claim(transaction, "here", LEASE_S, spec(1).id) is not None

        assert meanwhile(store, first, lambda: store.claim_run(spec(1), "dataset", "there")) is None

    def test_a_study_being_cancelled_spares_what_another_begins_to_need(self, store: Store) -> None:
        store.submit_study(study(1, 2, name="first"))
        cancelled = meanwhile(
            store,
            lambda transaction: submitting.submit_study(transaction, study(2, 3, name="second"), 0, None),
            lambda: store.cancel_study("first"),
        )
        assert cancelled == 1
        assert store.job_of_run(spec(2).id).state is JobState.QUEUED


class TestWishes:
    @pytest.mark.parametrize("wish", ["request_cancel", "request_pause"])
    def test_a_wish_meets_a_job_that_is_being_given_back(self, store: Store, wish: str) -> None:
        store.submit_study(study(1))
        claim = claimed(store)
        meanwhile(
            store,
            lambda transaction: queue.give_back(transaction, 1, claim.token, "stopped"),
            lambda: getattr(store, wish)(1),
        )
        assert store.job(1).state == {"request_cancel": "cancelled", "request_pause": "paused"}[wish]

    def test_a_wish_meets_a_job_that_is_being_claimed(self, store: Store) -> None:
        store.submit_study(study(1))
        meanwhile(
            store,
            lambda transaction: queue.claim(transaction, "worker", LEASE_S),
            lambda: store.request_cancel(1),
        )
        assert store.heartbeat(1, 1) is Wanted.CANCEL

    @pytest.mark.parametrize("end", ["lose", "give_back"])
    def test_the_end_of_a_trainer_hears_a_wish_that_came_just_before(self, store: Store, end: str) -> None:
        store.submit_study(study(1))
        claim = claimed(store)
        meanwhile(
            store,
            lambda transaction: queue.ask(transaction, Event.CANCEL, 1),
            lambda: getattr(store, end)(1, claim.token, "killed"),
        )
        assert store.job(1).state is JobState.CANCELLED

    def test_who_locks_many_jobs_takes_turns_so_that_nobody_waits_in_a_circle(self, store: Store) -> None:
        store.submit_study(study(1, 2))
        with ThreadPoolExecutor(1) as pool:
            with store._database.write() as transaction:
                take_turn(transaction)
                queue.lock(transaction, [jobs.c.id == 2])
                cancelled = pool.submit(store.cancel_study, "study")
                wait([cancelled], SOON_S)
                queue.lock(transaction, [jobs.c.id == 1])
            assert cancelled.result(60) == 2


class TestLeases:
    def test_a_late_heartbeat_keeps_a_job_from_being_taken(self, store: Store, clock: Clock) -> None:
        store.submit_study(study(1))
        claim = claimed(store)
        clock.now += LEASE_S + 1
        taken = meanwhile(
            store,
            lambda transaction: queue.heartbeat(transaction, 1, claim.token, LEASE_S),
            store.requeue_expired,
        )
        assert (taken, store.job(1).state) == (0, JobState.RUNNING)

    def test_a_lost_job_is_taken_once(self, store: Store, clock: Clock) -> None:
        store.submit_study(study(1, 2))
        claimed(store)
        claimed(store)
        clock.now += LEASE_S + 1
        assert meanwhile(store, queue.requeue_expired, store.requeue_expired) == 0
        assert [job.attempts for job in store.jobs()] == [1, 1]
        assert store.counts()[JobState.QUEUED] == 2

    def test_who_wants_one_run_waits_for_whoever_looks_at_its_job(self, store: Store) -> None:
        store.submit_study(study(1))
        claim = meanwhile(
            store,
            lambda transaction: queue.lock(transaction, [jobs.c.id == 1]),
            lambda: store.claim("here", spec(1).id),
        )
        assert claim is not None

    def test_claims_hold_up_no_heartbeat(self, postgres: PostgresServer, postgres_template: str) -> None:
        url = postgres.new_database(postgres_template)
        store = Store(url, busy_timeout_s=0.2)
        store.submit_study(study(1, 2, 3))
        running = claimed(store)

        def beat() -> Wanted:
            with ThreadPoolExecutor(1) as pool:
                return pool.submit(store.heartbeat, running.job_id, running.token).result(60)

        with store._database.write() as transaction:
            assert queue.claim(transaction, "other", LEASE_S) is not None
            assert beat() is Wanted.RUN
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(claimed, store).result(60).spec == spec(3)
        store.close()
        postgres.drop_database(url)


class TestRecords:
    def test_a_worker_that_is_seen_twice_is_one(self, store: Store) -> None:
        seen = ("name", "host", 1, 2)
        meanwhile(
            store,
            lambda transaction: queue.see_worker(transaction, *seen, WorkerKind.WORKER, ""),
            lambda: store.see_worker("name", "host", 1, 4),
        )
        assert [worker.slots for worker in store.workers()] == [4]

    def test_results_and_points_that_come_twice_are_kept_once(self, store: Store) -> None:
        store.submit_study(study(1))
        claim = claimed(store)
        result = ResultRecord(claim.run_id, 40, True, 0.3, 0.5, {})
        point, progress = MetricRecord(1, 1.0, 1.0, 1.0, 1.0, 1.0), Progress("training", 1, 2)

        def first(transaction: Transaction) -> None:
            queue.record_results(transaction, 1, claim.token, [result])
            queue.report(transaction, 1, claim.token, progress, point)

        def second() -> None:
            store.record_results(1, claim.token, [result])
            store.report(1, claim.token, progress, point)

        meanwhile(store, first, second)
        assert store.results([claim.run_id]) == [result]
        assert store.metrics(claim.run_id) == [point]

    def test_a_reader_sees_one_state_throughout(self, store: Store) -> None:
        store.submit_study(study(1))
        number = select(func.count()).select_from(jobs)
        with store._database.read() as transaction:
            assert transaction.connection.scalar(number) == 1
            store.submit_study(study(1, 2, 3))
            assert transaction.connection.scalar(number) == 1
        assert len(store.jobs()) == 3


def test_who_waits_too_long_is_told_so(postgres: PostgresServer, postgres_template: str) -> None:
    url = postgres.new_database(postgres_template)
    store = Store(url, busy_timeout_s=0.2)
    store.submit_study(study(1))
    with store._database.write() as transaction, ThreadPoolExecutor(1) as pool:
        queue.ask(transaction, Event.PAUSE, 1)
        late = pool.submit(store.request_cancel, 1)
        with pytest.raises(StoreError, match="is locked by another program"):
            late.result(60)
    store.resume(1)
    store.close()
    postgres.drop_database(url)
