"""All checks of this machine: what each looks at, put together from the probes and the judgements."""

import json
import os
import socket
import sqlite3
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path

import psutil
from sqlalchemy import Connection, make_url, select
from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError

from noisedash.datasets.registry import DatasetRegistry
from noisedash.jobs.database import file_system_of
from noisedash.jobs.doctor import data, devices, disk, leftovers, packages, postgres, processes, queue, ray, sqlite
from noisedash.jobs.doctor.checks import Check
from noisedash.jobs.doctor.findings import UNREADABLE_URL, Finding, ok, problem, warning
from noisedash.jobs.doctor.probes import ask, ask_driver, ask_torch
from noisedash.jobs.migrating import revision_of
from noisedash.jobs.schema import REVISION, runs
from noisedash.jobs.slots import cpu_cores, slots_of_machine, visible_gpus
from noisedash.jobs.trouble import in_plain_words, where_is
from noisedash.settings import Settings
from noisedash.weights import WeightsRegistry

DISTRIBUTION = "noisedash"
PORT = 8501
_TORCH_S, _DRIVER_S, _LOCK_S = 90.0, 16.0, 10.0
_NO_LIMIT = 1 << 60
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def checks_of(settings: Settings, environment: Mapping[str, str]) -> list[Check]:
    """The checks in the order in which a person wants them: what everything stands on first."""
    home = settings.home
    return [
        Check("packages", installation),
        Check("GPU", partial(accelerators, environment), _TORCH_S + _DRIVER_S),
        Check("memory", partial(core_and_memory, environment), 30.0),
        *(Check(name, partial(disk_of, name, path)) for name, path in places(home)),
        *_database_checks(settings),
        Check("worker", lambda: [processes.worker_lock(processes.lock_holders(home))]),
        Check("trainers", lambda: processes.orphans(processes.trainers(), home)),
        Check("leftovers", partial(half_written, settings), 30.0),
        Check("decoded images", partial(decoded_images, settings), 30.0),
        Check("datasets", lambda: data.datasets(DatasetRegistry(settings)), 30.0),
        Check("weights", lambda: data.weights(WeightsRegistry(settings)), 30.0),
        Check("web", lambda: processes.web(processes.listeners(PORT), PORT)),
        Check("Ray", partial(ray_here, settings, environment)),
    ]


def installation() -> list[Finding]:
    """Python and packages."""
    try:
        requires = metadata.metadata(DISTRIBUTION)["Requires-Python"]
    except metadata.PackageNotFoundError:
        return [
            problem("packages", "NoiseDash is not installed in this environment.", "Run `pip install --editable .`.")
        ]
    ours = packages.requirements_of(DISTRIBUTION)
    theirs = {requirement.name: packages.requirements_of(requirement.name) for requirement in ours}
    return [
        packages.python_version(sys.version_info[:3], requires),
        *packages.packages(ours, packages.installed_version, theirs),
    ]


def accelerators(environment: Mapping[str, str]) -> list[Finding]:
    """The driver, torch, and the variables that choose GPUs."""
    driver, torch = ask_driver(_DRIVER_S), ask_torch(_TORCH_S - 5.0)
    return [
        devices.torch_works(torch),
        devices.gpus(driver, torch, environment),
        devices.gpu_variables(environment, len(driver.gpus)),
    ]


def core_and_memory(environment: Mapping[str, str]) -> list[Finding]:
    """Cores, threads, memory and shared memory."""
    slots, shm = len(slots_of_machine()), Path("/dev/shm")
    size = os.statvfs(shm) if shm.is_dir() else None
    return [
        devices.cores(cpu_cores(), os.cpu_count() or 1, slots),
        devices.threads(environment, cpu_cores()),
        devices.memory(
            psutil.virtual_memory().available, memory_limit(_LIMITS), 0 if visible_gpus(environment) else slots
        ),
        devices.shared_memory(
            size.f_blocks * size.f_frsize if size else None, packages.installed_version("ray") is not None
        ),
    ]


def memory_limit(files: Sequence[Path]) -> int | None:
    """The container's limit in bytes by the first of the control group's files that is there; None: none."""
    for file in files:
        if file.is_file():
            said = file.read_text().strip()
            return int(said) if said.isdecimal() and int(said) < _NO_LIMIT else None
    return None


def places(home: Path) -> list[tuple[str, Path]]:
    """The folders that are written to."""
    return [("home", home), ("temporary files", Path(tempfile.gettempdir()))]


def disk_of(name: str, path: Path) -> list[Finding]:
    """Space, kind and speed of the disk of a folder; one line where all is well."""
    findings = [disk.writing(name, path), disk.space(name, path, disk.usage_of(path))]
    if name == "home":
        findings.append(disk.kind(name, path, file_system_of(path), sqlite=False))
    bad = [finding for finding in findings if finding.remedy]
    return bad or [ok(name, " ".join(finding.found for finding in findings))]


def half_written(settings: Settings) -> list[Finding]:
    """What killed processes left."""
    found = leftovers.half_written(settings, time.time())
    return [leftovers.leftovers(found, leftovers.size_of(found))]


def decoded_images(settings: Settings) -> list[Finding]:
    """Images of datasets that were removed."""
    found = data.unused_images(settings.images, DatasetRegistry(settings))
    return [leftovers.decoded_images(found, leftovers.size_of(found))]


def ray_here(settings: Settings, environment: Mapping[str, str]) -> list[Finding]:
    """Ray's version and its token."""
    return ray.ray(packages.installed_version("ray"), environment, ray.token_file(environment, settings.home))


def _database_checks(settings: Settings) -> list[Check]:
    try:
        path = queue.sqlite_path(make_url(settings.database_url))
    except UNREADABLE_URL:
        path = None
    checks = [Check("queue", partial(queue_tables, settings), 25.0)]
    if path is None:
        return checks
    return [
        Check("database", partial(sqlite_file, path), sqlite.QUICK_CHECK_S + 10.0),
        Check("database lock", partial(sqlite_lock, path), _LOCK_S + 2.0),
        *checks,
    ]


def sqlite_file(path: Path) -> list[Finding]:
    """SQLite's file and the disk it is on."""
    kind = disk.kind("database", path.parent, file_system_of(path), sqlite=True)
    return [*([kind] if kind.verdict == "problem" else []), *sqlite.check_file(path)]


def sqlite_lock(path: Path) -> list[Finding]:
    """Who keeps the database locked."""
    answer = ask([sys.executable, "-m", "noisedash.jobs.doctor.lock_probe", str(path)], _LOCK_S)
    if answer.trouble:
        return [
            warning("database lock", f"It cannot be told who holds it: {answer.trouble}.", "See `lsof` on the file.")
        ]
    return [sqlite.lock(json.loads(answer.text), 2.0, processes.describe)]


def queue_tables(settings: Settings) -> list[Finding]:
    """What the tables say, on SQLite and PostgreSQL alike."""
    try:
        with queue.reading(settings.database_url) as connection:
            if connection is None:
                return [ok("queue", "There is none yet.")]
            return _of_tables(connection, settings)
    except (*UNREADABLE_URL, NoSuchModuleError, ModuleNotFoundError) as error:
        return [
            problem(
                "database",
                f"NOISEDASH_DB is no database URL that can be opened ({_line(error)}).",
                "Write it as postgresql+psycopg://user:password@host/name, and install `noisedash[postgres]`.",
            )
        ]
    except (SQLAlchemyError, sqlite3.Error) as error:
        found, _, remedy = in_plain_words(error, where_is(make_url(settings.database_url))).partition("; ")
        mend = f"{remedy[:1].upper()}{remedy[1:]}" or "See that NOISEDASH_DB is right and its database whole."
        return [problem("queue", f"{found.rstrip('.')}.", mend)]


def _of_tables(connection: Connection, settings: Settings) -> list[Finding]:
    on_server = connection.dialect.name == "postgresql"
    found = revision_of(connection)
    schema = queue.schema(found, on_server)
    if found != REVISION:
        return [schema]
    now = postgres.now(connection) if on_server else time.time()
    seen, running = queue.seen_workers(connection, now), queue.running_jobs(connection, now)
    known = set(connection.scalars(select(runs.c.id)))
    folders = leftovers.unknown_runs(settings.runs, known)
    return [
        schema,
        *(postgres.server(connection, time.time()) if on_server else []),
        queue.leases(running, seen),
        *queue.vanished(seen, socket.gethostname(), processes.state_of),
        queue.waiting(queue.count_waiting(connection), seen),
        *_needs(connection, settings),
        leftovers.run_folders(folders, leftovers.size_of(folders)),
    ]


def _needs(connection: Connection, settings: Settings) -> list[Finding]:
    wanted, weights = queue.needs_of_waiting(connection)
    at_hand = data.hashes_at_hand(DatasetRegistry(settings))
    weights_at_hand = {record.sha256 for record in WeightsRegistry(settings).list()}
    gone = {name for content_hash, name in wanted.items() if content_hash not in at_hand}
    return queue.missing_for_runs(gone, weights - weights_at_hand)


def _line(error: Exception) -> str:
    original = getattr(error, "orig", None) or error
    return " ".join(str(original).split())[:200]
