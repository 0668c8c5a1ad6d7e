"""The queue's tables, read from any database: schema, leases, workers, and what waiting runs need."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, func, make_url, select
from sqlalchemy.engine import URL

from noisedash.jobs.doctor.findings import Finding, ok, problem, warning
from noisedash.jobs.doctor.sqlite import open_read_only
from noisedash.jobs.protocol import HEARTBEAT_S
from noisedash.jobs.schema import REVISION, REVISIONS, jobs, runs, workers
from noisedash.records import JobState
from noisedash.spec import FromWeights, RunSpec

CONNECT_S = 8
_VANISHED_S = 5 * HEARTBEAT_S
_OVERDUE_S = 3 * HEARTBEAT_S


@contextmanager
def reading(url: str) -> Iterator[Connection | None]:
    """A connection that can write nothing; None where SQLite's file is not there yet. Raises SQLAlchemyError."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        engine = create_engine(url, connect_args={"connect_timeout": CONNECT_S})
        with _disposed(engine), engine.connect().execution_options(postgresql_readonly=True) as connection:
            yield connection
        return
    path = sqlite_path(parsed)
    if path is None or not path.is_file():
        yield None
        return
    with open_read_only(path) as raw:
        engine = create_engine("sqlite://", creator=lambda: raw)
        with _disposed(engine), engine.connect() as connection:
            yield connection


@contextmanager
def _disposed(engine: Engine) -> Iterator[None]:
    try:
        yield
    finally:
        engine.dispose()


def sqlite_path(url: URL) -> Path | None:
    """The file of a SQLite URL; None for another database or one in memory."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return None
    return Path(url.database).resolve()


@dataclass(frozen=True)
class RunningJob:
    """A job that runs by the database, and for how long its lease has run out (negative: it holds)."""

    job_id: int
    worker: str
    overdue_s: float


@dataclass(frozen=True)
class SeenWorker:
    """A worker by the database."""

    name: str
    host: str
    pid: int
    slots: int
    silent_s: float


def running_jobs(connection: Connection, now: float) -> list[RunningJob]:
    """The jobs that run."""
    found = connection.execute(
        select(jobs.c.id, jobs.c.worker, jobs.c.lease_until).where(jobs.c.state == JobState.RUNNING)
    )
    return [RunningJob(row.id, row.worker, now - (row.lease_until or now)) for row in found]


def seen_workers(connection: Connection, now: float) -> list[SeenWorker]:
    """Every worker that has not said goodbye."""
    columns = (workers.c.name, workers.c.host, workers.c.pid, workers.c.slots, workers.c.seen_at)
    found = connection.execute(select(*columns).where(workers.c.kind == "worker"))
    return [SeenWorker(row.name, row.host, row.pid, row.slots, now - row.seen_at) for row in found]


def schema(found: str | None, on_server: bool) -> Finding:
    """The revision of the tables (None: there are none yet) against this NoiseDash's."""
    if found is None:
        return ok("schema", "There are no tables yet; the first command makes them.")
    if found == REVISION:
        return ok("schema", f"The tables are those of this NoiseDash (revision {REVISION}).")
    if found not in REVISIONS:
        return problem(
            "schema",
            f"The database was made by a later NoiseDash (revision {found}, this one works with {REVISION}).",
            "Update NoiseDash, or name another NOISEDASH_HOME or NOISEDASH_DB.",
        )
    told = f"The database is of an earlier NoiseDash (revision {found}, this one works with {REVISION})"
    if on_server:
        return problem("schema", f"{told}.", "Stop its workers, then run `noisedash db upgrade` once.")
    return ok("schema", f"{told}; the next command that uses it keeps a copy and upgrades it.")


def leases(running: Sequence[RunningJob], seen: Sequence[SeenWorker]) -> Finding:
    """Jobs that run by the database although their worker's lease has run out."""
    overdue = [job for job in running if job.overdue_s > _OVERDUE_S]
    if not overdue:
        return ok("running jobs", f"{len(running)} run, each with a worker that looks after it.")
    told = f"{_jobs_told([job.job_id for job in overdue])} by the database, with no worker to look after them"
    told = told.replace("them", "it") if len(overdue) == 1 else told
    if any(worker.silent_s < _VANISHED_S for worker in seen):
        return problem(
            "running jobs",
            f"{told}, and the workers that are there do not take them back.",
            "Restart the workers; see their output for what keeps them from writing the database.",
        )
    return warning(
        "running jobs", f"{told}.", "Start a worker (`noisedash worker`), which goes on from the last checkpoint."
    )


def vanished(seen: Sequence[SeenWorker], host: str, state_of: Callable[[int], str | None]) -> list[Finding]:
    """Workers that gave no sign of life lately, on machines where no other does, and those that are stopped.

    `state_of` gives a local process's state, None where it is gone.
    """
    findings = []
    replaced = {worker.host for worker in seen if worker.silent_s <= _VANISHED_S}
    for worker in seen:
        if worker.silent_s <= _VANISHED_S or (worker.host in replaced and state_of(worker.pid) != "stopped"):
            continue
        told = f"Worker {worker.name} gave no sign of life for {ago(worker.silent_s)}"
        state = state_of(worker.pid) if worker.host == host else None
        if state == "stopped":
            findings.append(
                problem("workers", f"{told}: its process is stopped.", f"Let it go on with `kill -CONT {worker.pid}`.")
            )
        elif worker.host == host and state is None:
            findings.append(
                warning("workers", f"{told}: its process is gone.", "Start a worker again: `noisedash worker`.")
            )
        elif worker.host != host:
            findings.append(
                warning("workers", f"{told}.", f"See whether {worker.host} is up, and start it there again.")
            )
        else:
            findings.append(
                problem("workers", f"{told}, though process {worker.pid} is there.", "See its output, and restart it.")
            )
    return findings or [ok("workers", f"{len(seen)} known, all giving signs of life." if seen else "None is running.")]


def count_waiting(connection: Connection) -> int:
    """How many jobs wait for a worker."""
    return connection.scalar(select(func.count()).where(jobs.c.state == JobState.QUEUED)) or 0


def waiting(count: int, seen: Sequence[SeenWorker]) -> Finding:
    """Jobs that wait, and whether anyone will come for them."""
    if count and all(worker.silent_s > _VANISHED_S for worker in seen):
        return warning(
            "queue", f"{count} jobs wait, and no worker runs.", "Start one: `noisedash worker`, or `noisedash up`."
        )
    return ok("queue", f"{count} jobs wait.")


def needs_of_waiting(connection: Connection) -> tuple[dict[str, str], set[str]]:
    """What unfinished runs need: content hash to name of datasets, and SHA-256 of weights."""
    unfinished = (JobState.QUEUED, JobState.RUNNING, JobState.PAUSED)
    query = select(runs.c.spec, runs.c.dataset_name).join(jobs, jobs.c.run_id == runs.c.id)
    hashes: dict[str, str] = {}
    weights: set[str] = set()
    for row in connection.execute(query.where(jobs.c.state.in_(unfinished))):
        spec = RunSpec.model_validate_json(row.spec)
        hashes[spec.data.content_hash] = row.dataset_name
        if isinstance(spec.initial, FromWeights):
            weights.add(spec.initial.sha256)
    return hashes, weights


def missing_for_runs(datasets_gone: Collection[str], weights_gone: Collection[str]) -> list[Finding]:
    """Names of datasets and SHA-256 of weights that unfinished runs need and that are not at hand."""
    findings = []
    if datasets_gone:
        findings.append(
            problem(
                "waiting runs",
                f"Unfinished runs need datasets that are not here as they were: {', '.join(sorted(datasets_gone))}.",
                "Add them again from the same files (`noisedash data add`), or cancel those runs.",
            )
        )
    if weights_gone:
        told = ", ".join(name[:12] for name in sorted(weights_gone))
        findings.append(
            problem(
                "waiting runs",
                f"No file has the weights that unfinished runs start from: {told}.",
                "Import the same weights again (`noisedash weights import`), or cancel those runs.",
            )
        )
    return findings or [ok("waiting runs", "All that unfinished runs need is here.")]


def _jobs_told(ids: Sequence[int]) -> str:
    shown = ", ".join(map(str, ids[:5])) + (" and more" if len(ids) > 5 else "")
    return f"{len(ids)} jobs run ({shown})" if len(ids) > 1 else f"Job {shown} runs"


def ago(seconds: float) -> str:
    """A time span in its largest unit.

    >>> ago(7), ago(200), ago(90_000)
    ('7 s', '3 min', '1 d')
    """
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
