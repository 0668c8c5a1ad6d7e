"""What the doctor finds on the machine: packages, GPUs, memory and disks."""

import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from doctor_tools import GIB, OK, PROBLEM, WARNING, WITHIN_S, only
from packaging.requirements import Requirement

from noisedash.jobs.doctor import (
    devices,
    disk,
    packages,
)
from noisedash.jobs.doctor.examination import from_line
from noisedash.jobs.doctor.findings import Verdict
from noisedash.jobs.doctor.machine import memory_limit
from noisedash.jobs.doctor.probes import Answer, Driver, Torch, ask, driver_of, torch_of


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
