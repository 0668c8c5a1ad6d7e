"""Processes that end when they should: a child with its whole group, and a child whose parent dies."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import psutil

_SUPERVISOR = "NOISEDASH_SUPERVISOR_PID"
_PR_SET_PDEATHSIG = 1


class ProcessGroup:
    """A child process that leads a session, and so a process group, of its own.

    Start it from the main thread: the kernel takes the end of the thread that started a process for its parent's death.
    """

    def __init__(self, leader: "subprocess.Popen[bytes]"):
        self._leader = leader

    @classmethod
    def start(cls, command: Sequence[str], environment: Mapping[str, str], log: Path) -> Self:
        """Run `command` with standard output and error appended to the file `log`. Raises OSError."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            leader = subprocess.Popen(
                command,
                env={**environment, _SUPERVISOR: str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(leader)

    @property
    def pid(self) -> int:
        """The leader's process id, which is also the group's."""
        return self._leader.pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to every process of the group. Only before `reap`: afterwards the id may be another's."""
        assert self._leader.returncode is None
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):  # nobody there, or on macOS only zombies
            return

    def leader_ended(self) -> bool:
        """Whether the leader has ended. It stays unreaped, so that its id, and the group's, stay taken."""
        if hasattr(os, "waitid"):
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        return psutil.Process(self.pid).status() == psutil.STATUS_ZOMBIE

    def survivors(self) -> list[int]:
        """The processes of the group that still run."""
        return [pid for pid in psutil.pids() if self._is_live_member(pid)]

    def reap(self) -> int:
        """The leader's exit code; minus the signal's number where a signal ended it."""
        return self._leader.wait()

    def _is_live_member(self, pid: int) -> bool:
        try:
            return os.getpgid(pid) == self.pid and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except (ProcessLookupError, PermissionError, psutil.Error):
            return False


def die_with_supervisor() -> None:
    """Have the kernel kill this process when its supervisor dies (Linux); exit if it is dead already.

    Does nothing in a process that was not started by `ProcessGroup.start`. Elsewhere than on Linux an orphan ends
    itself at its first write after its job was given to another.
    """
    supervisor = os.environ.get(_SUPERVISOR)
    if supervisor is None or sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(supervisor):
        sys.exit("The supervisor is gone.")


def describe_exit(code: int) -> str:
    """An exit code in words.

    >>> describe_exit(-9)
    'was killed by signal 9 (SIGKILL: by a person, or by the system for want of memory)'
    >>> describe_exit(1)
    'ended with exit code 1'
    """
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else "unknown"
    hint = ": by a person, or by the system for want of memory" if -code == signal.SIGKILL else ""
    return f"was killed by signal {-code} ({name}{hint})"
