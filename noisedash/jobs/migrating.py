"""Tables are made and brought from one revision to the next. Alembic is imported only where something is to be done."""

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable
from itertools import count
from pathlib import Path

from sqlalchemy import Connection, insert, inspect, select

from noisedash.errors import StoreError
from noisedash.jobs.database import BUSY_TIMEOUT_S, Database, take_turn
from noisedash.jobs.schema import (
    REVISION,
    REVISIONS,
    SCHEMA_VERSION,
    alembic_version,
    metadata,
    revision_metadata,
    schema_version,
)

MIGRATIONS = Path(__file__).parent / "migrations"
_REVISION_OF_VERSION = {1: "0001", 2: "0002"}
"""Databases made before there were revisions have a number instead."""

logger = logging.getLogger(__name__)


def open_database(
    url: str, clock: Callable[[], float] | None = None, busy_timeout_s: float = BUSY_TIMEOUT_S
) -> Database:
    """The database at `url`, with this NoiseDash's tables.

    An empty database gets them. A SQLite file of an earlier NoiseDash is upgraded, and a copy of it kept beside it; on
    PostgreSQL, where other machines may be at work, that is left to `noisedash db upgrade`. Raises StoreError then, and
    where the database cannot be opened or a later NoiseDash has made it.
    """
    database = Database(url, clock, busy_timeout_s)
    try:
        _see_to_the_tables(database)
    except BaseException:
        database.close()
        raise
    return database


def revision(database: Database) -> str | None:
    """The revision of the database's tables, None where there are none."""
    with database.read() as transaction:
        return revision_of(transaction.connection)


def upgrade(database: Database) -> Path | None:
    """Bring the tables to this NoiseDash's revision, wholly or not at all; where a copy was kept (SQLite).

    Any number of processes may do so at once. Raises StoreError where a later NoiseDash has made them.
    """
    with database.write() as transaction:
        take_turn(transaction)
        found = revision_of(transaction.connection)
        if found == REVISION:
            return None
        if found is None:
            _create(transaction.connection)
            return None
        _check_known(found, database)
        copy = _keep_copy(Path(str(database.url.database)).resolve()) if database.is_sqlite else None
        _migrate(transaction.connection, found)
    logger.info(
        "The database %s went from revision %s to %s; kept as it was: %s", database.where, found, REVISION, copy
    )
    return copy


def _see_to_the_tables(database: Database) -> None:
    found = revision(database)
    if found is None:
        _make_tables(database)
    elif found != REVISION:
        _check_known(found, database)
        if not database.is_sqlite:
            raise StoreError(
                f"The database {database.where} is of an earlier NoiseDash (revision {found}, this one works with "
                f"{REVISION}): stop its workers, then run `noisedash db upgrade` once."
            )
        upgrade(database)


def _make_tables(database: Database) -> None:
    with database.write() as transaction:
        take_turn(transaction)
        if revision_of(transaction.connection) is None:  # another process may have been first
            _create(transaction.connection)


def _create(connection: Connection) -> None:
    metadata.create_all(connection)
    revision_metadata.create_all(connection)
    connection.execute(insert(schema_version).values(version=SCHEMA_VERSION))
    connection.execute(insert(alembic_version).values(version_num=REVISION))


def revision_of(connection: Connection) -> str | None:
    """`revision` by a connection that is open already; changes nothing."""
    tables = inspect(connection)
    if tables.has_table(alembic_version.name):
        return connection.scalar(select(alembic_version.c.version_num))
    if not tables.has_table(schema_version.name):
        return None
    version = connection.scalar(select(schema_version.c.version))
    return None if version is None else _REVISION_OF_VERSION.get(version, f"of schema version {version}")


def _check_known(found: str, database: Database) -> None:
    if found not in REVISIONS:
        raise StoreError(
            f"The database {database.where} was made by a later NoiseDash (revision {found}, this one works with "
            f"{REVISION}): update NoiseDash, or name another NOISEDASH_HOME or NOISEDASH_DB."
        )


def _migrate(connection: Connection, found: str | None) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    if found is not None and not inspect(connection).has_table(alembic_version.name):
        command.stamp(config, found)
    command.upgrade(config, REVISION)


def _keep_copy(path: Path) -> Path:
    """Copy a SQLite file whose write lock we hold to a name beside it that is not taken yet."""
    names = (f"{path.name}.before-{REVISION}{f'-{n}' if n > 1 else ''}" for n in count(1))
    target = next(path.with_name(name) for name in names if not path.with_name(name).exists())
    unfinished = target.with_name(f"{target.name}.unfinished")
    try:
        unfinished.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(path)) as source, contextlib.closing(sqlite3.connect(unfinished)) as to:
            source.backup(to)
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        unfinished.rename(target)
    except (OSError, sqlite3.Error) as error:
        unfinished.unlink(missing_ok=True)
        raise StoreError(
            f"No copy of the database {path} can be kept before it is upgraded ({error}): "
            f"make room in {path.parent} and let this user write there, then try again; nothing was changed."
        ) from error
    return target
