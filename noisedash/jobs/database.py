"""The one place that knows which database it is: opening, transactions, the database's clock, errors in plain words."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, IntegrityError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from noisedash.errors import StoreError
from noisedash.jobs.schema import SCHEMA_VERSION, metadata, schema_version

BUSY_TIMEOUT_S = 30.0
LOOK_FOR_LOCK_S = 0.001
NETWORK_FILE_SYSTEMS = (
    *("nfs", "cifs", "smb", "afpfs", "webdav", "davfs", "ncpfs", "afs", "coda", "ceph", "lustre", "beegfs", "gluster"),
    *("gpfs", "fuse.sshfs", "fuse.gluster", "fuse.ceph", "fuse.davfs", "fuse.rclone", "fuse.s3fs"),
)
"""Beginnings of names: SQLite's locks do not hold there, and its log needs memory that all its users share."""

_NOW_SQL = {
    "sqlite": "SELECT (julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())",
}
_SQLITE_ADVICE = {
    "SQLITE_BUSY": "is locked by another program; end the program that holds it, then try again",
    "SQLITE_LOCKED": "is locked by another program; end the program that holds it, then try again",
    "SQLITE_READONLY": "cannot be written; give this user the right to write the file and its folder",
    "SQLITE_FULL": "cannot grow because the disk is full; free some space, and work goes on",
    "SQLITE_CANTOPEN": "cannot be opened; check that its folder exists and that this user may write there",
    "SQLITE_NOTADB": "is not a SQLite database; move the file away or name another in NOISEDASH_DB",
    "SQLITE_CORRUPT": "is damaged; move it away (a new one is made) or restore a copy",
    "SQLITE_IOERR": "cannot be read or written by the disk; check the disk",
}


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
    """Opens `url`, makes the tables where there are none, and gives transactions.

    Raises StoreError where the database cannot be opened, is of another version, or would lie on a network file system.
    """

    def __init__(self, url: str, clock: Callable[[], float] | None = None, busy_timeout_s: float = BUSY_TIMEOUT_S):
        self._clock = clock
        self._engine = _open_engine(url, busy_timeout_s)
        self._writing = self._engine.execution_options(immediate=True)
        self.where = self._engine.url.render_as_string(hide_password=True)
        with self.read() as transaction:
            version = _schema_version(transaction.connection)
        if version is None:
            with self.write() as transaction:
                version = _make_tables(transaction.connection)
        if version != SCHEMA_VERSION:
            raise StoreError(
                f"The database {self.where} has schema version {version}, this NoiseDash works with {SCHEMA_VERSION}: "
                "use the NoiseDash that made it, or another NOISEDASH_HOME."
            )

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A transaction that holds the write lock from its start; committed at the end, undone by an exception."""
        with self._transaction(self._writing) as transaction:
            yield transaction

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """A transaction that sees one state of the database throughout and takes no lock that others wait for."""
        with self._transaction(self._engine) as transaction:
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
            raise StoreError(_in_plain_words(error, self.where)) from error

    def _now(self, connection: Connection) -> float:
        if self._clock is not None:
            return self._clock()
        return float(connection.exec_driver_sql(_NOW_SQL[connection.dialect.name]).scalar_one())


def _open_engine(url: str, busy_timeout_s: float) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            return _open_sqlite(url, parsed.database, busy_timeout_s)
        if parsed.get_backend_name() not in _NOW_SQL:
            raise StoreError(f"NOISEDASH_DB names a database that is not known here: {parsed.get_backend_name()}.")
        return create_engine(url, pool_pre_ping=True)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise StoreError(f"NOISEDASH_DB is no database URL that can be opened: {error}.") from error


def _open_sqlite(url: str, database: str | None, busy_timeout_s: float) -> Engine:
    if not database or database == ":memory:":
        raise StoreError("The queue needs a database that its processes share: name a file in NOISEDASH_DB.")
    path = Path(database).resolve()
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
    engine = create_engine(url, connect_args={"timeout": busy_timeout_s})

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
            connection.exec_driver_sql("BEGIN")

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
        while _is_taken(driver) and time.monotonic() < deadline:
            time.sleep(random.uniform(0.5, 1.5) * LOOK_FOR_LOCK_S)
        if not driver.in_transaction:
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # SQLAlchemy wraps the error
    finally:
        driver.execute(f"PRAGMA busy_timeout = {round(busy_timeout_s * 1000)}")


def _is_taken(driver: Any) -> bool:
    """Try to take the write lock. False where that was done, or where waiting would not help."""
    try:
        driver.execute("BEGIN IMMEDIATE")
    except driver.OperationalError as error:
        return str(error.sqlite_errorname).startswith("SQLITE_BUSY")
    return False


def _enter_wal_mode(connection: Any, busy_timeout_s: float) -> None:
    """Turn the write-ahead log on. SQLite does not wait for others here by itself, so this does."""
    deadline = time.monotonic() + busy_timeout_s
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except connection.OperationalError as error:
            if error.sqlite_errorname not in ("SQLITE_BUSY", "SQLITE_LOCKED") or time.monotonic() > deadline:
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


def _schema_version(connection: Connection) -> int | None:
    if not inspect(connection).has_table(schema_version.name):
        return None
    return connection.scalar(select(schema_version.c.version))


def _make_tables(connection: Connection) -> int | None:
    if _schema_version(connection) is None:  # another process may have been first
        metadata.create_all(connection)
        connection.execute(insert(schema_version).values(version=SCHEMA_VERSION))
    return _schema_version(connection)


def _in_plain_words(error: Exception, where: str) -> str:
    original = getattr(error, "orig", None) or error
    name = getattr(original, "sqlite_errorname", "")
    for code, advice in _SQLITE_ADVICE.items():
        if name.startswith(code):
            return f"The database {where} {advice}."
    return f"The database {where} cannot be used: {str(original).strip()}."
