import math
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from jobs_tools import Clock, a_store, spec, study

from noisedash.errors import NotFoundError, QueueError, SpecError, StaleTokenError, StoreError
from noisedash.jobs import database
from noisedash.jobs.database import Database
from noisedash.jobs.store import Claim, Store
from noisedash.records import JobState, MetricRecord, Progress, ResultRecord, Wanted
from noisedash.spec import RunSpec


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(database: str, clock: Clock) -> Store:
    return a_store(database, clock)


def claimed(store: Store) -> Claim:
    claim = store.claim("worker")
    assert claim is not None
    return claim


def states(store: Store, name: str | None = None) -> list[str]:
    return [job.state.value for job in store.jobs(name)]


class TestSubmit:
    def test_a_study_comes_back_as_it_went_in(self, store: Store, clock: Clock) -> None:
        submission = store.submit_study(study(3, 1, 2))
        record = store.study("study")
        assert (submission.study_name, submission.new_jobs, submission.existing_jobs) == ("study", 3, 0)
        assert (record.title, record.note, record.dataset_name) == ("A title", "A note", "dataset")
        assert record.run_ids == tuple(spec(number).id for number in (3, 1, 2))
        assert record.created_at.timestamp() == clock.now
        assert [job.spec for job in store.jobs("study")] == [spec(3), spec(1), spec(2)]
        assert store.studies() == [record]

    def test_the_same_study_again_changes_nothing(self, store: Store) -> None:
        store.submit_study(study(1, 2))
        again = store.submit_study(study(1, 2))
        assert (again.study_name, again.new_jobs, again.existing_jobs, again.retried_jobs) == ("study", 0, 2, 0)
        assert len(store.studies()) == 1
        assert len(store.jobs()) == 2

    def test_the_same_name_with_other_runs_is_another_study(self, store: Store) -> None:
        store.submit_study(study(1))
        assert store.submit_study(study(2)).study_name == "study-2"
        assert store.submit_study(study(3)).study_name == "study-3"
        assert store.submit_study(study(2)).study_name == "study-2"

    def test_studies_share_runs(self, store: Store) -> None:
        store.submit_study(study(1, 2, name="first"))
        submission = store.submit_study(study(2, 3, name="second"))
        assert (submission.new_jobs, submission.existing_jobs) == (1, 1)
        assert store.counts()[JobState.QUEUED] == 3
        assert store.counts("second")[JobState.QUEUED] == 2
        assert store.studies_of([spec(2).id, spec(3).id, "none"]) == {
            spec(2).id: ("first", "second"),
            spec(3).id: ("second",),
            "none": (),
        }
        assert store.counts_by_study()["first"][JobState.QUEUED] == 2

    def test_a_run_named_twice_is_one(self, store: Store) -> None:
        assert store.submit_study(study(1, 1)).new_jobs == 1

    def test_a_nonce_counts_once(self, store: Store) -> None:
        first = store.submit_study(study(1), nonce="a")
        assert store.submit_study(study(1), nonce="a") == first
        assert store.submit_study(study(2), nonce="a") == first
        assert len(store.jobs()) == 1
        assert store.submit_study(study(2), nonce="b").study_name == "study-2"

    def test_failed_and_cancelled_runs_are_tried_again_others_left_alone(self, store: Store) -> None:
        store.submit_study(study(1, 2, 3, 4, 5))
        done, failed, running = claimed(store), claimed(store), claimed(store)
        store.finish(done.job_id, done.token)
        store.fail(failed.job_id, failed.token, "bad data")
        store.request_cancel(4)
        assert states(store) == ["done", "failed", "running", "cancelled", "queued"]
        again = store.submit_study(study(1, 2, 3, 4, 5))
        assert (again.existing_jobs, again.retried_jobs) == (3, 2)
        assert states(store) == ["done", "queued", "running", "queued", "queued"]
        assert store.job(failed.job_id).attempts == 0
        assert store.job(failed.job_id).reason == ""
        assert store.heartbeat(running.job_id, running.token) is Wanted.RUN

    def test_submitting_again_takes_back_a_cancel_that_was_not_yet_heard(self, store: Store) -> None:
        store.submit_study(study(1))
        claim = claimed(store)
        store.cancel_study("study")
        store.submit_study(study(1))
        assert store.heartbeat(claim.job_id, claim.token) is Wanted.RUN

    def test_a_higher_priority_lifts_queued_runs(self, store: Store) -> None:
        store.submit_study(study(1, 2))
        store.submit_study(study(2, name="urgent"), priority=5)
        assert claimed(store).spec == spec(2)

    @pytest.mark.parametrize("name", ["", " a", "a\n", "x" * 81])
    def test_names_that_cannot_be_shown_are_refused(self, store: Store, name: str) -> None:
        with pytest.raises(SpecError, match="name"):
            store.submit_study(study(1, name=name))

    def test_an_empty_study_is_refused(self, store: Store) -> None:
        with pytest.raises(SpecError, match="no runs"):
            store.submit_study(study())

    def test_four_thousand_jobs_stay_quick(self, store: Store) -> None:
        base = spec(0).model_dump()
        specs = tuple(RunSpec(**{**base, "training": {"seed": n}}) for n in range(4_000))
        big = study(0)
        store.submit_study(type(big)("big", "", "", "dataset", specs))
        start = time.perf_counter()
        assert store.counts("big")[JobState.QUEUED] == 4_000
        assert len(store.jobs("big", limit=50)) == 50
        assert [claimed(store).spec for _ in range(20)] == list(specs[:20])
        assert time.perf_counter() - start < 15
        assert store.cancel_study("big") == 4_000
        assert len(store.results([one.id for one in specs])) == 0


class TestOrder:
    def test_priority_first_then_submission(self, store: Store) -> None:
        store.submit_study(study(2, 1, name="first"))
        store.submit_study(study(4, 3, name="urgent"), priority=1)
        assert [claimed(store).spec for _ in range(4)] == [spec(4), spec(3), spec(2), spec(1)]
        assert store.claim("worker") is None

    def test_one_run_can_be_claimed_by_its_id(self, store: Store) -> None:
        store.submit_study(study(1, 2, 3))
        claim = store.claim("worker", spec(2).id)
        assert claim is not None
        assert claim.spec == spec(2)
        assert store.claim("worker", spec(2).id) is None

    def test_a_run_of_no_study_is_claimed_as_it_is_queued(self, store: Store) -> None:
        claim = store.claim_run(spec(7), "dataset", "here")
        assert claim is not None
        assert store.claim_run(spec(7), "dataset", "there") is None
        store.fail(claim.job_id, claim.token, "bad data")
        again = store.claim_run(spec(7), "dataset", "here")
        assert again is not None
        assert (again.token, again.attempt) == (2, 1)

    def test_jobs_can_be_cut_and_turned(self, store: Store, clock: Clock) -> None:
        store.submit_study(study(1, 2, 3))
        clock.now += 1
        claim = store.claim("worker", spec(2).id)
        assert claim is not None
        assert [job.spec for job in store.jobs(newest_first=True, limit=1)] == [spec(2)]
        assert [job.spec for job in store.jobs(limit=1, offset=1)] == [spec(2)]
        assert store.jobs(limit=0) == []
        assert [job.spec for job in store.jobs(offset=2)] == [spec(3)]
        assert [job.spec for job in store.jobs(states=[JobState.QUEUED])] == [spec(1), spec(3)]


class TestLease:
    def test_a_claim_counts_the_attempt_and_names_the_worker(self, store: Store, clock: Clock) -> None:
        store.submit_study(study(1))
        claim = claimed(store)
        job = store.job(claim.job_id)
        assert (claim.token, claim.attempt, claim.run_id, claim.spec) == (1, 1, spec(1).id, spec(1))
        assert (job.state, job.worker, job.attempts, job.claims) == (JobState.RUNNING, "worker", 1, 1)
        assert job.started_at is not None
        assert job.started_at.timestamp() == clock.now

    def test_heartbeats_keep_a_job_and_a_lost_lease_gives_it_to_another(self, store: Store, clock: Clock) -> None:
        store.submit_study(study(1))
        first = claimed(store)
        clock.now += 19
        store.heartbeat(first.job_id, first.token)
        clock.now += 19
        assert store.requeue_expired() == 0
        clock.now += 2
        assert store.requeue_expired() == 1
        assert store.job(1).reason == "The worker worker was lost (attempt 1 of 3)."
        second = claimed(store)
        assert (second.token, second.attempt) == (2, 2)
        with pytest.raises(StaleTokenError):
            store.heartbeat(first.job_id, first.token)

    def test_a_late_heartbeat_counts_while_nobody_took_the_job(self, store: Store, clock: Clock) -> None:
        store.submit_study(study(1))
        claim = claimed(store)
        clock.now += 100
        assert store.heartbeat(claim.job_id, claim.token) is Wanted.RUN
        assert store.requeue_expired() == 0

    def test_a_poison_job_stops(self, store: Store, clock: Clock) -> None:
        store.submit_study(study(1))
        for _ in range(3):
            claimed(store)
            clock.now += 21
            store.requeue_expired()
        job = store.job(1)
        assert (job.state, job.reason) == (JobState.FAILED, "The worker worker was lost (attempt 3 of 3).")
        assert store.claim("worker") is None
        store.retry(1)
        assert (claimed(store).attempt, store.job(1).claims) == (1, 4)

    def test_giving_back_spends_no_attempt_but_never_reuses_a_token(self, store: Store) -> None:
        store.submit_study(study(1))
        for token in (1, 2, 3, 4):
            claim = claimed(store)
            assert (claim.token, claim.attempt) == (token, 1)
            store.give_back(claim.job_id, claim.token, "The worker stopped.")
            assert store.job(1).reason == "The worker stopped."

    def test_every_write_of_a_stale_trainer_is_refused_and_leaves_nothing(self, store: Store, clock: Clock) -> None:
        store.submit_study(study(1))
        old = claimed(store)
        clock.now += 21
        store.requeue_expired()
        new = claimed(store)
        result = ResultRecord(old.run_id, 40, True, 0.3, 0.5, {})
        writes = [
            lambda: store.report(old.job_id, old.token, Progress("training", 1, 2), MetricRecord(1, 1, 1, 1, 1, 1)),
            lambda: store.record_results(old.job_id, old.token, [result]),
            lambda: store.finish(old.job_id, old.token, [result]),
            lambda: store.fail(old.job_id, old.token, "no"),
            lambda: store.lose(old.job_id, old.token, "no"),
            lambda: store.give_back(old.job_id, old.token, "no"),
        ]
        before = store.job(1)
        for write in writes:
            with pytest.raises(StaleTokenError):
                write()
        assert store.job(1) == before
        assert store.metrics(old.run_id) == []
        assert store.results([old.run_id]) == []
        store.finish(new.job_id, new.token, [result])
        assert store.results([old.run_id]) == [result]


class TestWishes:
    def test_cancel_of_a_running_job_waits_for_its_holder(self, store: Store) -> None:
        store.submit_study(study(1))
        claim = claimed(store)
        store.request_cancel(1)
        assert store.job(1).state is JobState.RUNNING
        assert store.heartbeat(1, claim.token) is Wanted.CANCEL
        assert store.wanted([1]) == {1: Wanted.CANCEL}
        store.give_back(1, claim.token, "asked")
        job = store.job(1)
        assert (job.state, job.wanted, job.reason) == (JobState.CANCELLED, Wanted.RUN, "")

    @pytest.mark.parametrize("wish", ["request_cancel", "request_pause"])
    def test_a_wish_is_granted_at_once_when_the_worker_is_gone(self, store: Store, clock: Clock, wish: str) -> None:
        store.submit_study(study(1))
        claimed(store)
        clock.now += 21
        getattr(store, wish)(1)
        assert store.job(1).state == {"request_cancel": "cancelled", "request_pause": "paused"}[wish]

    def test_a_wish_comes_before_the_attempts_limit(self, store: Store) -> None:
        store.submit_study(study(1))
        claim = claimed(store)
        store.request_pause(1)
        store.lose(1, claim.token, "killed")
        assert store.job(1).state is JobState.PAUSED
        store.resume(1)
        assert claimed(store).attempt == 2

    def test_a_finished_run_is_done_even_if_it_was_to_be_cancelled(self, store: Store) -> None:
        store.submit_study(study(1))
        claim = claimed(store)
        store.request_cancel(1)
        store.finish(1, claim.token)
        assert store.job(1).state is JobState.DONE

    def test_what_the_state_does_not_allow_is_refused_in_words(self, store: Store) -> None:
        store.submit_study(study(1))
        claim = claimed(store)
        store.finish(1, claim.token)
        with pytest.raises(QueueError, match=r"^Job 1 is done: it cannot be cancelled\.$"):
            store.request_cancel(1)
        with pytest.raises(NotFoundError, match="no job 99"):
            store.retry(99)

    def test_cancelling_a_study_spares_what_another_needs(self, store: Store) -> None:
        store.submit_study(study(1, 2, name="first"))
        store.submit_study(study(2, 3, name="second"))
        assert store.cancel_study("first") == 1
        assert states(store) == ["cancelled", "queued", "queued"]
        assert store.cancel_study("second") == 2
        assert states(store) == ["cancelled"] * 3
        assert store.cancel_study("second") == 0
        with pytest.raises(NotFoundError):
            store.cancel_study("third")

    def test_a_study_submitted_again_needs_its_runs_again(self, store: Store) -> None:
        store.submit_study(study(1, 2, name="first"))
        store.submit_study(study(2, name="second"))
        store.cancel_study("first")
        store.submit_study(study(1, 2, name="first"))
        store.cancel_study("second")
        assert states(store) == ["queued", "queued"]


class TestRecords:
    def test_curves_are_replaced_step_by_step(self, store: Store) -> None:
        store.submit_study(study(1))
        claim = claimed(store)
        progress = Progress("training", 2, 40, 0.5, 0.3, 0.2, 11.0, 3.5)
        for loss in (1.0, 2.0):
            for step in (1, 2):
                store.report(1, claim.token, progress, MetricRecord(step, loss, 0.5, 0.5, 1e-3, 9.0))
        assert [(metric.step, metric.loss) for metric in store.metrics(claim.run_id)] == [(1, 2.0), (2, 2.0)]
        assert [metric.step for metric in store.metrics(claim.run_id, after_step=1)] == [2]
        assert store.job(1).progress == progress

    def test_results_come_back_in_the_order_of_the_runs(self, store: Store) -> None:
        store.submit_study(study(1, 2))
        for claim in (claimed(store), claimed(store)):
            interim = ResultRecord(claim.run_id, 20, False, 0.01, 0.1, {"cat": 0.1, "dog": None})
            store.record_results(claim.job_id, claim.token, [interim])
            final = [ResultRecord(claim.run_id, 40, True, t, 0.2, {"cat": 0.2}) for t in (0.3, 0.01)]
            store.finish(claim.job_id, claim.token, final)
        found = store.results([spec(2).id, spec(1).id])
        assert [(r.run_id, r.step, r.score_threshold) for r in found] == [
            (spec(number).id, *rest) for number in (2, 1) for rest in ((20, 0.01), (40, 0.01), (40, 0.3))
        ]
        assert found[0].ap_of_class == {"cat": 0.1, "dog": None}
        assert all(record.final for record in store.results([spec(1).id], final_only=True))

    def test_a_mean_of_no_class_stays_not_a_number(self, store: Store) -> None:
        store.submit_study(study(1))
        claim = claimed(store)
        store.finish(1, claim.token, [ResultRecord(claim.run_id, 40, True, 0.3, math.nan, {})])
        assert math.isnan(store.results([claim.run_id])[0].mean_ap)

    def test_a_job_that_cannot_keep_its_results_is_not_done(self, store: Store) -> None:
        store.submit_study(study(1, 2))
        claim = claimed(store)
        with pytest.raises(AssertionError):
            store.finish(1, claim.token, [ResultRecord(spec(2).id, 40, True, 0.3, 0.1, {})])
        assert store.job(1).state is JobState.RUNNING

    def test_what_is_not_there_is_named(self, store: Store) -> None:
        for look in (lambda: store.study("x"), lambda: store.job(1), lambda: store.job_of_run("x")):
            with pytest.raises(NotFoundError):
                look()
        with pytest.raises(NotFoundError):
            store.counts("x")

    def test_workers_are_seen_for_a_while(self, store: Store, clock: Clock) -> None:
        store.see_worker("a", "host", 1, 2)
        clock.now += 10
        store.see_worker("b", "host", 2, 1)
        store.see_worker("b", "host", 2, 4)
        assert [(worker.name, worker.slots, worker.seconds_since_seen) for worker in store.workers()] == [
            ("a", 2, 10.0),
            ("b", 4, 0.0),
        ]
        clock.now += 10
        assert [worker.name for worker in store.workers()] == ["b"]
        clock.now += 86_390
        store.see_worker("b", "host", 2, 4)
        assert [worker.name for worker in store.workers(within_s=1e9)] == ["b"]
        store.forget_worker("b")
        assert store.workers() == []


class TestDatabase:
    def test_times_are_the_databases(self, tmp_path: Path) -> None:
        with Database(f"sqlite:///{tmp_path / 'a.db'}").write() as transaction:
            assert abs(transaction.now - time.time()) < 2

    def test_commits_are_safe_and_keys_hold(self, tmp_path: Path) -> None:
        with Database(f"sqlite:///{tmp_path / 'a.db'}").read() as transaction:
            pragmas = {
                name: transaction.connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            }
        assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}

    def test_another_version_is_refused(self, tmp_path: Path) -> None:
        a_store(tmp_path).close()
        connection = sqlite3.connect(tmp_path / "noisedash.db")
        with connection:
            connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.close()
        with pytest.raises(StoreError, match=r"made by a later NoiseDash \(revision 9999"):
            a_store(tmp_path)

    def test_a_locked_database_is_named_and_works_again(self, tmp_path: Path) -> None:
        store = Store(f"sqlite:///{tmp_path / 'noisedash.db'}", busy_timeout_s=0.1)
        holder = sqlite3.connect(tmp_path / "noisedash.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked by another program"):
            store.submit_study(study(1))
        assert store.jobs() == []
        holder.execute("ROLLBACK")
        holder.close()
        store.submit_study(study(1))

    def test_a_writer_waits_for_the_lock_and_looks_often(self, tmp_path: Path) -> None:
        database = Database(f"sqlite:///{tmp_path / 'a.db'}")
        with database.read():
            pass
        holder = sqlite3.connect(tmp_path / "a.db", isolation_level=None, check_same_thread=False)
        holder.execute("BEGIN IMMEDIATE")
        looks: list[float] = []

        def look(seconds: float) -> None:
            looks.append(seconds)
            if len(looks) == 30:
                holder.execute("COMMIT")

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("noisedash.jobs.database.time.sleep", look)
            with database.write() as transaction:
                assert transaction.connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30_000
        holder.close()
        assert len(looks) == 30
        assert max(looks) < 0.01

    def test_no_database_is_said_in_one_sentence(self, tmp_path: Path) -> None:
        (tmp_path / "text.db").write_text("This is no database." * 100)
        with pytest.raises(StoreError, match="is not a SQLite database"):
            Store(f"sqlite:///{tmp_path / 'text.db'}")
        with pytest.raises(StoreError, match="cannot be opened"):
            Store(f"sqlite:///{tmp_path}")
        for url in ("sqlite://", "mysql://host/base", "nonsense"):
            with pytest.raises(StoreError, match=r"NOISEDASH_DB"):
                Store(url)

    def test_a_full_database_loses_nothing(self, tmp_path: Path) -> None:
        store = a_store(tmp_path)
        store.submit_study(study(1))
        with store._database.write() as transaction:
            pages = transaction.connection.exec_driver_sql("PRAGMA page_count").scalar()
            transaction.connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreError, match="disk is full"):
            store.submit_study(study(*range(100, 1000), name="more"))
        assert len(store.jobs()) == 1
        with store._database.write() as transaction:
            transaction.connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
        assert store.submit_study(study(*range(100, 1000), name="more")).new_jobs == 900

    def test_network_file_systems_are_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(database, "file_system_of", lambda path: "nfs4")
        with pytest.raises(StoreError, match=r"network file system \(nfs4\)"):
            a_store(tmp_path)

    def test_the_file_system_is_that_of_the_deepest_mount(self) -> None:
        assert database.file_system_of(Path("/proc/self")) == "proc"

    def test_three_processes_may_open_a_new_database_at_once(self, new_database: str) -> None:
        code = f"from noisedash.jobs.store import Store; print(len(Store({new_database!r}).jobs()))"
        processes = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(3)]
        assert [process.communicate()[0] for process in processes] == [b"0\n"] * 3

    def test_threads_share_a_store(self, store: Store) -> None:
        store.submit_study(study(*range(40)))
        with ThreadPoolExecutor(8) as pool:
            claims = list(pool.map(lambda _: claimed(store).job_id, range(40)))
        assert sorted(claims) == list(range(1, 41))

    def test_the_store_imports_no_torch(self) -> None:
        code = "import sys, noisedash.jobs.store, noisedash.jobs.worker; print('torch' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_four_processes_claim_no_job_twice(database: str) -> None:
    store = a_store(database)
    store.submit_study(study(*range(160)))
    code = (
        "import sys\n"
        "from noisedash.jobs.store import Store\n"
        "store = Store(sys.argv[1])\n"
        "while (claim := store.claim(sys.argv[2])):\n"
        "    store.finish(claim.job_id, claim.token)\n"
        "    print(claim.job_id)\n"
    )
    workers = [
        subprocess.Popen([sys.executable, "-c", code, database, str(n)], stdout=subprocess.PIPE, text=True)
        for n in range(4)
    ]
    claims = [int(line) for worker in workers for line in worker.communicate()[0].split()]
    assert sorted(claims) == list(range(1, 161))
    assert store.counts()[JobState.DONE] == 160
    assert all(job.attempts == 1 for job in store.jobs())
