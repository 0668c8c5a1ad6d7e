"""Files that are either wholly there or not at all: written aside and renamed, one process at a time."""

import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from noisedash.errors import StorageError

ASIDE = ".aside-"


@contextmanager
def written_aside(folder: Path) -> Iterator[Path]:
    """An empty folder beside `folder` that takes its name when the block ends well, and vanishes when it does not.

    Raises StorageError where `folder` is there already (unless empty) or the disk refuses.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise StorageError(f"{folder} exists already: choose another place, or remove it first.")
    aside = folder.parent / f"{ASIDE}{folder.name}-{uuid.uuid4().hex[:8]}"
    try:
        aside.mkdir(parents=True)
        yield aside
        _sync(aside)
        aside.rename(folder)
        _sync(folder.parent)
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise storage_error(error, folder) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def file_written_aside(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it is brought to the disk and takes the name when the block ends well.

    `path` is thus whole or as it was, also after a power cut. Raises StorageError where the disk refuses.
    """
    aside = path.with_name(f".{path.name}{ASIDE}{uuid.uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        _sync(aside)
        aside.chmod(0o644)
        aside.replace(path)
        _sync(path.parent)
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise storage_error(error, path) from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def remove_asides(folder: Path) -> None:
    """Remove what killed processes left beside `folder`; call it only under the lock that guards the writing."""
    for left in folder.parent.glob(f"{ASIDE}{folder.name}-????????"):
        shutil.rmtree(left, ignore_errors=True)


@contextmanager
def exclusive(lock_file: Path) -> Iterator[None]:
    """Wait until no other process or thread is in a block with this lock file. The system frees a dead one's lock."""
    try:
        lock_file.parent.mkdir(parents=True, exist_ok=True)
        handle = lock_file.open("ab")
    except OSError as error:
        raise storage_error(error, lock_file) from error
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def write_synced(path: Path, data: bytes) -> None:
    """Write the bytes and wait until they are on the disk."""
    with path.open("wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())


def storage_error(error: OSError, where: Path) -> StorageError:
    """The system's refusal as a sentence for the person."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(f"The disk that holds {where} is full: free some of it, then try again.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StorageError(f"{where} must not be written by this user: change its rights or choose another place.")
    return StorageError(f"{where} cannot be written ({error.strerror or error}): check the disk, then try again.")


def _sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
