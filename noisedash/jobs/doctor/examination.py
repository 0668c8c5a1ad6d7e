"""The whole examination, in a process of its own: what hangs there hangs nobody else, and torch stays out of here."""

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import IO

from noisedash.jobs.doctor.findings import Finding, Verdict, problem
from noisedash.settings import Settings

WITHIN_S = 130.0
"""More than any single check may take; all of them run at once."""


def to_line(finding: Finding) -> str:
    """A finding as one line of JSON."""
    return json.dumps(asdict(finding))


def from_line(line: str) -> Finding:
    """The finding of such a line."""
    values = json.loads(line)
    return Finding(**{**values, "verdict": Verdict(values["verdict"])})


def examine(settings: Settings, within_s: float = WITHIN_S, niceness: int = 0) -> Iterator[Finding]:
    """The findings as they come. Ends within `within_s` seconds, whatever hangs; closing it early ends the process.

    `niceness`: how far it stands back where trainers want the processor.
    """
    environment = {**os.environ, "NOISEDASH_HOME": str(settings.home), "NOISEDASH_DB": settings.database_url}
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "noisedash.jobs.doctor", str(niceness)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            start_new_session=True,
        )
        assert process.stdout is not None
        try:
            whole = yield from _findings(process.stdout, time.monotonic() + within_s)
            if not whole:
                yield _unfinished(f"There was no answer within {within_s:.0f} s.")
            elif process.wait() != 0:
                said.seek(0)
                lines = said.read().strip().splitlines()
                yield _unfinished(f"It ended early{f' ({lines[-1][:200]})' if lines else ''}.")
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.stdout.close()
            with suppress(subprocess.TimeoutExpired):  # one that waits for a dead disk cannot even be killed
                process.wait(1.0)


def _findings(output: IO[bytes], deadline: float) -> Generator[Finding, None, bool]:
    """Yields a finding for each line; returns whether the output came to its end in time."""
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while selector.select(max(0.0, deadline - time.monotonic())):
            data = os.read(output.fileno(), 65_536)
            if not data:
                return True
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                yield from_line(line.decode())
    return False


def _unfinished(found: str) -> Finding:
    return problem("examination", found, "Run `python -m noisedash.jobs.doctor` to see how far it comes.")
