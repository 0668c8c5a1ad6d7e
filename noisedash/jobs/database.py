"""The one place that knows which database it is: opening, transactions, the database's clock.

SQLite has one writer at a time, from its transaction's start. PostgreSQL has many (READ COMMITTED): who changes jobs
there takes its turn where it needs one (`take_turn`), and then locks their rows, in the order of their ids: so nobody
waits in a circle.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import URL, Connection, Engine, ExceptionContext, Table, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, IntegrityError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from noisedash.errors import StoreError
from noisedash.jobs.trouble import CONNECTION_IS_SPOILT, in_plain_words, sqlite_error_name, where_is

BUSY_TIMEOUT_S = 30.0
"""How long a writer waits for another one."""
LOOK_FOR_LOCK_S = 0.001
_WRITE, _LOOK = "BEGIN IMMEDIATE", "SELECT 1 FROM sqlite_schema LIMIT 1"
"""What takes SQLite's write lock, and what takes the lock of a reader."""
_TAKEN = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")
"""SQLite's errors where another has the lock."""
STANDSTILL_S = 30.0
"""PostgreSQL ends a transaction whose process stood still for so long (stopped, or its machine was switched off)."""
NETWORK_FILE_SYSTEMS = (
    *("nfs", "cifs", "smb", "afpfs", "webdav", "davfs", "ncpfs", "afs", "coda", "ceph", "lustre", "beegfs", "gluster"),
    *("gpfs", "fuse.sshfs", "fuse.gluster", "fuse.ceph", "fuse.davfs", "fuse.rclone", "fuse.s3fs"),
)
"""Beginnings of names: SQLite's locks do not hold there, and its log needs memory that all its users share."""

_NOW_SQL = {
    "sqlite": "SELECT (julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())",
}
_TURN = int.from_bytes(b"noisedas")
_CONNECT = {
    "connect_timeout": 10,
    "application_name": "noisedash",
    **{"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 25_000},
}
"""libpq's parameters, where the URL does not give them: a server whose machine vanished is noticed in half a minute."""


@dataclass
class Transaction:
    """An open transaction, and what the time is."""

    connection: Connection
    clock: Callable[[Connection], float]

    @cached_property
    def now(self) -> float:
        """One time for all of the transaction, by the database's clock (seconds since 1970 UTC); asked when needed."""
        return self.clock(self.connection)


class Database:
    """The database at `url`: gives transactions. Nothing is connected to before the first of them.

    Raises StoreError where the URL names none, or SQLite's file would lie on a network file system. `open_database`
    (noisedash.jobs.migrating) also sees to the tables.
    """

    def __init__(self, url: str, clock: Callable[[], float] | None = None, busy_timeout_s: float = BUSY_TIMEOUT_S):
        self._clock = clock
        self._engine = _engine_of(url, busy_timeout_s)
        self.url = self._engine.url
        self.where = where_is(self.url)
        self._writing, self._reading = _writing_and_reading(self._engine)

    @property
    def is_sqlite(self) -> bool:
        """Whether this is SQLite; else it is PostgreSQL."""
        return self._engine.dialect.name == "sqlite"

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A transaction that may write; committed at the end, undone by an exception.

        On SQLite it holds the one write lock from its start.
        """
        with self._transaction(self._writing) as transaction:
            yield transaction

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """A transaction that sees one state of the database throughout and takes no lock that others wait for."""
        with self._transaction(self._reading) as transaction:
            yield transaction

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Transaction]:
        try:
            with engine.begin() as connection:
                yield Transaction(connection, self._now)
        except IntegrityError:
            raise
        except (DBAPIError, DisconnectionError, PoolTimeoutError) as error:
            raise StoreError(in_plain_words(error, self.where)) from error

    def _now(self, connection: Connection) -> float:
        if self._clock is not None:
            return self._clock()
        return float(connection.exec_driver_sql(_NOW_SQL[connection.dialect.name]).scalar_one())


def take_turn(transaction: Transaction) -> None:
    """Let nobody else who takes a turn go on until this transaction ends: for what looks at many rows, then writes.

    SQLite's write lock is that already. Take it before any row is locked.
    """
    if transaction.connection.dialect.name == "postgresql":
        transaction.connection.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": _TURN})


def upsert(transaction: Transaction, table: Table, values: dict[str, object]) -> None:
    """Insert a row, or change the one that has its primary key."""
    dialect = sqlite if transaction.connection.dialect.name == "sqlite" else postgresql
    keys = list(table.primary_key.columns)
    others = {name: value for name, value in values.items() if name not in table.primary_key.columns}
    added = dialect.insert(table).values(values)
    transaction.connection.execute(added.on_conflict_do_update(index_elements=keys, set_=others))


def _writing_and_reading(engine: Engine) -> tuple[Engine, Engine]:
    """The same connections, with what transactions of either kind begin with."""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(immediate=True), engine
    reading = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return engine, reading


def _engine_of(url: str, busy_timeout_s: float) -> Engine:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, ValueError):
        raise StoreError(
            "NOISEDASH_DB is no database URL: it looks like postgresql+psycopg://user:password@host/name, "
            "with special characters in the password written as %40 for @ and so on."
        ) from None
    if backend == "sqlite":
        return _open_sqlite(parsed, busy_timeout_s)
    if backend in ("postgresql", "postgres"):
        return _open_postgres(parsed.set(drivername="postgresql+psycopg"), busy_timeout_s)
    raise StoreError(f"NOISEDASH_DB names a kind of database that is not known here: {backend}.")


def _open_postgres(url: URL, busy_timeout_s: float) -> Engine:
    given = {name: value for name, value in _CONNECT.items() if name not in url.query}
    try:
        engine = create_engine(url, pool_pre_ping=True, connect_args=given)
    except ModuleNotFoundError as error:
        raise StoreError(
            f"PostgreSQL needs a driver that is not installed ({error.name}): pip install 'noisedash[postgres]'."
        ) from error

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.execute(f"SET lock_timeout = {round(1000 * busy_timeout_s)}")
        connection.execute(f"SET idle_in_transaction_session_timeout = {round(1000 * STANDSTILL_S)}")
        connection.commit()

    @event.listens_for(engine, "checkin")
    def forget_reading(connection: Any, _record: Any) -> None:
        if connection is not None and not connection.closed:
            connection.read_only = None  # not READ WRITE, which would pass over a server that is set to read-only

    return engine


def _open_sqlite(url: URL, busy_timeout_s: float) -> Engine:
    if not url.database or url.database == ":memory:":
        raise StoreError("The queue needs a database that its processes share: name a file in NOISEDASH_DB.")
    path = Path(url.database.removeprefix("file:")).resolve()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"The folder of the database {path} cannot be made: {error.strerror}.") from error
    file_system = file_system_of(path)
    if file_system.startswith(NETWORK_FILE_SYSTEMS):
        raise StoreError(
            f"The database {path} lies on a network file system ({file_system}), where SQLite's locks do not hold: "
            "set NOISEDASH_DB to a file on a local disk."
        )
    try:
        engine = create_engine(url, connect_args={"timeout": busy_timeout_s})
    except NoSuchModuleError as error:
        raise StoreError(f"NOISEDASH_DB asks for a SQLite driver that is not known here: {url.drivername}.") from error

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy's begin event below starts transactions, not the driver
        _enter_wal_mode(connection, busy_timeout_s)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("immediate", False):
            _begin_immediate(connection, busy_timeout_s)
        else:
            _begin_reading(connection, busy_timeout_s)

    @event.listens_for(engine, "handle_error")
    def open_anew(context: ExceptionContext) -> None:
        if sqlite_error_name(context.original_exception).startswith(CONNECTION_IS_SPOILT):
            context.is_disconnect = True

    return engine


def _begin_immediate(connection: Connection, busy_timeout_s: float) -> None:
    """Wait for the write lock and take it.

    SQLite's own waiting sleeps up to 100 ms between two looks: with four busy writers most of the time nobody held the
    lock, and some starved for seconds. This looks each millisecond or so.
    """
    driver: Any = connection.connection.driver_connection
    deadline = time.monotonic() + busy_timeout_s
    driver.execute("PRAGMA busy_timeout = 0")
    try:
        while _is_taken(driver, _WRITE) and time.monotonic() < deadline:
            time.sleep(random.uniform(0.5, 1.5) * LOOK_FOR_LOCK_S)
        if not driver.in_transaction:
            connection.exec_driver_sql(_WRITE)  # SQLAlchemy wraps the error
    finally:
        if not connection.invalidated:
            driver.execute(f"PRAGMA busy_timeout = {round(busy_timeout_s * 1000)}")


def _begin_reading(connection: Connection, busy_timeout_s: float) -> None:
    """Begin to see one state of the database, which the first look at it would do otherwise.

    A process that stands still while it holds a lock on the log's index (stopped, or starved) makes SQLite give up
    after ten seconds or so, whatever its busy timeout is, with an error of its own: this waits as for any other lock.
    """
    driver: Any = connection.connection.driver_connection
    deadline = time.monotonic() + busy_timeout_s
    connection.exec_driver_sql("BEGIN")
    while _is_taken(driver, _LOOK) and time.monotonic() < deadline:
        time.sleep(LOOK_FOR_LOCK_S)
    connection.exec_driver_sql(_LOOK)  # SQLAlchemy wraps the error


def _is_taken(driver: Any, statement: str) -> bool:
    """Try to take the lock that the statement needs. False where that was done, or where waiting would not help."""
    try:
        driver.execute(statement).fetchone()
    except driver.OperationalError as error:
        return str(error.sqlite_errorname).startswith(_TAKEN)
    return False


def _enter_wal_mode(connection: Any, busy_timeout_s: float) -> None:
    """Turn the write-ahead log on. SQLite does not wait for others here by itself, so this does."""
    deadline = time.monotonic() + busy_timeout_s
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except connection.OperationalError as error:
            if (
                error.sqlite_errorname not in ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")
                or time.monotonic() > deadline
            ):
                raise
            time.sleep(0.02)
        else:
            if mode != "wal":
                raise StoreError(
                    f"The file system of the database does not carry SQLite's write-ahead log (mode {mode}): "
                    "set NOISEDASH_DB to a file on a local disk."
                )
            return


def file_system_of(path: Path) -> str:
    """The type of the file system that `path` lies on, '' where it cannot be told."""
    mounts = [mount for mount in psutil.disk_partitions(all=True) if path.is_relative_to(mount.mountpoint)]
    return max(mounts, key=lambda mount: len(mount.mountpoint)).fstype.lower() if mounts else ""
