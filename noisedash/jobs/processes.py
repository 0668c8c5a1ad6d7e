"""Processes that end when they should: a child with all that it started, and a child whose parent dies.

What a trainer starts is known by a mark in its environment, which children inherit: a process that left the group for
a session of its own is found, too.
"""

import contextlib
import ctypes
import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import psutil

SUPERVISOR_VARIABLE = "NOISEDASH_SUPERVISOR_PID"
"""In a trainer's environment: the process that started it."""
_MARK = "NOISEDASH_TRAINER"
"""'<when the supervisor started>:<random>'."""
_PR_SET_PDEATHSIG = 1
_OOM_SCORE = 500
"""Of -1000 to 1000: the higher, the sooner the kernel ends a process for want of memory."""


class ProcessGroup:
    """A child process that leads a session, and so a process group, of its own.

    Start it from the main thread: the kernel takes the end of the thread that started a process for its parent's death.
    """

    def __init__(self, leader: "subprocess.Popen[bytes]", mark: str):
        self._leader, self._mark = leader, mark

    @classmethod
    def start(cls, command: Sequence[str], environment: Mapping[str, str], log: Path) -> Self:
        """Run `command` with standard output and error appended to the file `log`. Raises OSError."""
        mark = f"{_started(os.getpid())}:{secrets.token_hex(8)}"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            leader = subprocess.Popen(
                command,
                env={**environment, SUPERVISOR_VARIABLE: str(os.getpid()), _MARK: mark},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(leader, mark)

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
        """The processes of the group that still run, and those that it started and that left it."""
        return [pid for pid in psutil.pids() if _runs(pid) and (self._is_member(pid) or self._is_marked(pid))]

    def kill(self) -> None:
        """Send SIGKILL to the group and to what left it."""
        self.signal(signal.SIGKILL)
        for pid in self.survivors():
            _kill(pid)

    def reap(self) -> int:
        """The leader's exit code; minus the signal's number where a signal ended it."""
        return self._leader.wait()

    def _is_member(self, pid: int) -> bool:
        try:
            return os.getpgid(pid) == self.pid
        except (ProcessLookupError, PermissionError):
            return False

    def _is_marked(self, pid: int) -> bool:
        return _environment_of(pid).get(_MARK) == self._mark


def kill_strays(home: Path) -> int:
    """Kill what trainers of this home left behind whose supervisor was killed; how many processes there were.

    Only those that this process could have started: of this user and, on Linux, of this container.
    """
    strays = [pid for pid in psutil.pids() if _is_stray(_environment_of(pid), home) and _is_in_our_namespace(pid)]
    for pid in strays:
        _kill(pid)
    return len(strays)


def die_with_supervisor() -> None:
    """Have the kernel kill this process when its supervisor dies (Linux); exit if it is dead already.

    Does nothing in a process that was not started by `ProcessGroup.start`. Elsewhere than on Linux an orphan ends
    itself once its lease has run out.
    """
    supervisor = os.environ.get(SUPERVISOR_VARIABLE)
    if supervisor is None or sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(supervisor):
        sys.exit("The supervisor is gone.")


def be_killed_first() -> None:
    """Have the kernel choose this process before others, its supervisor above all, where memory runs out (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE))


def kills_for_memory() -> int:
    """How many processes the kernel has ended for want of memory, in this container where it says so, else here."""
    for counter in (
        Path("/sys/fs/cgroup/memory.events"),
        Path("/sys/fs/cgroup/memory/memory.oom_control"),
        Path("/proc/vmstat"),
    ):
        try:
            found = re.search(r"^oom_kill (\d+)$", counter.read_text(), re.MULTILINE)
        except OSError:
            continue
        if found is not None:
            return int(found[1])
    return 0


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _environment_of(pid: int) -> Mapping[str, str]:
    """A process's environment as it started; empty where it may not be read."""
    try:
        return psutil.Process(pid).environ()
    except (psutil.Error, OSError):
        return {}


def _is_stray(environment: Mapping[str, str], home: Path) -> bool:
    """Whether a process belongs to a trainer of this home whose supervisor has ended."""
    supervisor, mark = environment.get(SUPERVISOR_VARIABLE, ""), environment.get(_MARK, "")
    if environment.get("NOISEDASH_HOME") != str(home) or not mark or not supervisor.isdecimal():
        return False
    return _started(int(supervisor)) != mark.partition(":")[0]


def _started(pid: int) -> str:
    """When a process started, which sets it apart from another that had its id before; '' where there is none."""
    try:
        if sys.platform == "linux":  # ticks since the system's start: no change of the clock moves them
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        return str(psutil.Process(pid).create_time())
    except (OSError, psutil.Error):
        return ""


def _is_in_our_namespace(pid: int) -> bool:
    """Whether process ids mean the same to that process as to this one."""
    try:
        return Path(f"/proc/{pid}/ns/pid").readlink() == Path("/proc/self/ns/pid").readlink()
    except OSError:
        return sys.platform != "linux"


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


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
