"""What the fault tests share: how much of them is run, processes that can all be found again, and kills."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from shutil import which
from uuid import uuid4

import psutil
from jobs_tools import wait_until

from noisedash.jobs.runfolder import run_folder
from noisedash.jobs.store import Store
from noisedash.records import JobState
from noisedash.settings import Settings
from noisedash.spec import DataSpec, Focal, RunSpec, TrainingSpec
from noisedash.studies.study import Study

FULL = os.environ.get("NOISEDASH_FAULTS", "short") == "full"
"""Whether faults are repeated as often as is promised; the short form does each of them at least once."""
PATIENCE_S = 120.0
"""How long is waited for what is not promised in seconds."""
_MARK = "NOISEDASH_FAULT_TEST"
_WORKER = Path(__file__).parent / "faults_worker.py"
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL") if which("setpriv") else ()
"""The command before a command that the kernel ends with the test process, should that be killed."""
_NAMESPACE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


def times(full: int, short: int) -> int:
    """A number of repetitions."""
    return full if FULL else short


def counting_spec(number: int, steps: int = 40) -> RunSpec:
    training = TrainingSpec(seed=number, steps=steps, batch_size=1)
    return RunSpec(data=DataSpec(content_hash="0" * 64), loss=Focal(), training=training)


def counting_study(count: int, steps: int = 40, name: str = "study", first: int = 0) -> Study:
    """A study of runs for trainers that count."""
    return Study(name, "", "", "dataset", tuple(counting_spec(first + number, steps) for number in range(count)))


class Farm:
    """Workers with all that they start, each process marked, so that none of them is ever missed."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.mark = uuid4().hex

    @contextmanager
    def worker(
        self,
        mode: str = "count",
        slots: int = 2,
        lease_s: float = 20.0,
        pace_s: float = 0.03,
        *,
        home: Path | None = None,
        web_port: int | None = None,
        sealed: bool = False,
    ) -> Iterator["subprocess.Popen[bytes]"]:
        """A worker; it is asked to end afterwards, unless the test has ended it, and must obey.

        `sealed`: in a process namespace of its own, where the system permits one.
        """
        home = home or self.settings.home
        home.mkdir(parents=True, exist_ok=True)
        (home / "worker-is-ready").unlink(missing_ok=True)
        web = [] if web_port is None else ["--web", str(web_port)]
        command = [sys.executable, str(_WORKER), *web, mode, str(slots), str(lease_s), str(pace_s)]
        with (home / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                [*DIES_WITH_US, *(namespace() if sealed else ()), *command],
                env=self.environment(home),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            if sealed:  # unshare passes no SIGTERM on; killed, it takes all of its namespace with it
                process.kill()
            end(process)

    def environment(self, home: Path) -> dict[str, str]:
        """What a process of this farm finds in its environment."""
        places = {"NOISEDASH_HOME": str(home), "NOISEDASH_DB": self.settings.database_url}
        return {**os.environ, "NOISEDASH_GPUS": "", _MARK: self.mark, **places}

    def processes(self) -> list[psutil.Process]:
        """All processes of the farm that live, wherever they were moved."""
        wanted = f"{_MARK}={self.mark}".encode()
        return [process for process in psutil.process_iter() if _holds(process, wanted)]

    def trainers(self) -> list[psutil.Process]:
        """The processes that were started as trainers."""
        return [process for process in self.processes() if _is_trainer(process)]

    def kill_everything(self) -> None:
        """SIGKILL to all processes at once: none may start another meanwhile."""
        while processes := self.processes():
            for number in (signal.SIGSTOP, signal.SIGKILL):
                for process in processes:
                    with suppress(psutil.NoSuchProcess):
                        process.send_signal(number)

    def ready_at(self) -> float:
        """When the newest worker was about to begin, in seconds since 1970."""
        path = self.settings.home / "worker-is-ready"
        wait_until(lambda: path.exists() and path.read_text() != "", PATIENCE_S)
        return float(path.read_text())


def end(process: "subprocess.Popen[bytes]") -> None:
    """Ask a process to end, if it was not killed, and see that it does."""
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) in (0, -signal.SIGKILL)


def wait_for_states(store: Store, state: JobState, count: int) -> None:
    """Wait until so many jobs are in a state; says how it stands otherwise."""
    deadline = time.monotonic() + PATIENCE_S
    while store.counts()[state] < count:
        assert time.monotonic() < deadline, [(job.id, job.state, job.attempts, job.reason) for job in store.jobs()]
        time.sleep(0.05)


def checkpoint_of(settings: Settings, run_id: str, claim: int) -> int:
    """The step of the checkpoint that a claim's counting trainer left; 0 where it left none."""
    path = run_folder(settings, run_id).attempt(claim).path / "checkpoint"
    return int(path.read_text()) if path.exists() else 0


@cache
def namespace() -> tuple[str, ...]:
    """The command before a command that runs it in a process namespace of its own; () where none is permitted."""
    for prefix in (_NAMESPACE, (*_NAMESPACE, "--map-root-user")):
        with suppress(FileNotFoundError):
            if subprocess.run([*prefix, "true"], capture_output=True).returncode == 0:
                return prefix
    return ()


def _holds(process: psutil.Process, variable: bytes) -> bool:
    try:
        return variable in Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False


def _is_trainer(process: psutil.Process) -> bool:
    try:
        command = process.cmdline()
    except psutil.Error:
        return False
    return "noisedash.jobs.trainer" in command or any(part.endswith("faults_trainer.py") for part in command)
