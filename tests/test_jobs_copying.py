"""A database moves to another with every row, and goes on there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from jobs_tools import Clock, a_store, spec, sqlite_url, study
from postgres_server import PostgresServer
from sqlalchemy import Row, select
from typer.testing import CliRunner

from noisedash.cli.app import app
from noisedash.errors import QueueError, StoreError
from noisedash.jobs import copying
from noisedash.jobs.copying import copy_database
from noisedash.jobs.database import Database
from noisedash.jobs.migrating import open_database
from noisedash.jobs.protocol import LEASE_S
from noisedash.jobs.schema import metadata
from noisedash.jobs.store import Store
from noisedash.records import JobState, MetricRecord, Progress, ResultRecord


@pytest.fixture
def other(database: str, postgres: PostgresServer, postgres_template: str, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database of the other kind."""
    if not database.startswith("sqlite"):
        yield sqlite_url(tmp_path / "other")
        return
    url = postgres.new_database(postgres_template)
    yield url
    postgres.drop_database(url)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(database: str, clock: Clock) -> Store:
    """A store with a job in every state but running, with curves, results, workers and a submission's nonce."""
    store = a_store(database, clock)
    store.submit_study(study(1, 2, 3, 4, 5), nonce="nonce")
    store.submit_study(study(1, 9, name="Zwölf Röhren \N{SNOWMAN}"), priority=2)
    store.see_worker("worker", "host", 1, 2)
    done = store.claim("worker", spec(1).id, "host: cpu 1")
    failed = store.claim("worker", spec(2).id)
    assert done is not None
    assert failed is not None
    for step in (1, 2):
        store.report(
            done.job_id, done.token, Progress("training", step, 40), MetricRecord(step, 1 / 3, 0.1, 0.2, 1e-3, 9.5)
        )
    store.checkpointed(done.job_id, done.token, 20)
    store.record_results(
        done.job_id, done.token, [ResultRecord(done.run_id, 20, False, 0.3, float("nan"), {"cat": None})]
    )
    store.finish(done.job_id, done.token, [ResultRecord(done.run_id, 40, True, 0.3, 0.1 + 0.2, {"cat": 0.3})])
    store.fail(failed.job_id, failed.token, "bad \0 data")
    store.request_cancel(3)
    store.request_pause(4)
    return store


def rows(database: Database) -> dict[str, list[Row[tuple[object, ...]]]]:
    with database.read() as transaction:
        return {
            table.name: list(transaction.connection.execute(select(table).order_by(*table.primary_key.columns)))
            for table in metadata.sorted_tables
        }


def test_every_row_arrives_and_the_queue_goes_on(
    store: Store, other: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "_CHUNK", 2)
    target = open_database(other)
    copied = copy_database(store._database, target)
    assert rows(target) == rows(store._database)
    assert copied["jobs"] == len(store.jobs()) == 6
    assert (copied["metrics"], copied["results"], copied["submissions"], copied["workers"]) == (2, 2, 1, 1)
    target.close()
    there = a_store(other, clock)
    assert there.jobs() == store.jobs()
    assert there.job(2).reason == "bad \ufffd data"
    assert there.submit_study(study(7), nonce="nonce").study_name == "study"
    assert there.submit_study(study(7, name="new")).new_jobs == 1
    assert (there.job_of_run(spec(7).id).id, there.counts("new")[JobState.QUEUED]) == (7, 1)
    claim = there.claim("worker")
    assert claim is not None
    assert claim.spec == spec(9)


def test_nothing_is_copied_while_a_job_runs_and_a_lost_one_arrives_queued(
    store: Store, other: str, clock: Clock
) -> None:
    claim = store.claim("worker")
    assert claim is not None
    target = open_database(other)
    with pytest.raises(QueueError, match=r"Jobs are running in .* \(1\): stop its workers"):
        copy_database(store._database, target)
    clock.now += LEASE_S + 1
    copy_database(store._database, target)
    target.close()
    job = a_store(other).job(claim.job_id)
    assert (job.state, job.claims) == (JobState.QUEUED, claim.token)


def test_a_database_that_holds_something_is_left_alone(store: Store, other: str, database: str) -> None:
    there = a_store(other)
    there.submit_study(study(8))
    with pytest.raises(StoreError, match="holds studies or jobs already"):
        copy_database(store._database, there._database)
    assert [job.spec for job in there.jobs()] == [spec(8)]


def test_a_copy_that_breaks_off_leaves_nothing(store: Store, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(_: object) -> None:
        raise KeyboardInterrupt

    there = a_store(other)
    with monkeypatch.context() as broken:
        broken.setattr(copying, "_count_on", break_off)
        with pytest.raises(KeyboardInterrupt):
            copy_database(store._database, there._database)
    assert (there.jobs(), there.studies()) == ([], [])
    assert copy_database(store._database, there._database)["jobs"] == 6


def test_the_commands(store: Store, other: str) -> None:
    run = CliRunner().invoke
    shown = run(app, ["db", "show"])
    assert "Revision  0002" in shown.output
    assert "jobs" in shown.output
    assert "is up to date (revision 0002)" in run(app, ["db", "upgrade"]).output
    copied = run(app, ["db", "copy", other])
    assert "Set NOISEDASH_DB to it" in copied.output
    assert len(a_store(other).jobs()) == 6
    again = run(app, ["db", "copy", other])
    assert isinstance(again.exception, StoreError)
    for output in (shown.output, copied.output, str(again.exception)):
        assert "***@127.0.0.1" in output or "postgresql+psycopg" not in output
    assert '"rows"' in run(app, ["db", "show", "--json"]).output


def test_looking_makes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOISEDASH_DB", f"sqlite:///{tmp_path / 'none.db'}")
    assert "none: there are no tables yet" in CliRunner().invoke(app, ["db", "show"]).output
    assert list(tmp_path.glob("none.db*")) == []
