"""What the tests of the doctor share."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

from jobs_tools import Clock

from noisedash.jobs.doctor.findings import Finding, Verdict
from noisedash.jobs.doctor.machine import queue_tables
from noisedash.jobs.store import Store
from noisedash.settings import Settings

GIB = 1 << 30
WITHIN_S = 60.0
OK, WARNING, PROBLEM = Verdict.OK, Verdict.WARNING, Verdict.PROBLEM


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


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
