"""What the doctor finds in the queue: databases, locks, jobs, workers, trainers and ports, with real ones."""

import contextlib
import os
import signal
import socket
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from doctor_tools import OK, PROBLEM, WARNING, WITHIN_S, findings_of_tables, only, running, stored
from jobs_tools import Clock, study, wait_until
from postgres_server import PostgresServer

from noisedash.jobs.doctor import (
    lock_probe,
    postgres,
    processes,
    queue,
    sqlite,
)
from noisedash.jobs.doctor.findings import Finding, Verdict
from noisedash.jobs.doctor.machine import queue_tables, sqlite_lock
from noisedash.jobs.schema import REVISION, REVISIONS
from noisedash.jobs.store import Store
from noisedash.jobs.worker import only_worker
from noisedash.settings import Settings, current_settings


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_a_whole_database_is_left_as_it_is(own_home: Path) -> None:
    settings = current_settings()
    store = stored(settings)
    store.submit_study(study(1, 2))
    for closed in (False, True):
        if closed:
            store.close()
        before = tree(own_home)
        assert only(sqlite.check_file(own_home / "noisedash.db")).verdict is OK
        assert findings_of_tables(settings)["schema"].verdict is OK
        assert {name: told for name, told in tree(own_home).items() if not name.endswith("-shm")} == {
            name: told for name, told in before.items() if not name.endswith("-shm")
        }
        assert set(tree(own_home)) == set(before)


def test_a_database_that_is_not_there_is_not_made(own_home: Path) -> None:
    assert only(sqlite.check_file(own_home / "noisedash.db")).verdict is OK
    assert only(queue_tables(current_settings())).verdict is OK
    assert not own_home.exists()


def test_a_broken_database_is_told(own_home: Path) -> None:
    store = stored(current_settings())
    store.submit_study(study(*range(200)))
    store.close()
    path = own_home / "noisedash.db"
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + os.urandom(len(whole) - 8192) + whole[-4096:])
    found = only(sqlite.check_file(path))
    assert (found.verdict, "damaged" in found.found) == (PROBLEM, True)
    path.write_bytes(whole[: len(whole) // 2 + 100])
    assert only(sqlite.check_file(path)).verdict is PROBLEM
    path.write_bytes(b"no database at all" * 100)
    assert "no SQLite database" in only(sqlite.check_file(path)).found
    assert queue_tables(current_settings())[0].verdict is PROBLEM


def test_damage_that_sqlite_reads_over_is_told(own_home: Path) -> None:
    store = stored(current_settings())
    store.submit_study(study(*range(50)))
    store.close()
    path = own_home / "noisedash.db"
    content = bytearray(path.read_bytes())
    content[2 * 4096 + 1 : 2 * 4096 + 3] = b"\x0f\xf0"  # the third page says that it has a free block there
    path.write_bytes(content)
    found = only(sqlite.check_file(path))
    assert (found.verdict, "damaged" in found.found) == (PROBLEM, True), found


def test_a_check_of_pages_that_takes_too_long_is_given_up(own_home: Path) -> None:
    store = stored(current_settings())
    store.submit_study(study(*range(300)))
    store.close()
    times = iter([0.0])
    found = only(sqlite.check_file(own_home / "noisedash.db", lambda: next(times, 1e9)))
    assert (found.verdict, "too large" in found.found) == (OK, True)


def test_a_log_that_has_grown(tmp_path: Path) -> None:
    (tmp_path / "a.db-wal").write_bytes(bytes(3000))
    assert sqlite.log_size(tmp_path / "a.db", large=2000).verdict is WARNING
    assert sqlite.log_size(tmp_path / "a.db", large=4000).verdict is OK
    assert sqlite.log_size(tmp_path / "b.db").verdict is OK


HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
print("released", flush=True)
sys.stdin.readline()
"""


def test_who_holds_the_lock_is_told(own_home: Path) -> None:
    store = stored(current_settings())
    path = own_home / "noisedash.db"
    with running(HOLD, path) as process:
        found = only(sqlite_lock(path))
        assert (found.verdict, f"process {process.pid}" in found.found) == (PROBLEM, True)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline().strip() == "released"
        assert only(sqlite_lock(path)).verdict is OK
    store.close()
    assert lock_probe.holder(own_home / "absent", 120, 1) is None


def test_many_short_locks_are_no_long_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    holders = iter(range(1000))
    monkeypatch.setattr(lock_probe, "PAUSE_S", 0.0)
    monkeypatch.setattr(lock_probe, "holder", lambda *_where: next(holders))
    assert lock_probe.steady_holders(tmp_path / "a.db") == []
    monkeypatch.setattr(lock_probe, "holder", lambda *_where: 7)
    assert lock_probe.steady_holders(tmp_path / "a.db") == [7]


# The queue's tables


@pytest.mark.parametrize(
    ("found", "on_server", "verdict"),
    [
        (None, True, OK),
        (REVISION, True, OK),
        (REVISIONS[0], False, OK),
        (REVISIONS[0], True, PROBLEM),
        ("9999", False, PROBLEM),
    ],
)
def test_revisions_of_the_schema(found: str | None, on_server: bool, verdict: Verdict) -> None:
    assert queue.schema(found, on_server).verdict is verdict


def test_a_database_of_another_version_is_told_and_not_migrated(own_home: Path) -> None:
    stored(current_settings()).close()
    with contextlib.closing(sqlite3.connect(own_home / "noisedash.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    before = (own_home / "noisedash.db").read_bytes()
    found = findings_of_tables(current_settings())
    assert (found["schema"].verdict, "later" in found["schema"].found) == (PROBLEM, True)
    assert (own_home / "noisedash.db").read_bytes() == before


def test_jobs_whose_workers_are_gone(own_home: Path) -> None:
    clock, settings = Clock(), current_settings()
    clock.now = time.time() - 1000
    store = stored(settings, clock)
    store.submit_study(study(1, 2))
    assert store.claim("elsewhere:1") is not None
    store.see_worker("elsewhere:1", "elsewhere", 1, 1)
    found = findings_of_tables(settings)
    assert found["running jobs"].verdict is WARNING
    assert (found["workers"].verdict, "elsewhere is up" in found["workers"].remedy) == (WARNING, True)
    assert (found["queue"].verdict, "no worker runs" in found["queue"].found) == (WARNING, True)
    clock.now = time.time()
    store.see_worker("here:2", socket.gethostname(), os.getpid(), 1)
    found = findings_of_tables(settings)
    assert found["running jobs"].verdict is PROBLEM
    assert found["queue"].verdict is OK
    store.close()


@pytest.mark.parametrize(
    ("silent_s", "host", "state", "verdict"),
    [
        (1.0, "here", "running", OK),
        (100.0, "here", None, WARNING),
        (100.0, "here", "stopped", PROBLEM),
        (100.0, "here", "sleeping", PROBLEM),
        (100.0, "there", None, WARNING),
    ],
)
def test_workers_without_a_sign_of_life(silent_s: float, host: str, state: str | None, verdict: Verdict) -> None:
    seen = [queue.SeenWorker(f"{host}:7", host, 7, 2, silent_s)]
    assert only(queue.vanished(seen, "here", lambda _pid: state)).verdict is verdict


def test_a_worker_that_another_one_has_replaced_is_no_matter() -> None:
    seen = [queue.SeenWorker("here:7", "here", 7, 2, 100.0), queue.SeenWorker("here:8", "here", 8, 2, 1.0)]
    assert only(queue.vanished(seen, "here", lambda _pid: None)).verdict is OK
    assert only(queue.vanished(seen, "here", lambda _pid: "stopped")).verdict is PROBLEM


def test_runs_whose_dataset_is_not_here(own_home: Path) -> None:
    store = stored(current_settings())
    store.submit_study(study(1))
    found = findings_of_tables(current_settings())["waiting runs"]
    assert (found.verdict, "dataset" in found.found) == (PROBLEM, True)
    store.close()
    assert "012345678901" in only(queue.missing_for_runs([], ["0123456789012345"])).found


@pytest.mark.parametrize(
    ("finding", "verdict"),
    [
        (postgres.server_version(12), PROBLEM),
        (postgres.server_version(16), OK),
        (postgres.clocks(-90.0), WARNING),
        (postgres.clocks(0.5), OK),
        (postgres.connections(97, 30, 240), WARNING),
        (postgres.connections(97, 2, 8), OK),
        (postgres.idle_transactions({7: 400.0}), WARNING),
        (postgres.idle_transactions({}), OK),
    ],
)
def test_a_server(finding: Finding, verdict: Verdict) -> None:
    assert finding.verdict is verdict


def test_postgresql_up_and_down(own_home: Path) -> None:
    with PostgresServer() as server:
        settings = Settings(own_home, server.new_database())
        assert findings_of_tables(settings)["schema"].verdict is OK
        store = Store(settings.database_url)
        found = findings_of_tables(settings)
        assert {found[name].verdict for name in ("database", "schema", "clock", "connections", "database lock")} == {OK}
        store.close()
        wrong = Settings(own_home, server.url(password="swordfish"))
        refused = only(queue_tables(wrong))
        assert (refused.verdict, "refuses this user" in refused.found) == (PROBLEM, True)
        assert "swordfish" not in refused.found
        server.pause()
        gone = only(queue_tables(settings))
        assert (gone.verdict, "does not answer" in gone.found) == (PROBLEM, True)
        server.resume()
    assert not own_home.exists()


def test_a_database_url_that_makes_no_sense(own_home: Path) -> None:
    for url in ("no url", "sybase://me@host/x", "postgresql+psycopg://me:pass@host:port/x"):
        assert "no database URL" in only(queue_tables(Settings(own_home, url))).found


# Processes


def test_a_worker_that_holds_its_lock(own_home: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom noisedash.jobs.worker import only_worker\n"
        "with only_worker(Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.readline()\n"
    )
    with running(code, own_home) as process:
        held = processes.lock_holders(own_home)
        assert [pid for _name, pid in held] == [process.pid]
        assert processes.worker_lock(held).verdict is OK
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: processes.state_of(process.pid) == "stopped", WITHIN_S)
        assert processes.worker_lock(held).verdict is PROBLEM
    assert processes.lock_holders(own_home) == []
    assert "no lock is held" in processes.worker_lock([]).found
    with only_worker(own_home):
        assert processes.lock_holders(own_home)[0][1] == os.getpid()


ORPHAN = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", "noisedash.jobs.trainer", "7", "1"])
print(child.pid, flush=True)
"""


def test_a_trainer_whose_supervisor_is_gone(own_home: Path) -> None:
    before = os.environ.copy()
    with running(ORPHAN, NOISEDASH_HOME=str(own_home), NOISEDASH_SUPERVISOR_PID="1234567") as parent:
        child = psutil.Process(int(parent.first_line))
        parent.wait(WITHIN_S)
        try:
            wait_until(lambda: any(found.pid == child.pid for found in processes.trainers()), WITHIN_S)
            found = only(processes.orphans(processes.trainers(), own_home))
            assert (found.verdict, f"Trainer {child.pid} of job 7" in found.found) == (WARNING, True)
            assert only(processes.orphans(processes.trainers(), own_home / "other")).verdict is OK
        finally:
            child.kill()
    assert dict(os.environ) == before


def test_a_trainer_under_its_supervisor_is_no_orphan(own_home: Path) -> None:
    environment = {"NOISEDASH_HOME": str(own_home), "NOISEDASH_SUPERVISOR_PID": "5"}
    command = ("python", "-m", "noisedash.jobs.trainer", "7", "1", "20")
    trainer = processes.Process(9, 5, command, environment)
    assert only(processes.orphans([trainer], own_home)).verdict is OK
    assert only(processes.orphans([replace(trainer, parent=1)], own_home)).verdict is WARNING


APP = ("python", "-m", "streamlit", "run", "/x/app.py")


@pytest.mark.parametrize(
    ("listeners", "verdict"),
    [
        ([], OK),
        ([processes.Listener("127.0.0.1", 8501, 5, APP)], OK),
        ([processes.Listener("0.0.0.0", 8501, 5, APP)], WARNING),
        ([processes.Listener("::", 9000, 5, APP)], WARNING),
        ([processes.Listener("127.0.0.1", 8501, 5, ("nginx",))], WARNING),
        ([processes.Listener("127.0.0.1", 8501)], WARNING),
    ],
)
def test_the_port_of_the_web_app(listeners: list[processes.Listener], verdict: Verdict) -> None:
    assert only(processes.web(listeners, 8501)).verdict is verdict


def test_a_real_listener_is_found() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert [listener.pid for listener in processes.listeners(port) if listener.port == port] == [os.getpid()]
