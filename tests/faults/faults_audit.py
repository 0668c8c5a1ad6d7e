"""What the database itself saw: triggers keep a log of every change that a wrong claim or a second writer would make.

The log is written by the database in the transaction of the change, so that no kill and no lost answer can part them.
A trainer of these tests writes its own token as the loss of its points and as the precision of its results.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, create_engine, text

from noisedash.records import JobState

_NOW = {"sqlite": "(julianday('now') - 2440587.5) * 86400.0", "postgresql": "extract(epoch FROM clock_timestamp())"}
_ID = {"sqlite": "INTEGER PRIMARY KEY", "postgresql": "SERIAL PRIMARY KEY"}
_ROWS = {
    "state": (
        "UPDATE ON jobs",
        "SELECT 'state', NEW.run_id, NEW.token, NULL, OLD.state, NEW.state, {now}"
        " WHERE NEW.state <> OLD.state OR NEW.token <> OLD.token",
    ),
    "metric": (
        "INSERT ON metrics",
        "SELECT 'metric', NEW.run_id, token, NEW.loss, state, state, {now} FROM jobs WHERE run_id = NEW.run_id",
    ),
    "result": (
        "INSERT ON results",
        "SELECT 'result', NEW.run_id, token, NEW.mean_ap, state, state, {now} FROM jobs WHERE run_id = NEW.run_id",
    ),
}


@dataclass(frozen=True)
class Entry:
    """One change: of a job's state or token, or a point or result that a trainer wrote."""

    kind: str
    run_id: str
    token: int
    """The job's token after the change."""
    writer: float | None
    """The token of the trainer that wrote the point or result."""
    before: str
    after: str
    at: float
    """Seconds since 1970 by the database's clock."""


class Audit:
    """The log of a database; made for one whose tables are there."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url, pool_pre_ping=True)
        dialect = self._engine.dialect.name
        with self._engine.begin() as connection:
            connection.execute(
                text(
                    f"CREATE TABLE fault_log (id {_ID[dialect]}, kind TEXT, run_id TEXT, token INTEGER,"
                    " writer DOUBLE PRECISION, before_state TEXT, after_state TEXT, at DOUBLE PRECISION)"
                )
            )
            for name, (event, row) in _ROWS.items():
                for statement in _trigger(dialect, name, event, row.format(now=_NOW[dialect])):
                    connection.exec_driver_sql(statement)

    def close(self) -> None:
        self._engine.dispose()

    def entries(self) -> list[Entry]:
        """All that was logged, in order."""
        columns = "kind, run_id, token, writer, before_state, after_state, at"
        with self._engine.connect() as connection:
            return [Entry(*row) for row in connection.execute(text(f"SELECT {columns} FROM fault_log ORDER BY id"))]

    def claims(self) -> list[Entry]:
        """The claims, in order."""
        return [entry for entry in self.entries() if entry.kind == "state" and entry.after == JobState.RUNNING]

    def check_each_done_once(self, run_ids: list[str]) -> None:
        """Each run became done once and stayed so; its tokens were handed out one by one; each write was its holder's.

        There are final results of each run, written by the token that finished it.
        """
        entries = self.entries()
        for entry in entries:
            assert entry.writer is None or (entry.writer, entry.before) == (entry.token, "running"), entry
        for run_id in run_ids:
            own = [entry for entry in entries if entry.run_id == run_id]
            states = [entry for entry in own if entry.kind == "state"]
            assert [entry.after for entry in states].count(JobState.DONE) == 1, states
            assert states[-1].after == JobState.DONE, states
            tokens = [entry.token for entry in states if entry.after == JobState.RUNNING]
            assert tokens == list(range(1, len(tokens) + 1)), states
            writers = [entry.writer for entry in own if entry.kind == "result"]
            assert writers == [tokens[-1]], own

    def check_intact(self) -> None:
        """The database finds no fault with itself."""
        with self._engine.connect() as connection:
            if self._engine.dialect.name == "sqlite":
                assert connection.exec_driver_sql("PRAGMA integrity_check").scalars().all() == ["ok"]
                assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
                return
            _check_postgres(connection)


def _check_postgres(connection: Connection) -> None:
    """Read every row; compare the indexes with the tables (amcheck, where the server has it), and build them anew."""
    names = connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all()
    assert "jobs" in names
    for name in names:
        connection.execute(text(f"SELECT md5(string_agg(t::text, '')) FROM {name} t"))
    if connection.scalar(text("SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck'")):
        connection.execute(text("CREATE EXTENSION IF NOT EXISTS amcheck"))
        indexes = "SELECT indexname FROM pg_indexes WHERE schemaname = 'public'"
        for index in connection.scalars(text(indexes)).all():
            connection.execute(text("SELECT bt_index_check(CAST(:index AS regclass), true)"), {"index": index})
    for name in names:
        connection.execute(text(f"REINDEX TABLE {name}"))


def _trigger(dialect: str, name: str, event: str, row: str) -> list[str]:
    kept = f"INSERT INTO fault_log (kind, run_id, token, writer, before_state, after_state, at) {row};"
    if dialect == "sqlite":
        return [f"CREATE TRIGGER fault_{name} AFTER {event} BEGIN {kept} END"]
    body = f"BEGIN {kept} RETURN NULL; END"
    return [
        f"CREATE FUNCTION fault_{name}() RETURNS trigger LANGUAGE plpgsql AS $${body}$$",
        f"CREATE TRIGGER fault_{name} AFTER {event} FOR EACH ROW EXECUTE FUNCTION fault_{name}()",
    ]
