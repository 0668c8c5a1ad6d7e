"""A database in trouble: each kind is told in one sentence without a password, and work goes on when it is over."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from jobs_tools import Clock, a_store, empty_database, study
from postgres_server import PostgresServer, database_name
from psycopg.sql import SQL
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from noisedash.errors import StoreError
from noisedash.jobs import queue
from noisedash.jobs.protocol import LEASE_S
from noisedash.jobs.store import Store
from noisedash.jobs.trouble import in_plain_words
from noisedash.records import JobState, ResultRecord


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of this file's own, to be stopped and starved."""
    with PostgresServer(fsync=True, options={"max_connections": "12", "superuser_reserved_connections": "0"}) as server:
        yield server


@pytest.fixture
def store(server: PostgresServer) -> Iterator[Store]:
    url = server.new_database()
    store = Store(url)
    store.submit_study(study(1, 2))
    yield store
    store.close()
    server.drop_database(url)


class TestUrls:
    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("postgresql://u:geheim@x:y@h/d", "NOISEDASH_DB is no database URL"),
            ("postgresql+psycopg://u:geheim@127.0.0.1:1/d", "does not answer; check that its server runs"),
            ("postgres://u:geheim@127.0.0.1:1/d?application_name=geheim", "does not answer"),
            ("postgresql://u@127.0.0.1:1/d?password=geheim", "does not answer"),
            ("postgresql://u:geheim@127.0.0.1:1/d?passwort=geheim", 'invalid connection option "passwort"'),
            ("mysql://u:geheim@h/d", "not known here: mysql"),
        ],
    )
    def test_what_cannot_be_reached_is_named_without_its_password(self, url: str, words: str) -> None:
        with pytest.raises(StoreError) as caught:
            Store(url)
        assert words in str(caught.value)
        assert "geheim" not in str(caught.value)

    def test_a_missing_driver_is_named_with_what_installs_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "psycopg", None)
        with pytest.raises(StoreError, match=r"pip install 'noisedash\[postgres\]'"):
            Store("postgresql+psycopg://u:geheim@127.0.0.1/d")


class TestServer:
    def test_refusals(self, server: PostgresServer) -> None:
        with pytest.raises(StoreError, match="refuses this user; check user and password"):
            Store(server.url(password="wrong"))
        with pytest.raises(StoreError, match="does not exist on its server"):
            Store(server.url("nowhere"))

    def test_no_connection_left(self, server: PostgresServer, store: Store) -> None:
        taken = [server._connect() for _ in range(11)]
        try:
            other = server.url(database_name(str(store._database.url)))
            with pytest.raises(StoreError, match="has no connection left"):
                Store(other)
        finally:
            for connection in taken:
                connection.close()
        assert len(store.jobs()) == 2

    def test_idle_connections_that_were_cut_are_not_noticed(self, server: PostgresServer, store: Store) -> None:
        assert server.cut_connections() >= 1
        assert len(store.jobs()) == 2

    def test_a_connection_cut_in_a_transaction_undoes_it(self, server: PostgresServer, store: Store) -> None:
        def cut_within() -> None:
            with store._database.write() as transaction:
                transaction.connection.execute(text("UPDATE jobs SET priority = 7"))
                server.cut_connections()
                transaction.connection.execute(text("UPDATE jobs SET priority = 8"))

        with pytest.raises(StoreError, match="has cut the connection"):
            cut_within()
        assert [job.priority for job in store.jobs()] == [0, 0]

    def test_a_server_that_is_gone_for_a_while(self, server: PostgresServer, store: Store) -> None:
        claim = store.claim("worker")
        assert claim is not None
        server.pause(immediate=True)
        for _ in range(2):
            with pytest.raises(StoreError, match=r"does not answer|has cut the connection"):
                store.heartbeat(claim.job_id, claim.token)
        server.resume()
        store.heartbeat(claim.job_id, claim.token)
        store.finish(claim.job_id, claim.token)
        assert store.counts()[JobState.DONE] == 1

    def test_a_finish_whose_answer_was_lost_may_be_said_again(
        self, server: PostgresServer, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        claim = store.claim("worker")
        assert claim is not None
        results = [ResultRecord(claim.run_id, 40, True, 0.3, 0.5, {})]

        dialect = store._database._engine.dialect

        def commit_and_lose_the_answer(connection: Any) -> None:
            connection.commit()
            server.cut_connections()
            connection.execute("SELECT 1")

        with monkeypatch.context() as cut:
            cut.setattr(dialect, "do_commit", commit_and_lose_the_answer)
            with pytest.raises(StoreError, match="has cut the connection"):
                store.finish(claim.job_id, claim.token, results)
        store.finish(claim.job_id, claim.token, results)
        assert store.results([claim.run_id]) == results

    def test_a_server_that_takes_no_writes(self, server: PostgresServer, store: Store) -> None:
        def set_read_only(value: str) -> None:
            server.execute(SQL(f"ALTER SYSTEM SET default_transaction_read_only = {value}"))
            server.execute(SQL("SELECT pg_reload_conf(), pg_sleep(0.3)"))

        set_read_only("on")
        try:
            with pytest.raises(StoreError, match=r"takes no writes \(a standby, or set to read-only\)"):
                store.claim("worker")
            assert len(store.jobs()) == 2
        finally:
            server.execute(SQL("ALTER SYSTEM RESET ALL"))
            server.execute(SQL("SELECT pg_reload_conf(), pg_sleep(0.3)"))
        assert store.claim("worker") is not None

    @pytest.mark.parametrize(
        ("kind", "words"),
        [
            (psycopg.errors.DiskFull, "the disk is full; free some space, and work goes on"),
            (psycopg.errors.TooManyConnections, "has no connection left"),
            (psycopg.errors.DeadlockDetected, "try again"),
            (psycopg.errors.InsufficientPrivilege, "rights on its tables"),
            (psycopg.errors.CannotConnectNow, "is starting or stopping"),
            (psycopg.errors.AdminShutdown, "has cut the connection"),
            (psycopg.errors.IdleInTransactionSessionTimeout, "stood still for too long"),
            (psycopg.errors.NumericValueOutOfRange, "cannot be used: some words"),
        ],
    )
    def test_states_in_words(self, kind: type[psycopg.Error], words: str) -> None:
        said = in_plain_words(OperationalError("SELECT", {}, kind("some words\nmore")), "X")
        assert words in said
        assert said.startswith("The database X ")
        assert said.endswith(".")
        assert "\n" not in said


@contextmanager
def without_root() -> Iterator[Path]:
    """A folder of an ordinary user's, as whom the test goes on: root may write everywhere."""
    folder = Path(tempfile.mkdtemp(prefix="noisedash-test-"))
    nobody = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid()
    os.chown(folder, nobody, -1)
    before = os.geteuid()
    os.seteuid(nobody)
    try:
        yield folder
    finally:
        os.seteuid(before)
        shutil.rmtree(folder)


class TestSqliteFile:
    def test_a_read_only_file_can_be_read_and_is_written_when_it_may_be_again(self) -> None:
        with without_root() as folder:
            path = folder / "noisedash.db"
            path.write_bytes(empty_database())
            path.chmod(0o444)
            store = Store(f"sqlite:///{path}")
            assert store.jobs() == []
            for _ in range(2):
                with pytest.raises(StoreError, match="cannot be written; give this user the right to write it"):
                    store.submit_study(study(1))
            for file in folder.iterdir():  # the log, made meanwhile, has the rights of the file
                file.chmod(0o644)
            assert store.submit_study(study(1)).new_jobs == 1
            store.close()

    def test_a_folder_where_the_log_cannot_be_made(self) -> None:
        with without_root() as folder:
            path = folder / "noisedash.db"
            path.write_bytes(empty_database())
            folder.chmod(0o555)
            with pytest.raises(StoreError, match=r"cannot be (opened|written)"):
                Store(f"sqlite:///{path}").submit_study(study(1))
            folder.chmod(0o755)
            store = Store(f"sqlite:///{path}")
            assert store.submit_study(study(1)).new_jobs == 1
            store.close()

    def test_a_database_that_is_opened_read_only_says_so(self, tmp_path: Path) -> None:
        a_store(tmp_path).close()
        store = Store(f"sqlite:///file:{tmp_path / 'noisedash.db'}?mode=ro&uri=true")
        assert store.jobs() == []
        with pytest.raises(StoreError, match="cannot be written"):
            store.submit_study(study(1))
        store.close()

    def test_a_file_system_without_shared_memory_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="does not carry SQLite's write-ahead log"):
            Store(f"sqlite:///file:{tmp_path / 'noisedash.db'}?vfs=unix-dotfile&uri=true")

    def test_a_reader_that_looks_for_long_holds_up_no_writer(self, tmp_path: Path) -> None:
        store = a_store(tmp_path)
        with store._database.read() as transaction:
            assert transaction.connection.execute(text("SELECT count(*) FROM jobs")).scalar() == 0
            assert store.submit_study(study(1)).new_jobs == 1
        store.close()


FILL = (
    "INSERT INTO runs (id, spec, dataset_name) {numbers} SELECT CAST(i AS VARCHAR(16)), '{{}}', 'dataset' FROM n",
    "INSERT INTO jobs (run_id, state, wanted, priority, position, attempts, max_attempts, token, lease_until, worker,"
    " reason, created_at) {numbers} SELECT CAST(i AS VARCHAR(16)),"
    " CASE WHEN i <= 40000 THEN 'done' WHEN i <= 40300 THEN 'running' ELSE 'queued' END, 'run', i % 3, i, 0, 3, 0,"
    " CASE WHEN i > 40000 AND i <= 40300 THEN 999990.0 + i - 40000 END, '', '', 0.0 FROM n",
)
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)"


def plans(store: Store, deed: Callable[[], object]) -> str:
    """How the database looks for the rows of each statement of `deed`."""
    statements: list[tuple[str, object]] = []

    def remember(_c: object, _k: object, statement: str, parameters: object, *_: object) -> None:
        if statement.startswith(("SELECT jobs", "UPDATE jobs", "SELECT runs")) or "FROM jobs" in statement:
            statements.append((statement, parameters))

    engine = store._database._engine
    event.listen(engine, "before_cursor_execute", remember)
    deed()
    event.remove(engine, "before_cursor_execute", remember)
    explain = "EXPLAIN QUERY PLAN " if store._database.is_sqlite else "EXPLAIN "
    with store._database.write() as transaction:
        rows = [
            " ".join(map(str, row))
            for statement, parameters in statements
            for row in transaction.connection.exec_driver_sql(explain + statement, parameters)  # type: ignore[arg-type]
        ]
    assert statements
    return "\n".join(rows)


def test_claims_and_lost_leases_are_found_by_index_among_a_hundred_thousand_jobs(database: str) -> None:
    clock = Clock()
    store = a_store(database, clock)
    with store._database.write() as transaction:
        for statement in FILL:
            transaction.connection.execute(text(statement.format(numbers=NUMBERS)))
    if not store._database.is_sqlite:
        with store._database.write() as transaction:
            transaction.connection.exec_driver_sql("ANALYZE")
    clock.now = 1_000_000.0
    looked = plans(store, store.requeue_expired) + plans(store, lambda: claim_and_forget(store))
    assert "Seq Scan" not in looked
    assert "SCAN" not in looked.replace("SCAN CONSTANT ROW", "")


def claim_and_forget(store: Store) -> None:
    """Claim a job; these have no specification."""
    with store._database.write() as transaction, pytest.raises(ValueError, match="RunSpec"):
        queue.claim(transaction, "worker", LEASE_S)


def test_readers_wait_for_one_that_stands_still_with_a_lock_on_the_logs_index(tmp_path: Path) -> None:
    """SQLite itself gives up after ten seconds with 'locking protocol', whatever its busy timeout is."""
    store = a_store(tmp_path)
    store.submit_study(study(1))
    holder = subprocess.Popen(
        [sys.executable, "-c", LOCKS_OUT_READERS, str(tmp_path / "noisedash.db-shm")], stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.read(1) == b"."
    start = time.monotonic()
    assert len(store.jobs()) == 1
    assert time.monotonic() - start > 8, "nobody held a lock"
    assert holder.wait() == 0
    holder.stdout.close()


LOCKS_OUT_READERS = """
import fcntl, sys, time
with open(sys.argv[1], "r+b") as index:
    fcntl.lockf(index, fcntl.LOCK_EX, 5, 123)  # the five read marks: https://www.sqlite.org/walformat.html
    sys.stdout.write(".")
    sys.stdout.flush()
    time.sleep(14)
"""
