"""The SQLite file of the queue, looked at without changing, making or migrating it."""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from noisedash.jobs.doctor.findings import Finding, ok, problem, warning

NAME = "database"
QUICK_CHECK_S = 10.0
LARGE_LOG_BYTES = 256 << 20
_HEADER = b"SQLite format 3\0"
_RESTORE = "End all of NoiseDash, move the file away and restore a copy; without one a new, empty queue is made."


@contextmanager
def open_read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that can write nothing. Raises sqlite3.Error.

    A file without a write-ahead log beside it is opened as immutable: SQLite would make the log's files otherwise.
    """
    immutable = "" if Path(f"{path}-wal").exists() else "&immutable=1"
    uri = f"{path.resolve().as_uri()}?mode=ro{immutable}"
    with closing(sqlite3.connect(uri, uri=True, timeout=5.0, check_same_thread=False)) as connection:
        yield connection


def check_file(path: Path, clock: Callable[[], float] = time.monotonic) -> list[Finding]:
    """The file, its header, its rights, its pages (within some seconds) and its log."""
    if not path.exists():
        return [ok(NAME, f"{path} is not there yet; the first command makes it.")]
    try:
        with path.open("rb") as file:
            header = file.read(len(_HEADER))
    except OSError as error:
        return [problem(NAME, f"{path} cannot be read ({error.strerror}).", "Give this user the right to read it.")]
    if header and header != _HEADER:
        return [problem(NAME, f"{path} is no SQLite database.", "Move it away, or name another in NOISEDASH_DB.")]
    findings = [_pages(path, clock), log_size(path)]
    if not _writable(path):
        findings.append(
            problem(NAME, f"{path} is read-only for this user.", "Give this user the right to write it and its folder.")
        )
    bad = [finding for finding in findings if finding.remedy]
    return bad or findings[:1]


def _pages(path: Path, clock: Callable[[], float]) -> Finding:
    """SQLite's own check. A program that began to write meanwhile makes a whole file look damaged: then once more."""
    log = Path(f"{path}-wal")
    before = log.exists()
    finding = _pages_once(path, clock)
    return _pages_once(path, clock) if finding.remedy and log.exists() and not before else finding


def _pages_once(path: Path, clock: Callable[[], float]) -> Finding:
    deadline = clock() + QUICK_CHECK_S
    try:
        with open_read_only(path) as connection:
            connection.set_progress_handler(lambda: clock() > deadline, 1_000)
            said = [row[0] for row in connection.execute("PRAGMA quick_check(3)")]
    except sqlite3.OperationalError as error:
        if "interrupt" in str(error):
            by_hand = f"sqlite3 {path} 'PRAGMA quick_check'"
            return ok(NAME, f"{path} is too large to be checked in {QUICK_CHECK_S:.0f} s; by hand: {by_hand}.")
        return problem(NAME, f"{path} cannot be opened ({error}).", "Check the rights of the file and of its folder.")
    except sqlite3.DatabaseError as error:
        return problem(NAME, f"{path} is damaged ({error}).", _RESTORE)
    if said != ["ok"]:
        return problem(NAME, f"{path} is damaged ({' '.join(' '.join(said).split())[:160]}).", _RESTORE)
    return ok(NAME, f"{path} is whole ({path.stat().st_size / 1e6:,.1f} MB).")


def log_size(path: Path, large: int = LARGE_LOG_BYTES) -> Finding:
    """The write-ahead log beside the file; it grows while a reader stays open."""
    log = Path(f"{path}-wal")
    size = log.stat().st_size if log.exists() else 0
    if size > large:
        return warning(
            NAME,
            f"The log {log} has grown to {size / 1e6:,.0f} MB, since some program keeps reading the database.",
            "Restart the web app and other programs that have the database open; it is then emptied by itself.",
        )
    return ok(NAME, "The log is small.")


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


def lock(holders: Sequence[int], seconds: float, describe: Callable[[int], str]) -> Finding:
    """Who held the write lock at every look within some seconds; `holders` are process ids."""
    if not holders:
        return ok("database lock", "Nobody holds on to it.")
    told = ", ".join(describe(pid) for pid in holders)
    return problem(
        "database lock",
        f"The database was locked for all of {seconds:.0f} s by {told}: nothing can be queued or kept meanwhile.",
        "End that program, or its open transaction; if it is NoiseDash's, restart it.",
    )
