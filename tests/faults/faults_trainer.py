"""A trainer that trains nothing, for faults: `faults_trainer.py JOB TOKEN MODE STEP_S`.

It writes as the real one does: a checkpoint aside and renamed, a report under its token, results with the end. What it
writes carries its token, so that a test can tell from the database and the files who wrote what.
"""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from noisedash.errors import StaleTokenError, StoreError
from noisedash.jobs.processes import die_with_supervisor
from noisedash.jobs.runfolder import run_folder
from noisedash.jobs.store import Store
from noisedash.records import MetricRecord, Progress, ResultRecord
from noisedash.settings import current_settings

T = TypeVar("T")
logger = logging.getLogger(__name__)

STAY = "trap '' TERM INT HUP; touch $NOISEDASH_HOME/$0; sleep 600 & wait; sleep 600"
CHILDREN = """
setsid sh -c "$STAY" grandchild &
setsid sh -c 'setsid sh -c "$STAY" orphan & exit' &
exec sh -c "$STAY" child
"""
"""A child; a grandchild with a session of its own; and one whose parent has ended, so that init took it."""


def main(job_id: int, token: int, mode: str, step_s: float) -> None:
    die_with_supervisor()
    if mode == "crash":
        sys.exit("It cannot go on.")
    if mode == "trap" and job_id == 1:
        trap()
    settings = current_settings()
    store = persistently(lambda: Store(settings.database_url))
    job = persistently(lambda: store.job(job_id))
    folder = run_folder(settings, job.run_id)
    own = folder.attempt(token).path
    steps = job.spec.training.steps
    try:
        for step in range(steps_done(folder.path) + 1, steps + 1):
            keep(own, step)
            report(store, job_id, token, step, steps)
            time.sleep(step_s)
        result = ResultRecord(job.run_id, steps, True, 0.5, float(token), {})
        persistently(lambda: store.finish(job_id, token, [result]))
    except StaleTokenError as error:
        sys.exit(str(error))


def keep(own: Path, step: int) -> None:
    """A checkpoint, and a line about who wrote it."""
    (own / "checkpoint.tmp").write_text(str(step))
    (own / "checkpoint.tmp").replace(own / "checkpoint")
    with (own / "written.txt").open("a") as file:
        file.write(f"{os.getpid()} {step}\n")


def steps_done(folder: Path) -> int:
    """What the newest checkpoint of any attempt holds."""
    return max((int(path.read_text()) for path in folder.glob("attempt-*/checkpoint")), default=0)


def persistently(call: Callable[[], T]) -> T:
    """As the real trainer: ask the database until it answers."""
    while True:
        try:
            return call()
        except StoreError as error:
            logger.warning("%s", error)
            time.sleep(0.2)


def report(store: Store, job_id: int, token: int, step: int, steps: int) -> None:
    """As the real trainer: what the database does not take is left out."""
    try:
        store.report(job_id, token, Progress("training", step, steps), MetricRecord(step, float(token), 0, 0, 0, 0))
    except StoreError as error:
        logger.warning("%s", error)


def trap() -> None:
    """Never end: SIGTERM is ignored, here and in three more processes."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    subprocess.Popen(["/bin/sh", "-c", CHILDREN], env={**os.environ, "STAY": STAY})
    time.sleep(600)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], float(sys.argv[4]))
