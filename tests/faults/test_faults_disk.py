"""Disks that are full, under the home and under the database: in a mount namespace with a small disk of its own."""

import os
import subprocess
import sys
from pathlib import Path

INSIDE = Path(__file__).parent / "faults_small_disk.py"
SIZE = "128m"
MOUNT = 'mount -t tmpfs -o "size=$0" none "$NOISEDASH_SMALL_DISK" && exec "$@"'
NAMESPACE = ("unshare", "--mount", *(() if os.geteuid() == 0 else ("--map-root-user",)))


def test_full_disks(tmp_path: Path) -> None:
    """Runs the tests of faults_small_disk.py, which say what must hold."""
    disk = tmp_path / "disk"
    disk.mkdir()
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'inside'}"]
    ended = subprocess.run(
        [*NAMESPACE, "/bin/sh", "-c", MOUNT, SIZE, *tests, str(INSIDE)],
        env={**os.environ, "NOISEDASH_SMALL_DISK": str(disk)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "2 passed" in ended.stdout
    assert not any(disk.iterdir())
