"""What the tests of the queue share: small studies, a clock to turn by hand, and trainers that train nothing."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import delete

from noisedash.jobs.protocol import Claim
from noisedash.jobs.schema import metadata, schema_version
from noisedash.jobs.store import Store
from noisedash.jobs.supervisor import Command
from noisedash.settings import Settings
from noisedash.spec import DataSpec, Focal, RunSpec, TrainingSpec
from noisedash.studies.study import Study

FAKE_TRAINER = Path(__file__).parent / "jobs_fake_trainer.py"


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def spec(number: int) -> RunSpec:
    return RunSpec(
        data=DataSpec(content_hash="0" * 64), loss=Focal(), training=TrainingSpec(seed=number, steps=40, batch_size=1)
    )


def study(*numbers: int, name: str = "study") -> Study:
    return Study(name, "A title", "A note", "dataset", tuple(spec(number) for number in numbers))


def fake_command(mode: str) -> Command:
    """A trainer that counts to 40 ('count'), stops answering ('deaf') though it watches its lease ('silent'), ends at
    once ('crash'), or finds no room on the disk ('full')."""

    def command(claim: Claim) -> list[str]:
        return [sys.executable, str(FAKE_TRAINER), str(claim.job_id), str(claim.token), mode]

    return command


def start_worker(settings: Settings, mode: str, slots: int = 1, lease_s: float = 20.0) -> "subprocess.Popen[bytes]":
    """A worker in a process of its own, with fake trainers."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from jobs_tools import fake_command\n"
        "from noisedash.jobs.store import Store\n"
        "from noisedash.jobs.worker import run_worker\n"
        "from noisedash.settings import current_settings\n"
        "settings = current_settings()\n"
        "store = Store(settings.database_url, lease_s=float(sys.argv[4]))\n"
        "beat = float(sys.argv[4]) / 5\n"
        "run_worker(settings, int(sys.argv[3]), store=store, command=fake_command(sys.argv[2]), heartbeat_s=beat)\n"
    )
    environment = {**os.environ, "NOISEDASH_HOME": str(settings.home), "NOISEDASH_DB": settings.database_url}
    command = [sys.executable, "-c", code, str(Path(__file__).parent), mode, str(slots), str(lease_s)]
    return subprocess.Popen(command, env=environment)


def wait_until(condition: Callable[[], bool], within_s: float = 20.0) -> float:
    """Seconds until the condition held; fails after `within_s`."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < within_s, "waited too long"
        time.sleep(0.02)
    return time.monotonic() - start


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def end_worker(worker: "subprocess.Popen[bytes]") -> None:
    if worker.poll() is None:
        worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0


@cache
def empty_database() -> bytes:
    """A new database file; making one takes much longer than copying it."""
    with TemporaryDirectory() as folder:
        Store(f"sqlite:///{folder}/noisedash.db").close()
        return (Path(folder) / "noisedash.db").read_bytes()


def a_store(where: Path | str, clock: Clock | None = None, lease_s: float = 20.0) -> Store:
    """A store on a database's URL, or on SQLite in a home; `close_stores` closes it."""
    store = Store(where if isinstance(where, str) else sqlite_url(where), clock=clock, lease_s=lease_s)
    _opened.append(store)
    return store


def sqlite_url(home: Path) -> str:
    """The URL of the SQLite database of a home; it is made, with its tables, where there is none."""
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "noisedash.db").exists():
        (home / "noisedash.db").write_bytes(empty_database())
    return f"sqlite:///{home / 'noisedash.db'}"


def empty(store: Store) -> None:
    """Remove all studies, jobs and workers."""
    with store._database.write() as transaction:
        for table in reversed(metadata.sorted_tables):
            if table is not schema_version:
                transaction.connection.execute(delete(table))


def close_stores() -> None:
    """Close what `a_store` has opened."""
    while _opened:
        _opened.pop().close()


_opened: list[Store] = []
