"""Run files where all machines reach them: a shared folder or any fsspec URL, as NOISEDASH_STORAGE says.

For machines that do not share one NOISEDASH_HOME. Below the URL lie `runs/<run id>/attempt-<claim>/` and in it what the
folder of that name holds at home: checkpoints, then predictions and weights, each with the start of its SHA-256 in its
name, so that what was torn or changed on the way is noticed and passed over; and the log. A trainer writes below its
own attempt only, so that one that should be dead can spoil nothing.
"""

import hashlib
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from noisedash.errors import TransferError
from noisedash.files import file_written_aside
from noisedash.jobs.runfolder import Attempt, newest_attempt, run_folder
from noisedash.records import JobRecord
from noisedash.settings import Settings

KEEP = 2
"""How many checkpoints of an attempt stay, as at home."""
CHECKPOINTS = "checkpoints"
LOG_AGE_S = 10.0
"""How old the copy of another machine's log may be when it is shown."""
_PARTIAL = ".partial"

logger = logging.getLogger(__name__)


class RunStorage:
    """The files of one run in the storage at `url`. Every method may raise TransferError."""

    def __init__(self, url: str, run_id: str):
        with _transfer(url):
            from fsspec.core import url_to_fs

            self._files, root = url_to_fs(url)
        self._url = url
        self._root = f"{root.rstrip('/')}/runs/{run_id}"

    def keep(self, path: Path, claim: int, folder: str = "") -> None:
        """Bring a file there, under its name with the start of its SHA-256, whole or not at all.

        Raises FileNotFoundError where `path` is gone.
        """
        content = path.read_bytes()
        self._put(content, f"{self._folder(claim, folder)}/{checksummed(path.name, content)}")

    def keep_log(self, path: Path, claim: int) -> None:
        """Bring the log of an attempt there as it is now; it replaces the one before."""
        if path.is_file():
            self._put(path.read_bytes(), f"{self._folder(claim)}/{path.name}")

    def fetch(self, path: Path, claim: int) -> bool:
        """Bring a kept file of an attempt to `path`, its name at home; False where there is no whole one."""
        stem, suffix = path.name.split(".", 1)
        for there in self._names(self._folder(claim)):
            name = there.rsplit("/", 1)[1]
            if name.startswith(f"{stem}.") and name.endswith(f".{suffix}") and self._get_whole(there, path):
                return True
        return False

    def fetch_log(self, path: Path, claim: int) -> bool:
        """Bring the log of an attempt to `path`; False where there is none."""
        there = f"{self._folder(claim)}/log.txt"
        with self._transfer():
            self._files.invalidate_cache()
            if not self._files.exists(there):
                return False
            content = self._files.cat_file(there)
        with file_written_aside(path) as aside:
            aside.write_bytes(content)
        return True

    def fetch_checkpoint(self, into: Path, newer_than: int) -> int | None:
        """Bring the newest whole checkpoint of any attempt into a folder; its step, None where none is newer."""
        for there in self._checkpoints("attempt-*"):
            step, name = _step_of(there), there.rsplit("/", 1)[1]
            if step <= newer_than:
                return None
            if self._get_whole(there, into / name):
                return step
        return None

    def prune(self, claim: int) -> None:
        """Remove an attempt's checkpoints but the newest."""
        self._remove(self._checkpoints(f"attempt-{claim}")[KEEP:])

    def clear_checkpoints(self) -> None:
        """Remove the checkpoints of all attempts, and what was left half-written."""
        partial = [there for there in self._names(f"{self._root}/attempt-*/{CHECKPOINTS}") if there.endswith(_PARTIAL)]
        self._remove([*self._checkpoints("attempt-*"), *partial])

    def _folder(self, claim: int, folder: str = "") -> str:
        return f"{self._root}/attempt-{claim}" + (f"/{folder}" if folder else "")

    def _put(self, content: bytes, there: str) -> None:
        aside = f"{there}.{uuid4().hex[:8]}{_PARTIAL}"
        with self._transfer():
            self._files.makedirs(there.rsplit("/", 1)[0], exist_ok=True)
            self._files.pipe_file(aside, content)
            self._files.mv(aside, there)

    def _get_whole(self, there: str, path: Path) -> bool:
        with self._transfer():
            try:
                content = self._files.cat_file(there)
            except FileNotFoundError:  # removed meanwhile
                return False
        if there.split(".")[-2] != _checksum(content):
            logger.warning("%s in %s is torn or damaged and passed over.", there, self._url)
            return False
        with file_written_aside(path) as aside:
            aside.write_bytes(content)
        return True

    def _checkpoints(self, attempt: str) -> list[str]:
        """The run's checkpoints, the newest first."""
        found = self._names(f"{self._root}/{attempt}/{CHECKPOINTS}")
        whole = [there for there in found if _is_checkpoint(there.rsplit("/", 1)[1])]
        return sorted(whole, key=_step_of, reverse=True)

    def _names(self, folder: str) -> list[str]:
        with self._transfer():
            self._files.invalidate_cache()
            found: list[str] = self._files.glob(f"{folder}/*")
            return found

    def _remove(self, paths: list[str]) -> None:
        with self._transfer():
            for there in paths:
                self._files.rm_file(there)

    def _transfer(self) -> Any:
        return _transfer(self._url)


def checksummed(name: str, content: bytes) -> str:
    """The name of a file with the start of its SHA-256 in it, unless it carries it already.

    >>> checksummed("predictions.npz", b"")
    'predictions.e3b0c44298fc1c14.npz'
    """
    checksum = _checksum(content)
    return name if f".{checksum}." in name else f"{name.split('.', 1)[0]}.{checksum}.{name.split('.', 1)[1]}"


def storage_of(settings: Settings, run_id: str) -> RunStorage | None:
    """The run's files in NOISEDASH_STORAGE; None where that is not set. Raises TransferError."""
    return RunStorage(settings.storage, run_id) if settings.storage else None


def finished_attempt(settings: Settings, job: JobRecord) -> Attempt:
    """The folder of a done job's trainer; its predictions and weights are brought here where they were made elsewhere.

    Raises TransferError. What is nowhere is not there.
    """
    attempt = newest_attempt(settings, job)
    storage = storage_of(settings, job.run_id)
    if storage is not None:
        for path in (attempt.predictions, attempt.weights):
            if not path.is_file():
                storage.fetch(path, job.claims)
    return attempt


def log_from_elsewhere(settings: Settings, job: JobRecord) -> Path | None:
    """A copy of the log that the job's newest trainer wrote on another machine, as it was at its last checkpoint.

    None where there is no storage. Raises TransferError.
    """
    if settings.storage is None:
        return None
    copy = newest_attempt(settings, job).path / "log-from-storage.txt"
    if not copy.is_file() or time.time() - copy.stat().st_mtime > LOG_AGE_S:
        RunStorage(settings.storage, job.run_id).fetch_log(copy, job.claims)
    return copy


def keep_log(settings: Settings, run_id: str, claim: int) -> None:
    """Bring an attempt's log to the storage, if there is one; a storage that fails is warned of."""
    try:
        storage = storage_of(settings, run_id)
        if storage is not None:
            storage.keep_log(run_folder(settings, run_id).attempt(claim).log, claim)
    except TransferError as error:
        logger.warning("The log of run %s is not in the storage: %s", run_id, error)


@contextmanager
def _transfer(url: str) -> Iterator[None]:
    """Tell what went wrong in a sentence. Each file system of fsspec raises what its own library raises."""
    try:
        yield
    except Exception as error:
        what = f"{type(error).__name__}: {error}".splitlines()[0].rstrip(".")
        raise TransferError(
            f"The storage {_without_secrets(url)} (NOISEDASH_STORAGE) cannot be used ({what}): check that it is there, "
            "may be written to and has room."
        ) from error


def _without_secrets(url: str) -> str:
    """A URL without user and password.

    >>> _without_secrets("sftp://me:secret@box/runs")
    'sftp://box/runs'
    """
    scheme, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}" if separator else url


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _is_checkpoint(name: str) -> bool:
    return name.startswith("step-") and name.endswith(".safetensors")


def _step_of(there: str) -> int:
    return int(there.rsplit("/", 1)[1].removeprefix("step-").split(".")[0])
