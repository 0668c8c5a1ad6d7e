"""Processes of this machine that matter here: the worker that holds the lock, trainers without a supervisor, ports."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from noisedash.jobs.doctor.findings import Finding, ok, problem, warning
from noisedash.jobs.processes import SUPERVISOR_VARIABLE
from noisedash.jobs.worker import lock_of

TRAINER_MODULE = "noisedash.jobs.trainer"
_LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


@dataclass(frozen=True)
class Process:
    """A process as the checks need it."""

    pid: int
    parent: int
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Empty where it is another user's."""


@dataclass(frozen=True)
class Listener:
    """A program that listens on a TCP port. `pid` and `command` are empty where it is another user's."""

    address: str
    port: int
    pid: int | None = None
    command: tuple[str, ...] = ()


def state_of(pid: int) -> str | None:
    """'running', 'stopped' and so on; None where there is no such process, or only a zombie of it."""
    try:
        state = str(psutil.Process(pid).status())
    except psutil.NoSuchProcess:
        return None
    return None if state == psutil.STATUS_ZOMBIE else state


def describe(pid: int) -> str:
    """A process for people, by its command line's beginning; never its environment."""
    try:
        command = " ".join(psutil.Process(pid).cmdline())[:80]
    except psutil.Error:
        command = ""
    return f"process {pid}" + (f" ({command})" if command else "")


def trainers() -> list[Process]:
    """The trainers that run on this machine."""
    found = []
    for process in psutil.process_iter(["pid", "ppid", "cmdline", "status"]):
        command = tuple(process.info["cmdline"] or ())
        if TRAINER_MODULE not in command or process.info["status"] == psutil.STATUS_ZOMBIE:
            continue
        environment: Mapping[str, str] = {}
        with suppress(psutil.Error):
            environment = process.environ()
        found.append(Process(process.info["pid"], process.info["ppid"] or 0, command, environment))
    return found


def orphans(found: Iterable[Process], home: Path) -> list[Finding]:
    """Trainers of this home whose parent is not the supervisor that started them."""
    findings = []
    for trainer in found:
        supervisor = trainer.environment.get(SUPERVISOR_VARIABLE, "")
        if trainer.environment.get("NOISEDASH_HOME") != str(home) or supervisor in ("", str(trainer.parent)):
            continue
        job = trainer.command[trainer.command.index(TRAINER_MODULE) + 1 :][:1]
        findings.append(
            warning(
                "trainers",
                f"Trainer {trainer.pid}{f' of job {job[0]}' if job else ''} has lost its supervisor (process "
                f"{supervisor}); it can write nothing any more, but uses the machine.",
                f"End it: `kill {trainer.pid}`.",
            )
        )
    return findings or [ok("trainers", "None runs without its supervisor.")]


def listeners(port: int) -> list[Listener]:
    """Programs that listen on the port, and streamlit servers on others. Raises psutil.AccessDenied on macOS."""
    found = []
    for connection in psutil.net_connections("tcp"):
        if connection.status != psutil.CONN_LISTEN or not connection.laddr:
            continue
        command: tuple[str, ...] = ()
        with suppress(psutil.Error):
            command = tuple(psutil.Process(connection.pid).cmdline()) if connection.pid else ()
        listener = Listener(connection.laddr.ip, connection.laddr.port, connection.pid, command)
        if listener.port == port or is_web_app(listener):
            found.append(listener)
    return found


def is_web_app(listener: Listener) -> bool:
    """Whether a NoiseDash web app listens there: streamlit with our app.py."""
    return "streamlit" in listener.command and any(Path(part).name == "app.py" for part in listener.command)


def web(found: Sequence[Listener], port: int) -> list[Finding]:
    """Who has the web app's port, and whether a web app can be reached from other machines."""
    findings = []
    for listener in found:
        if not is_web_app(listener):
            who = f"process {listener.pid} ({' '.join(listener.command)[:80]})" if listener.pid else "another user"
            findings.append(
                warning(
                    "web",
                    f"Port {port} is taken by another program: {who}.",
                    f"End it, or choose another port: `noisedash up --port {port + 1}`.",
                )
            )
        elif listener.address not in _LOOPBACK:
            findings.append(
                warning(
                    "web",
                    f"The web app (process {listener.pid}) listens on {listener.address}:{listener.port}, where other "
                    "machines reach it without a password.",
                    "Start it with `noisedash up`, which listens on 127.0.0.1, and reach it through an SSH tunnel.",
                )
            )
    return findings or [
        ok(
            "web",
            f"The web app runs, on this machine only (process {found[0].pid})." if found else f"Port {port} is free.",
        )
    ]


def lock_holders(home: Path) -> list[tuple[str, int]]:
    """The lock file of this machine's worker in the home and the process that holds it open; empty where none does."""
    path = lock_of(home)
    if not path.is_file():
        return []
    written = re.findall(r"\d+", path.read_text(errors="replace"))
    return [(path.name, pid) for pid in map(int, written) if _has_open(pid, path)]


def worker_lock(holders: Sequence[tuple[str, int]], state_of: Callable[[int], str | None] = state_of) -> Finding:
    """The worker of this home on this machine; the kernel lets go of a lock when its process ends, however it does."""
    if not holders:
        return ok("worker", "None runs for this home on this machine, and no lock is held.")
    name, pid = holders[0]
    if state_of(pid) == psutil.STATUS_STOPPED:
        return problem(
            "worker",
            f"The worker (process {pid}) is stopped but holds {name}, so that no other can start.",
            f"Let it go on with `kill -CONT {pid}`, or end it with `kill -KILL {pid}`.",
        )
    return ok("worker", f"A worker runs for this home: process {pid} holds {name}.")


def _has_open(pid: int, path: Path) -> bool:
    try:
        return any(Path(file.path) == path for file in psutil.Process(pid).open_files())
    except psutil.Error:
        return False
