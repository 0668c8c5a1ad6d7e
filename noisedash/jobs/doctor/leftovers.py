"""What killed processes left in the home: half-written files, folders of unknown runs, images of removed datasets."""

import re
import shutil
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from noisedash.files import ASIDE
from noisedash.jobs.doctor.findings import Finding, ok, warning
from noisedash.settings import Settings

OLD_S = 3600.0
"""A half-written file that nobody changed for so long is nobody's: checkpoints take seconds, drawing a set minutes."""
_RUN_ID = re.compile(r"[0-9a-f]{16}")


def half_written(settings: Settings, now: float, old_s: float = OLD_S) -> list[Path]:
    """Files and folders that were being written when their writer died, untouched for `old_s` seconds."""
    candidates = [
        *settings.runs.glob(f"*/attempt-*/checkpoints/.*{ASIDE}*"),
        *settings.runs.glob("*/.spec.*"),
        *settings.runs.glob("*/attempt-*/.*"),
        *settings.weights.glob(".adding-*"),
        *settings.home.glob("*.unfinished"),
        *settings.datasets.glob(f"{ASIDE}*"),
        *settings.images.glob(f"{ASIDE}*"),
    ]
    return sorted(path for path in candidates if now - _touched(path) > old_s)


def leftovers(found: Sequence[Path], size: int) -> Finding:
    """Half-written files, and their bytes together."""
    if not found:
        return ok("leftovers", "No half-written files lie about.")
    return warning(
        "leftovers",
        f"Processes that are gone left {_count(len(found), 'half-written file')} ({size / 1e6:,.0f} MB), such as "
        f"{found[0]}.",
        "Run `noisedash doctor --fix`, which removes them.",
    )


def remove(found: Iterable[Path]) -> list[Path]:
    """Remove half-written files; those that are gone now."""
    gone = []
    for path in found:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        if not path.exists():
            gone.append(path)
    return gone


def unknown_runs(runs: Path, known: Collection[str]) -> list[Path]:
    """Folders of runs that the store does not know."""
    folders = (path for path in runs.glob("*") if _RUN_ID.fullmatch(path.name) and path.is_dir())
    return sorted(path for path in folders if path.name not in known)


def run_folders(found: Sequence[Path], size: int) -> Finding:
    """Folders of runs that no table names: the database was replaced, or the folder comes from elsewhere."""
    if not found:
        return ok("run folders", "Every one belongs to a run in the database.")
    return warning(
        "run folders",
        f"{_count(len(found), 'run folder')} ({size / 1e6:,.0f} MB) in {found[0].parent} "
        f"{'belongs' if len(found) == 1 else 'belong'} to no run in the database, such as {found[0].name}.",
        "Submit their study again if you want the runs (it goes on from their checkpoints); else remove the folders.",
    )


def decoded_images(found: Sequence[Path], size: int) -> Finding:
    """Decoded images that no registered dataset uses."""
    if not found:
        return ok("decoded images", "All are of registered datasets.")
    return warning(
        "decoded images",
        f"{_count(len(found), 'set')} of decoded images ({size / 1e6:,.0f} MB) {'is' if len(found) == 1 else 'are'} of "
        f"datasets that were removed, such as {found[0]}.",
        "Remove those folders to free the space; images are decoded again when they are needed.",
    )


def size_of(paths: Iterable[Path]) -> int:
    """Bytes of files and of all files below folders; what vanishes meanwhile counts nothing."""
    total = 0
    for path in paths:
        for file in [path, *path.rglob("*")] if path.is_dir() else [path]:
            with suppress(OSError):
                if file.is_file():
                    total += file.stat().st_size
    return total


def _touched(path: Path) -> float:
    """When the file, or the newest file of the folder, was last written; now where it is gone."""
    times = [time.time()] if not path.exists() else []
    for file in [path, *path.rglob("*")]:
        with suppress(OSError):
            times.append(file.stat().st_mtime)
    return max(times, default=time.time())


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"
