"""Who holds SQLite's write lock. A program of its own: closing a file drops the locks of its whole process."""

import fcntl
import json
import struct
import sys
import time
from pathlib import Path

LOOKS, PAUSE_S = 10, 0.2
_WRITE_LOCK_OF_LOG = 120
"""The byte of the -shm file that a writer locks: WAL_WRITE_LOCK of SQLite's wal.c."""
_WRITE_LOCKS_OF_FILE = 0x40000000, 512
"""The pending, reserved and shared bytes of the database file: os.h of SQLite."""
_FLOCK = "qqihh" if sys.platform == "darwin" else "hhqqi4x"


def holder(path: Path, start: int, length: int) -> int | None:
    """The process that keeps others from reading those bytes; None: nobody, or there is no file. Raises OSError."""
    asked = (start, length, 0, fcntl.F_RDLCK, 0) if sys.platform == "darwin" else (fcntl.F_RDLCK, 0, start, length, 0)
    try:
        with path.open("rb") as file:
            answer = struct.unpack(_FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, struct.pack(_FLOCK, *asked)))
    except FileNotFoundError:
        return None
    kind, pid = (answer[3], answer[2]) if sys.platform == "darwin" else (answer[0], answer[4])
    return None if kind == fcntl.F_UNLCK else pid


def steady_holders(database: Path) -> list[int]:
    """The processes that held a write lock at every one of a few looks."""
    steady: set[int] | None = None
    for look in range(LOOKS):
        if look:
            time.sleep(PAUSE_S)
        now = {
            pid
            for pid in (
                holder(Path(f"{database}-shm"), _WRITE_LOCK_OF_LOG, 1),
                holder(database, *_WRITE_LOCKS_OF_FILE),
            )
            if pid is not None
        }
        steady = now if steady is None else steady & now
        if not steady:
            return []
    return sorted(steady or ())


if __name__ == "__main__":
    json.dump(steady_holders(Path(sys.argv[1])), sys.stdout)
