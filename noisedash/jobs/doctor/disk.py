"""Disks: space, rights, the kind of file system, and how long it takes until bytes are safe."""

import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryFile

from noisedash.jobs.database import NETWORK_FILE_SYSTEMS
from noisedash.jobs.doctor.findings import Finding, ok, problem, warning

SLOW_SYNC_S = 0.2
_MIB, _GIB = 1 << 20, 1 << 30
_LEAST_BYTES, _FEW_BYTES = 500 * _MIB, 5 * _GIB
_LEAST_INODES, _FEW_INODES = 1_000, 20_000
_IN_MEMORY = ("tmpfs", "ramfs", "devtmpfs")
_SYNCS = 5


@dataclass(frozen=True)
class Usage:
    """What is left on a file system for this user. Zero inodes in all: it does not count them."""

    free_bytes: int
    free_inodes: int
    inodes: int


def usage_of(path: Path) -> Usage:
    """The file system that `path` is on, or would be. Raises OSError."""
    found = os.statvfs(existing(path))
    return Usage(found.f_bavail * found.f_frsize, found.f_favail, found.f_files)


def existing(path: Path) -> Path:
    """The path itself or the nearest folder above it that exists."""
    return next(place for place in (path, *path.parents) if place.exists())


def space(name: str, path: Path, usage: Usage) -> Finding:
    """Free bytes and files. Where they run out, checkpoints and results cannot be kept."""
    told = f"{usage.free_bytes / _GIB:.1f} GiB free in {path}"
    few_files = f"only {usage.free_inodes:,} more files can be made in {path}"
    remedy = f"Free some of that disk{', or set NOISEDASH_HOME to a larger one' if name == 'home' else ''}."
    files = "Remove some of the many small files on that disk."
    if usage.free_bytes < _LEAST_BYTES:
        return problem(name, f"Only {usage.free_bytes / _MIB:,.0f} MiB are free in {path}.", remedy)
    if usage.inodes and usage.free_inodes < _LEAST_INODES:
        return problem(name, f"{told}, but {few_files}.", files)
    if usage.free_bytes < _FEW_BYTES:
        return warning(name, f"{told}; a study's checkpoints and decoded images may need more.", remedy)
    if usage.inodes and usage.free_inodes < _FEW_INODES:
        return warning(name, f"{told}, but {few_files}.", files)
    return ok(name, f"{told}.")


def kind(name: str, path: Path, file_system: str, sqlite: bool) -> Finding:
    """The file system's type, for a folder that holds SQLite's file or not."""
    if file_system.startswith(NETWORK_FILE_SYSTEMS) and sqlite:
        return problem(
            name,
            f"{path} is on a network file system ({file_system}), where SQLite's locks do not hold.",
            "Set NOISEDASH_DB to a file on a local disk, or to a PostgreSQL server.",
        )
    if file_system in _IN_MEMORY:
        return warning(
            name,
            f"{path} is kept in memory ({file_system}) and is gone after a restart.",
            "Set NOISEDASH_HOME to a folder on a disk.",
        )
    return ok(name, f"{path} is on {file_system or 'a file system of unknown type'}.")


def writing(name: str, path: Path, sync: Callable[[Path], list[float]] | None = None) -> Finding:
    """Whether a file can be written there, and how long it takes until the disk has it; the file is removed again."""
    if not path.exists():
        parent = existing(path)
        if os.access(parent, os.W_OK | os.X_OK):
            return ok(name, f"{path} is not there yet; the first command makes it.")
        return problem(name, f"{path} is not there and cannot be made in {parent}.", _rights(parent))
    try:
        seconds = median((sync or sync_times)(path))
    except OSError as error:
        return _refused(name, path, error)
    told = f"The disk takes {seconds * 1000:.2g} ms to keep what is written in {path}"
    if seconds > SLOW_SYNC_S:
        return warning(
            name, f"{told}, and every change of the queue waits for it.", "Use a local disk, or a less busy one."
        )
    return ok(name, f"{told}.")


def sync_times(folder: Path, clock: Callable[[], float] = time.perf_counter) -> list[float]:
    """Seconds of a few writes of 4 KiB with fsync to a file without a name. Raises OSError."""
    times = []
    with TemporaryFile(dir=folder, prefix=".doctor-") as file:
        for _ in range(_SYNCS):
            begun = clock()
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
            times.append(clock() - begun)
    return times


def _refused(name: str, path: Path, error: OSError) -> Finding:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return problem(name, f"Nothing can be written in {path}: the disk is full.", "Free some of that disk.")
    if error.errno == errno.EROFS:
        return problem(name, f"{path} is on a disk that is mounted read-only.", "Mount it for writing, or use another.")
    if error.errno in (errno.EACCES, errno.EPERM):
        return problem(name, f"This user may not write in {path}.", _rights(path))
    return problem(name, f"Writing in {path} fails ({error.strerror}).", "Check the disk with its maker's tools.")


def _rights(path: Path) -> str:
    return f"Give this user the right to write in {path}, or set NOISEDASH_HOME to another folder."
