"""Tables are made once, brought from revision to revision, and never by half."""

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from jobs_tools import Clock, a_store, spec, sqlite_url
from postgres_server import PostgresServer, database_name
from psycopg.sql import SQL
from sqlalchemy import Connection

from noisedash.errors import StoreError
from noisedash.jobs import migrating
from noisedash.jobs.database import Database
from noisedash.jobs.migrating import MIGRATIONS, open_database, revision, upgrade
from noisedash.jobs.schema import REVISION, REVISIONS, metadata
from noisedash.records import JobState
from noisedash.spec import canonical_json

FIRST_RELEASE = (Path(__file__).parent / "first_release.sql").read_text()
ROWS = f"""
INSERT INTO schema_version VALUES (1);
INSERT INTO runs VALUES ('{spec(1).id}', '{canonical_json(spec(1))}', 'dataset');
INSERT INTO studies VALUES (1, 'study', 'A title', '', 'dataset', 5.0, NULL);
INSERT INTO study_runs VALUES (1, 0, '{spec(1).id}');
INSERT INTO workers VALUES ('old', 'host', 1, 2, 5.0);
INSERT INTO jobs VALUES (7, '{spec(1).id}', 'queued', 'run', 0, 1, 1, 3, 1, NULL, '', 'Lost.', NULL, 5.0, 6.0, NULL);
"""


def first_release(path: Path) -> str:
    """The URL of a SQLite file as the first release left it."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(FIRST_RELEASE + ROWS)
    connection.close()
    return f"sqlite:///{path}"


def first_release_on_postgres(server: PostgresServer) -> str:
    url = server.new_database()
    server.execute(SQL(FIRST_RELEASE.replace("DOUBLE", "DOUBLE PRECISION") + ROWS), database_name(url))
    return url


def differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


def dump(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    lines = list(connection.iterdump())
    connection.close()
    return lines


class TestRevisions:
    def test_the_list_is_that_of_the_files_and_ends_with_the_newest(self) -> None:
        scripts = ScriptDirectory.from_config(_config())
        assert tuple(script.revision for script in reversed(list(scripts.walk_revisions()))) == REVISIONS
        assert scripts.get_current_head() == REVISION

    def test_made_at_once_is_made_by_migrations(self, new_database: str) -> None:
        database = Database(new_database)
        with database.write() as transaction:
            migrating._migrate(transaction.connection, None)
        with database.read() as transaction:
            assert differences(transaction.connection) == []
        assert revision(database) == REVISION
        database.close()

    def test_made_at_once_has_no_difference(self, database: str) -> None:
        opened = Database(database)
        with opened.read() as transaction:
            assert differences(transaction.connection) == []
        opened.close()

    def test_opening_what_is_up_to_date_imports_no_alembic(self, tmp_path: Path) -> None:
        code = f"import sys; from noisedash.jobs.store import Store; Store({sqlite_url(tmp_path)!r}).jobs()"
        code += "; print('alembic' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


class TestSqlite:
    def test_an_older_file_is_upgraded_as_it_is_opened_and_kept_beside(self, tmp_path: Path) -> None:
        url = first_release(tmp_path / "noisedash.db")
        before = dump(tmp_path / "noisedash.db")
        store = a_store(url, Clock())
        job = store.job(7)
        assert (job.state, job.spec, job.place, job.checkpoint_step) == (JobState.QUEUED, spec(1), "", None)
        claim = store.claim("worker", place="here")
        assert claim is not None
        assert (claim.job_id, claim.token, store.job(7).place) == (7, 2, "here")
        store.close()
        assert dump(tmp_path / "noisedash.db.before-0002") == before
        with Database(url).read() as transaction:
            assert differences(transaction.connection) == []

    def test_a_copy_is_never_overwritten(self, tmp_path: Path) -> None:
        (tmp_path / "noisedash.db.before-0002").write_text("mine")
        copy = upgrade(Database(first_release(tmp_path / "noisedash.db")))
        assert copy == tmp_path / "noisedash.db.before-0002-2"
        assert (tmp_path / "noisedash.db.before-0002").read_text() == "mine"

    def test_an_older_noisedash_refuses_what_was_upgraded(self, tmp_path: Path) -> None:
        a_store(first_release(tmp_path / "noisedash.db")).close()
        connection = sqlite3.connect(tmp_path / "noisedash.db")
        assert connection.execute("SELECT version FROM schema_version").fetchall() == [(2,)]
        connection.close()

    def test_many_processes_may_open_an_older_file_at_once(self, tmp_path: Path) -> None:
        url = first_release(tmp_path / "noisedash.db")
        with ThreadPoolExecutor(4) as pool:
            stores = list(pool.map(lambda _: a_store(url), range(4)))
        assert [len(store.jobs()) for store in stores] == [1] * 4
        assert len(list(tmp_path.glob("*.before-*"))) == 1

    def test_an_upgrade_that_fails_changes_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        url = first_release(tmp_path / "noisedash.db")
        before = dump(tmp_path / "noisedash.db")
        migrate = migrating._migrate

        def fail_late(connection: Connection, found: str | None) -> None:
            migrate(connection, found)
            raise KeyboardInterrupt

        monkeypatch.setattr(migrating, "_migrate", fail_late)
        with pytest.raises(KeyboardInterrupt):
            open_database(url)
        assert dump(tmp_path / "noisedash.db") == before

    def test_without_room_for_a_copy_nothing_is_changed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        url = first_release(tmp_path / "noisedash.db")
        before = dump(tmp_path / "noisedash.db")

        def no_space(descriptor: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(migrating.os, "fsync", no_space)
        with pytest.raises(StoreError, match=r"No copy of the database .* No space left .* nothing was changed"):
            open_database(url)
        assert dump(tmp_path / "noisedash.db") == before
        assert list(tmp_path.glob("*.before-*")) == []


class TestPostgres:
    def test_an_older_database_waits_for_the_command(self, postgres: PostgresServer) -> None:
        url = first_release_on_postgres(postgres)
        with pytest.raises(StoreError, match="run `noisedash db upgrade` once"):
            open_database(url)
        database = Database(url)
        assert revision(database) == "0001"
        assert upgrade(database) is None
        assert upgrade(database) is None
        with database.read() as transaction:
            assert differences(transaction.connection) == []
        database.close()
        store = a_store(url)
        assert store.job(7).spec == spec(1)
        store.close()
        postgres.drop_database(url)

    def test_a_later_one_is_refused_by_both_ways(self, postgres: PostgresServer, postgres_template: str) -> None:
        url = postgres.new_database(postgres_template)
        postgres.execute(SQL("UPDATE alembic_version SET version_num = '9999'"), database_name(url))
        database = Database(url)
        with pytest.raises(StoreError, match="made by a later NoiseDash"):
            upgrade(database)
        database.close()
        with pytest.raises(StoreError, match="made by a later NoiseDash"):
            open_database(url)
        postgres.drop_database(url)
