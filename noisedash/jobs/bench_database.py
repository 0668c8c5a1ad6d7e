"""Databases for benchmarks: empty ones that nobody else uses, and what a server spends on them."""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from noisedash.errors import StoreError

SETTLE_S = 0.3
"""How long a server may take to note that a process of its own has ended."""


@contextmanager
def own_database(url: str | None) -> Iterator[str]:
    """The URL of a new, empty database, removed at the end.

    None: a SQLite file in a temporary folder. A SQLite URL: one beside that file, thus on the same disk. A PostgreSQL
    URL: a database of the same server; its user must be allowed to create one. What the URL names is not touched.
    Raises StoreError where the server cannot be reached or does not allow it.
    """
    if url is None or is_sqlite(url):
        beside = None if url is None else Path(str(make_url(url).database)).resolve().parent
        with TemporaryDirectory(prefix="noisedash-bench-", dir=beside) as folder:
            yield f"sqlite:///{folder}/noisedash.db"
        return
    name = f"noisedash_bench_{secrets.token_hex(6)}"
    _outside_transactions(url, f"CREATE DATABASE {name}")
    try:
        yield make_url(url).set(database=name).render_as_string(hide_password=False)
    finally:
        _outside_transactions(url, f"DROP DATABASE {name} WITH (FORCE)")


def is_sqlite(url: str) -> bool:
    """Whether the URL means SQLite.

    >>> is_sqlite("sqlite:////tmp/noisedash.db"), is_sqlite("postgresql+psycopg://host/name")
    (True, False)
    """
    return make_url(url).get_backend_name() == "sqlite"


def kind_of(url: str) -> str:
    """'sqlite' or 'postgresql'."""
    return make_url(url).get_backend_name()


@dataclass(frozen=True)
class Spent:
    """What a PostgreSQL server has spent since it started. Other users of the server are in it, too."""

    cpu_s: float | None
    """Processor seconds of all its processes; None where it runs on another machine."""
    wal_bytes: int

    def __sub__(self, before: "Spent") -> "Spent":
        cpu_s = None if self.cpu_s is None or before.cpu_s is None else self.cpu_s - before.cpu_s
        return Spent(cpu_s, self.wal_bytes - before.wal_bytes)


class ServerMeter:
    """Reads what the server at a PostgreSQL URL has spent."""

    def __init__(self, url: str):
        self._engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with self._engine.connect() as connection:
            self._server = _server_process(connection)

    def read(self) -> Spent:
        """What was spent so far; of clients that have gone just now, too."""
        time.sleep(SETTLE_S)
        with self._engine.connect() as connection:
            written = connection.scalar(text("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"))
        return Spent(None if self._server is None else _cpu_s(self._server), int(written))

    def bytes_per_row(self, table: str) -> int:
        """What a row of a table takes on the disk, with its share of the indexes and of free space."""
        with self._engine.connect() as connection:
            size = connection.scalar(
                text(f"SELECT pg_total_relation_size('{table}') / greatest(count(*), 1) FROM {table}")
            )
        return int(size)

    def max_connections(self) -> int:
        """How many clients the server takes."""
        with self._engine.connect() as connection:
            return int(connection.scalar(text("SELECT current_setting('max_connections')")))

    def close(self) -> None:
        """Close the connection."""
        self._engine.dispose()


@contextmanager
def without_flushes(url: str) -> Iterator[None]:
    """Let PostgreSQL not wait for the disk at commits, in connections to this database that are opened meanwhile.

    SQLite waits all the same. Only for what measures anything but seconds.
    """
    if is_sqlite(url):
        yield
        return
    name = make_url(url).database
    _outside_transactions(url, f"ALTER DATABASE {name} SET synchronous_commit = off")
    yield
    _outside_transactions(url, f"ALTER DATABASE {name} RESET synchronous_commit")


def _outside_transactions(url: str, statement: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(statement))
    except DBAPIError as error:
        where = make_url(url).render_as_string(hide_password=True)
        raise StoreError(
            f"The server of {where} gives the benchmark no database: {str(error.orig).strip()}."
        ) from error
    finally:
        engine.dispose()


def _server_process(connection: Connection) -> psutil.Process | None:
    """The server's first process; None where it is not one of this machine."""
    pid = int(connection.scalar(text("SELECT pg_backend_pid()")))
    try:
        backend = psutil.Process(pid)
        return backend.parent() if backend.name() == "postgres" else None
    except psutil.Error:
        return None


def _cpu_s(server: psutil.Process) -> float:
    """Processor seconds of a process, its children, and those children that have ended."""
    own = server.cpu_times()
    total: float = own.user + own.system + own.children_user + own.children_system
    for child in server.children():
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total
