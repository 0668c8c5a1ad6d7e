"""Everything that a database holds, copied into an empty one: from SQLite to PostgreSQL, and back."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Integer, RowMapping, Table, func, insert, select, text

from noisedash.errors import QueueError, StoreError
from noisedash.jobs.database import Database, Transaction, take_turn
from noisedash.jobs.queue import requeue_expired
from noisedash.jobs.schema import jobs, metadata, schema_version
from noisedash.records import JobState

_CHUNK = 1_000
_TABLES = tuple(table for table in metadata.sorted_tables if table is not schema_version)


def copy_database(source: Database, target: Database) -> dict[str, int]:
    """Copy every row, in one transaction at the target; how many of each table.

    The source takes no writes meanwhile, and stays as it is. Both must have this NoiseDash's tables (`open_database`).
    Raises QueueError while jobs run, StoreError where the target holds anything.
    """
    with _held(source) as reading, target.write() as writing:
        take_turn(writing)
        _check_idle(reading, source)
        _check_empty(writing, target)
        copied = {table.name: _copy(table, reading, writing) for table in _TABLES}
        _count_on(writing)
        found = row_counts(writing)
        if found != copied or copied != row_counts(reading):
            raise StoreError(
                f"The copy in {target.where} is not whole, and was undone: {found} instead of {copied} rows."
            )
    return copied


def row_counts(transaction: Transaction) -> dict[str, int]:
    """How many rows each table has."""
    return {
        table.name: transaction.connection.execute(select(func.count()).select_from(table)).scalar_one()
        for table in _TABLES
    }


@contextmanager
def _held(source: Database) -> Iterator[Transaction]:
    """A transaction in which nobody else writes."""
    with source.write() as transaction:
        if not source.is_sqlite:
            names = ", ".join(table.name for table in _TABLES)
            transaction.connection.execute(text(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE"))
        yield transaction


def _check_idle(transaction: Transaction, source: Database) -> None:
    requeue_expired(transaction)
    running = select(func.count()).select_from(jobs).where(jobs.c.state == JobState.RUNNING)
    number = transaction.connection.execute(running).scalar_one()
    if number:
        raise QueueError(
            f"Jobs are running in {source.where} ({number}): stop its workers, which give their jobs back with their "
            "progress, then copy."
        )


def _check_empty(transaction: Transaction, target: Database) -> None:
    if any(row_counts(transaction).values()):
        raise StoreError(f"The database {target.where} holds studies or jobs already: copy into an empty one.")


def _copy(table: Table, reading: Transaction, writing: Transaction) -> int:
    number = 0
    rows = reading.connection.execution_options(yield_per=_CHUNK).execute(select(table))
    for chunk in rows.mappings().partitions():
        writing.connection.execute(insert(table), [_without_nul(row) for row in chunk])
        number += len(chunk)
    return number


def _without_nul(row: RowMapping) -> dict[str, object]:
    """The row as PostgreSQL takes it: its texts hold no NUL characters (a trainer's last words may)."""
    return {name: value.replace("\0", "\ufffd") if isinstance(value, str) else value for name, value in row.items()}


def _count_on(transaction: Transaction) -> None:
    """Let PostgreSQL number new rows after the copied ones; SQLite does so by itself."""
    if transaction.connection.dialect.name != "postgresql":
        return
    for table in _TABLES:
        for column in table.primary_key.columns:
            if column is table.autoincrement_column and isinstance(column.type, Integer):
                sequence = func.pg_get_serial_sequence(table.name, column.name)
                last = select(func.max(column)).scalar_subquery()
                transaction.connection.execute(select(func.setval(sequence, func.coalesce(last, 1), last.is_not(None))))
