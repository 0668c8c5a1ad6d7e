"""The doctor's verdicts without a broken machine, and some with one: real files, locks, processes and servers."""

import contextlib
import errno
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from dataset_files import make_voc, voc_object
from jobs_tools import Clock, study
from packaging.requirements import Requirement
from postgres_server import PostgresServer
from streamlit.testing.v1 import AppTest

from noisedash.datasets.imagecache import Square, open_images
from noisedash.datasets.registry import DatasetRegistry
from noisedash.errors import StoreError
from noisedash.jobs.doctor import (
    data,
    devices,
    disk,
    leftovers,
    lock_probe,
    packages,
    postgres,
    processes,
    queue,
    ray,
    sqlite,
)
from noisedash.jobs.doctor.checks import Check, run_checks
from noisedash.jobs.doctor.examination import examine, from_line, to_line
from noisedash.jobs.doctor.findings import Finding, Verdict, ok, problem, secrets_of, warning, without_secrets
from noisedash.jobs.doctor.machine import memory_limit, queue_tables, sqlite_lock
from noisedash.jobs.doctor.probes import Answer, Driver, Torch, ask, driver_of, torch_of
from noisedash.jobs.schema import REVISION, REVISIONS
from noisedash.jobs.store import Store
from noisedash.jobs.worker import only_worker
from noisedash.settings import Settings, current_settings
from noisedash.ui import machine
from noisedash.ui.machine import Examinations
from noisedash.weights import WeightsRegistry

GIB = 1 << 30
WITHIN_S = 60.0
OK, WARNING, PROBLEM = Verdict.OK, Verdict.WARNING, Verdict.PROBLEM


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


def wait_until(holds, within_s: float = WITHIN_S) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextlib.contextmanager
def running(code: str, *arguments: object, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """A Python program that has printed its first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.first_line = process.stdout.readline().strip()  # type: ignore[attr-defined]
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def stored(settings: Settings, clock: Clock | None = None) -> Store:
    settings.home.mkdir(parents=True, exist_ok=True)
    return Store(settings.database_url, clock=clock)


def findings_of_tables(settings: Settings) -> dict[str, Finding]:
    return {finding.name: finding for finding in queue_tables(settings)}


# Running checks


def test_a_check_that_fails_or_hangs_stops_no_other() -> None:
    release = threading.Event()

    def hang() -> list[Finding]:
        release.wait(WITHIN_S)
        return []

    def fail() -> list[Finding]:
        raise PermissionError(errno.EACCES, "Permission denied", "/secret")

    def refuse() -> list[Finding]:
        raise StoreError("The database is locked.")

    checks = [Check("hangs", hang, 0.2), Check("fails", fail), Check("refuses", refuse)]
    found = list(run_checks([*checks, Check("last", lambda: [ok("last", "Well.")])]))
    release.set()
    assert [(finding.name, finding.verdict) for finding in found] == [
        ("hangs", PROBLEM),
        ("fails", WARNING),
        ("refuses", PROBLEM),
        ("last", OK),
    ]
    assert "no answer" in found[0].found
    assert "/secret" in found[1].found
    assert found[2].found == "The database is locked."


def test_findings_travel_as_lines() -> None:
    finding = warning("disk", "Füll\nit", "Empty it.")
    assert "\n" not in to_line(finding)
    assert from_line(to_line(finding)) == finding


def test_passwords_and_tokens_are_struck_out() -> None:
    url = "postgresql+psycopg://me:s3cr%40et@db.example/noisedash"
    secrets = secrets_of({"RAY_AUTH_TOKEN": "token-of-ray", "HOME": "/home/me"}, url)
    told = f"{url} failed: 's3cr@et' was refused, so was token-of-ray"
    struck = without_secrets(problem("database", told, told), secrets)
    for text in (struck.found, struck.remedy):
        assert "s3cr" not in text
        assert "token-of-ray" not in text
        assert "db.example" in text


def test_a_url_that_cannot_be_read_hides_its_password_too() -> None:
    finding = problem("database", "Could not parse nonsense://me:hunter22@host:port/x", "")
    assert "hunter22" not in without_secrets(finding, secrets_of({}, "nonsense://me:hunter22@host:port/x")).found


def test_an_examination_that_hangs_is_ended(own_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    slow.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 600\n")
    slow.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(slow))
    found = only(list(examine(current_settings(), within_s=1.0)))
    assert found.verdict is PROBLEM
    wait_until(lambda: processes.state_of(int((tmp_path / "pid").read_text())) is None)


def test_an_examination_that_breaks_says_why(own_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'ImportError: no numpy' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    assert "no numpy" in only(list(examine(current_settings()))).found


# Python and packages


@pytest.mark.parametrize(
    ("installed", "verdicts", "sentence"),
    [
        ({"torch": "2.14.1", "torchvision": "0.29.1", "opencv-python-headless": "5.0"}, [OK], "All 3"),
        ({"torch": "2.9.0", "torchvision": "0.29.1", "opencv-python-headless": "5.0"}, [PROBLEM, PROBLEM], ">=2.11"),
        ({"torch": "2.14.1", "opencv-python-headless": "5.0"}, [PROBLEM], "torchvision>=0.26, which is not"),
        ({"torch": "2.15.0", "torchvision": "0.29.1", "opencv-python-headless": "5.0"}, [PROBLEM], "torchvision requ"),
        ({"torch": "2.14.1", "torchvision": "0.29.1", "opencv-python": "5.0"}, [OK], "All 3"),
        (
            {"torch": "2.14.1", "torchvision": "0.29.1", "opencv-python": "5.0", "opencv-python-headless": "5.0"},
            [WARNING],
            "side by side",
        ),
        (
            {"torch": "2.14.1", "torchvision": "0.29.1", "opencv-python-headless": "5.0", "ray": "2.59.0"},
            [PROBLEM],
            "2.59.0 is installed",
        ),
    ],
)
def test_packages_are_held_against_requirements(installed, verdicts: list[Verdict], sentence: str) -> None:
    lines = ["torch>=2.11", "torchvision>=0.26", "opencv-python-headless>=5", 'ray>=2.60,<2.61; extra == "ray"']
    theirs = {"torchvision": [Requirement("torch==2.14.1"), Requirement('scipy; extra == "x"')]}
    found = packages.packages([Requirement(line) for line in lines], installed.get, theirs)
    assert [finding.verdict for finding in found] == verdicts
    assert sentence in found[0].found


def test_local_versions_of_torch_fit() -> None:
    assert only(packages.packages([Requirement("torch==2.14.1")], {"torch": "2.14.1+cu130"}.get, {})).verdict is OK


def test_this_distribution_has_requirements_and_unknown_ones_none() -> None:
    assert "torch" in {requirement.name for requirement in packages.requirements_of("noisedash")}
    assert packages.requirements_of("no-such-distribution-here") == []
    assert packages.installed_version("no-such-distribution-here") is None


# Devices

H100 = Driver(("NVIDIA H100", "NVIDIA H100"), "13.0")
GOOD = Torch("2.14.1", "13.0", ("NVIDIA H100", "NVIDIA H100"))


@pytest.mark.parametrize(
    ("driver", "torch", "environment", "verdict", "sentence"),
    [
        (H100, GOOD, {}, OK, "2 by the driver"),
        (Driver(trouble="missing"), replace(GOOD, gpus=()), {}, OK, "use the cores"),
        (Driver(trouble="no answer within 8 s"), GOOD, {}, PROBLEM, "no answer"),
        (H100, replace(GOOD, cuda=None, gpus=()), {}, PROBLEM, "without CUDA"),
        (replace(H100, cuda="12.2"), replace(GOOD, gpus=()), {}, PROBLEM, "CUDA 12.2 at most"),
        (replace(H100, cuda="13.1"), GOOD, {}, OK, "2 for torch"),
        (H100, replace(GOOD, gpus=(), said="CUDA init failed"), {}, PROBLEM, "CUDA init failed"),
        (H100, replace(GOOD, gpus=("NVIDIA H100",)), {}, WARNING, "torch sees 1"),
        (H100, replace(GOOD, gpus=("NVIDIA H100",)), {"CUDA_VISIBLE_DEVICES": "0"}, OK, "1 for torch"),
        (H100, Torch(trouble="ImportError"), {}, WARNING, "not known"),
    ],
)
def test_gpus_of_driver_and_torch(driver, torch, environment, verdict: Verdict, sentence: str) -> None:
    found = devices.gpus(driver, torch, environment)
    assert (found.verdict, sentence in found.found) == (verdict, True), found


@pytest.mark.parametrize(
    ("torch", "verdict"),
    [
        (GOOD, OK),
        (Torch(trouble="ModuleNotFoundError: No module named 'torch'"), PROBLEM),
        (replace(GOOD, operators="operator torchvision::nms does not exist"), PROBLEM),
    ],
)
def test_torch_and_its_operators(torch: Torch, verdict: Verdict) -> None:
    assert devices.torch_works(torch).verdict is verdict


@pytest.mark.parametrize(
    ("environment", "count", "verdict"),
    [
        ({}, 2, OK),
        ({"CUDA_VISIBLE_DEVICES": "0,1"}, 2, OK),
        ({"CUDA_VISIBLE_DEVICES": "GPU-8a1b"}, 2, OK),
        ({"NOISEDASH_GPUS": "0", "CUDA_VISIBLE_DEVICES": "1"}, 2, OK),
        ({"CUDA_VISIBLE_DEVICES": ""}, 0, OK),
        ({"CUDA_VISIBLE_DEVICES": ""}, 2, WARNING),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, 2, WARNING),
        ({"CUDA_VISIBLE_DEVICES": "2"}, 2, WARNING),
        ({"NOISEDASH_GPUS": "0,0"}, 2, WARNING),
        ({"NOISEDASH_GPUS": "cuda:0"}, 2, WARNING),
    ],
)
def test_variables_of_gpus(environment, count: int, verdict: Verdict) -> None:
    assert devices.gpu_variables(environment, count).verdict is verdict


def test_what_the_driver_prints_is_understood() -> None:
    listing = "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-5f)\nGPU 1: NVIDIA H200 (UUID: GPU-6a)\n"
    summary = "| NVIDIA-SMI 570.8    Driver Version: 570.8    CUDA Version: 12.8     |\n"
    assert driver_of(Answer(listing, ""), Answer(summary, "")) == Driver(
        ("NVIDIA H100 80GB HBM3", "NVIDIA H200"), "12.8"
    )
    assert driver_of(Answer("", "missing"), Answer("", "")).trouble == "missing"
    assert torch_of(Answer("", "no answer")).trouble == "no answer"


def test_programs_are_asked_with_a_limit() -> None:
    assert ask(["no-such-program-here"], 5).trouble == "missing"
    assert ask([sys.executable, "-c", "import time; time.sleep(600)"], 0.3).trouble.startswith("no answer")
    assert ask([sys.executable, "-c", "import sys; sys.exit('it broke')"], WITHIN_S).trouble == "it broke"
    assert ask([sys.executable, "-c", "print(7)"], WITHIN_S) == Answer("7\n", "")


@pytest.mark.parametrize(
    ("available", "limit", "slots", "verdict"),
    [
        (16 * GIB, None, 4, OK),
        (2 * GIB, None, 4, WARNING),
        (64 * GIB, 2 * GIB, 8, WARNING),
        (GIB // 4, None, 1, PROBLEM),
        (2 * GIB, None, 0, OK),
    ],
)
def test_memory(available: int, limit: int | None, slots: int, verdict: Verdict) -> None:
    assert devices.memory(available, limit, slots).verdict is verdict


def test_the_limit_of_a_container_is_read(tmp_path: Path) -> None:
    for text, limit in (("max\n", None), (f"{2 * GIB}\n", 2 * GIB), ("9223372036854771712", None)):
        (tmp_path / "memory.max").write_text(text)
        assert memory_limit([tmp_path / "absent", tmp_path / "memory.max"]) == limit
    assert memory_limit([tmp_path / "absent"]) is None


def test_shared_memory_and_threads() -> None:
    assert devices.shared_memory(64 << 20, ray=True).verdict is WARNING
    assert devices.shared_memory(64 << 20, ray=False).verdict is OK
    assert devices.threads({"OMP_NUM_THREADS": "64"}, 4).verdict is WARNING
    assert devices.threads({"MKL_NUM_THREADS": "all"}, 4).verdict is WARNING
    assert devices.threads({"OMP_NUM_THREADS": "4"}, 4).verdict is OK


# Disks


@pytest.mark.parametrize(
    ("usage", "verdict"),
    [
        (disk.Usage(50 * GIB, 10**6, 10**7), OK),
        (disk.Usage(50 * GIB, 0, 0), OK),
        (disk.Usage(2 * GIB, 10**6, 10**7), WARNING),
        (disk.Usage(50 * GIB, 5_000, 10**7), WARNING),
        (disk.Usage(100 << 20, 10**6, 10**7), PROBLEM),
        (disk.Usage(50 * GIB, 12, 10**7), PROBLEM),
    ],
)
def test_space(usage: disk.Usage, verdict: Verdict) -> None:
    assert disk.space("home", Path("/data"), usage).verdict is verdict


@pytest.mark.parametrize(
    ("file_system", "with_sqlite", "verdict"),
    [("ext4", True, OK), ("", True, OK), ("nfs4", True, PROBLEM), ("nfs4", False, OK), ("tmpfs", True, WARNING)],
)
def test_kinds_of_file_systems(file_system: str, with_sqlite: bool, verdict: Verdict) -> None:
    assert disk.kind("home", Path("/data"), file_system, with_sqlite).verdict is verdict


@pytest.mark.parametrize(
    ("number", "sentence"),
    [(errno.ENOSPC, "full"), (errno.EROFS, "read-only"), (errno.EACCES, "may not write"), (errno.EIO, "fails")],
)
def test_refusals_of_a_disk(tmp_path: Path, number: int, sentence: str) -> None:
    def refuse(_folder: Path) -> list[float]:
        raise OSError(number, os.strerror(number))

    found = disk.writing("home", tmp_path, refuse)
    assert (found.verdict, sentence in found.found) == (PROBLEM, True)


def test_a_slow_disk_and_a_quick_one(tmp_path: Path) -> None:
    assert disk.writing("home", tmp_path, lambda _folder: [0.01, 0.5, 0.6]).verdict is WARNING
    assert disk.writing("home", tmp_path, lambda _folder: [0.01, 0.02, 9.0]).verdict is OK
    assert len(disk.sync_times(tmp_path)) > 1
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    assert disk.writing("home", tmp_path / "a" / "b").verdict is OK
    assert disk.usage_of(tmp_path / "a" / "b").free_bytes > 0
    assert list(tmp_path.iterdir()) == []


FILL_A_DISK = """
import sys
from pathlib import Path
from noisedash.jobs.doctor import disk
from noisedash.jobs.doctor.examination import to_line
folder = Path(sys.argv[1])
with (folder / "much").open("wb", buffering=0) as file:
    try:
        while file.write(bytes(65536)):
            pass
    except OSError:
        pass
print(to_line(disk.writing("home", folder)))
print(to_line(disk.space("home", folder, disk.usage_of(folder))))
"""


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    mount = 'mount -t tmpfs -o size=256k none "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh", tmp_path, sys.executable, FILL_A_DISK]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:  # no private mounts for this user: then /dev/full plays the disk
        assert "full" in disk.writing("home", tmp_path, lambda _folder: [Path("/dev/full").write_bytes(b"x")]).found
        return
    writing, space = (from_line(line) for line in done.stdout.splitlines())
    assert (writing.verdict, "full" in writing.found) == (PROBLEM, True)
    assert space.verdict is PROBLEM


# SQLite's file


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
        wait_until(lambda: processes.state_of(process.pid) == "stopped")
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
            wait_until(lambda: any(found.pid == child.pid for found in processes.trainers()))
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


# Leftovers


def test_half_written_files_are_found_told_and_removed(own_home: Path) -> None:
    settings = current_settings()
    checkpoints = settings.runs / "0123456789abcdef" / "attempt-1" / "checkpoints"
    aside = settings.images / ".aside-square96-x-01234567"
    for folder in (checkpoints, aside, settings.weights):
        folder.mkdir(parents=True)
    left = [checkpoints / ".step-5.safetensors.aside-1234abcd", aside / "data.bin", settings.weights / ".adding-x"]
    kept = [checkpoints / "step-5.safetensors", settings.weights / "a.safetensors"]
    for path in (*left, *kept):
        path.write_bytes(bytes(1000))
    now = time.time()
    assert leftovers.half_written(settings, now) == []
    found = leftovers.half_written(settings, now + 2 * leftovers.OLD_S)
    assert set(found) == {left[0], aside, left[2]}
    told = leftovers.leftovers(found, leftovers.size_of(found))
    assert (told.verdict, "3 half-written files" in told.found, "--fix" in told.remedy) == (WARNING, True, True)
    assert set(leftovers.remove(found)) == set(found)
    assert all(path.exists() for path in kept)
    assert not any(path.exists() for path in left)
    assert leftovers.leftovers([], 0).verdict is OK


def test_run_folders_that_the_store_does_not_know(own_home: Path) -> None:
    store = stored(current_settings())
    store.submit_study(study(1))
    known = store.studies()[0].run_ids[0]
    for name in (known, "0123456789abcdef", "notes"):
        (current_settings().runs / name).mkdir(parents=True)
    found = findings_of_tables(current_settings())["run folders"]
    assert (found.verdict, "1 run folder" in found.found, "0123456789abcdef" in found.found) == (WARNING, True, True)
    store.close()


# Datasets and weights


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    objects = [voc_object("cell", (5, 5, 20, 20))]
    folder = make_voc(tmp_path / "cells", {f"p{number}": objects for number in range(4)})
    DatasetRegistry(current_settings()).add(folder, "cells")
    return folder


def test_images_that_are_gone_or_changed(cells: Path) -> None:
    registry = DatasetRegistry(current_settings())
    assert only(data.datasets(registry)).verdict is OK
    image = sorted((cells / "JPEGImages").iterdir())[-1]
    image.write_bytes(image.read_bytes() + b"x")
    found = only(data.datasets(registry))
    assert (found.verdict, "have changed" in found.found) == (PROBLEM, True)
    image.unlink()
    assert "1 of 4 images of dataset cells are gone" in only(data.datasets(registry)).found
    cells.rename(cells.with_name("moved"))
    assert only(data.datasets(registry)).verdict is PROBLEM


def test_decoded_images_of_datasets_that_were_removed(cells: Path) -> None:
    settings = current_settings()
    registry = DatasetRegistry(settings)
    open_images(registry.get("cells"), settings.images, Square(16))
    assert data.unused_images(settings.images, registry) == []
    registry.remove("cells")
    unused = data.unused_images(settings.images, registry)
    assert leftovers.decoded_images(unused, leftovers.size_of(unused)).verdict is WARNING
    assert leftovers.size_of(unused) >= 4 * 16 * 16 * 3


def test_weights_that_are_torn(own_home: Path) -> None:
    settings = current_settings()
    registry = WeightsRegistry(settings)
    assert only(data.weights(registry)).verdict is OK
    settings.weights.mkdir(parents=True)
    (settings.weights / "torn.safetensors").write_bytes(registry.list()[0].path.read_bytes()[:-100])
    found = only(data.weights(registry))
    assert (found.verdict, "torn.safetensors" in found.found) == (PROBLEM, True)


# Ray


@pytest.mark.parametrize(
    ("environment", "mode", "verdict"),
    [
        ({}, None, OK),
        ({"RAY_AUTH_MODE": "token"}, 0o600, OK),
        ({"RAY_AUTH_MODE": "token"}, 0o644, PROBLEM),
        ({"RAY_AUTH_MODE": "token"}, None, WARNING),
        ({"RAY_AUTH_MODE": "disabled"}, None, PROBLEM),
        ({"RAY_ADDRESS": "10.0.0.1:6379"}, None, WARNING),
    ],
)
def test_the_token_of_ray(tmp_path: Path, environment, mode: int | None, verdict: Verdict) -> None:
    token = ray.token_file({}, tmp_path)
    if mode is not None:
        token.write_text("a-secret-token")
        token.chmod(mode)
    found = only(ray.ray("2.60.0", environment, token))
    assert found.verdict is verdict
    assert "a-secret-token" not in to_line(found)
    assert only(ray.ray(None, environment, token)).verdict is OK


# The command and the page


def doctor(*arguments: str, home: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "noisedash", "doctor", *arguments],
        env={**os.environ, "NOISEDASH_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_tells_problems_and_ends_with_one(own_home: Path) -> None:
    stored(current_settings()).close()
    (own_home / "noisedash.db").write_bytes(b"no database at all" * 100)
    done = doctor("--json", home=own_home, RAY_AUTH_MODE="open", NOISEDASH_DB="")
    told = json.loads(done.stdout)
    verdicts = {finding["name"]: finding["verdict"] for finding in told["findings"]}
    assert done.returncode == 1, done.stderr
    assert (verdicts["database"], verdicts["Ray"], verdicts["torch"]) == ("problem", "problem", "ok")
    assert {"python", "packages", "GPU", "memory", "home", "worker", "datasets", "web"} <= set(verdicts)
    assert all(finding["remedy"] for finding in told["findings"] if finding["verdict"] != "ok")
    assert told["removed"] == []


def page_of(findings: list[Finding], monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The section as a page of its own, after its examination."""
    examinations = Examinations(lambda _settings: findings)
    monkeypatch.setattr(machine, "_EXAMINATIONS", examinations)
    wait_until(lambda: examinations.newest(current_settings()) is not None)

    def script() -> None:
        from noisedash.ui import machine

        machine.render()

    return AppTest.from_function(script).run()


def test_the_page_shows_what_is_wrong_and_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = [
        ok("cores", "There are 2."),
        warning("worker", "It sleeps.", "Wake it: `kill -CONT 5`."),
        problem("disk", "*Full* ![x](http://h/y).", "Empty it."),
    ]
    app = page_of(findings, monkeypatch)
    assert not app.exception
    assert [text.value for text in app.subheader] == ["This machine"]
    assert "`kill -CONT 5`" in app.warning[0].value
    assert r"\*Full\* \!\[x\]" in app.error[0].value
    assert "cores" not in app.warning[0].value + app.error[0].value


def test_the_page_is_silent_where_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    app = page_of([ok("cores", "There are 2.")], monkeypatch)
    assert not app.exception
    assert [*app.subheader, *app.warning, *app.error] == []


def test_the_page_waits_for_no_examination() -> None:
    begun, release, asked = threading.Event(), threading.Event(), []

    def slow(settings: Settings) -> list[Finding]:
        asked.append(settings)
        begun.set()
        release.wait(WITHIN_S)
        return [problem("disk", "It is full.", "Empty it.")]

    clock, settings = Clock(), current_settings()
    examinations = Examinations(slow, clock)
    assert examinations.newest(settings) is None
    assert begun.wait(WITHIN_S)
    assert examinations.newest(settings) is None
    release.set()
    wait_until(lambda: examinations.newest(settings) is not None)
    assert [finding.name for finding in examinations.newest(settings)] == ["disk"]
    assert len(asked) == 1
    clock.now += 61
    assert examinations.newest(settings) is not None
    wait_until(lambda: len(asked) == 2)
