"""A trainer that trains nothing: `jobs_fake_trainer.py JOB TOKEN MODE`, started as a supervisor starts the real one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from noisedash.errors import StaleTokenError
from noisedash.jobs.lease import LeaseWatch, end_this_process
from noisedash.jobs.processes import die_with_supervisor
from noisedash.jobs.protocol import TrainerExit
from noisedash.jobs.runfolder import run_folder
from noisedash.jobs.store import Store
from noisedash.records import Progress
from noisedash.settings import current_settings


def main(job_id: int, token: int, mode: str) -> None:
    die_with_supervisor()
    settings = current_settings()
    store = Store(settings.database_url)
    job = store.job(job_id)
    folder = run_folder(settings, job.run_id)
    own = folder.attempt(token).path
    if mode == "crash":
        sys.exit("It cannot go on.")
    if mode == "deaf":
        never_end(own)
    if mode == "silent":
        LeaseWatch(lambda: store.lease_left_s(job_id, token), late_s=0.5).guard(end_this_process, every_s=0.2)
        never_end(own)
    if mode == "full":
        sys.stdout.write("The disk of nowhere is full.")
        sys.exit(TrainerExit.NO_STORAGE)
    steps = job.spec.training.steps
    for step in range(steps_done(folder.path), steps):
        (own / "checkpoint.tmp").write_text(str(step + 1))
        (own / "checkpoint.tmp").replace(own / "checkpoint")
        with (folder.path / "steps.txt").open("a") as file:
            file.write(f"{token} {step + 1}\n")
        try:
            store.report(job_id, token, Progress("training", step + 1, steps))
        except StaleTokenError:
            sys.exit("stale")
        time.sleep(0.03)
    store.finish(job_id, token)


def steps_done(folder: Path) -> int:
    return max((int(path.read_text()) for path in folder.glob("attempt-*/checkpoint")), default=0)


def never_end(own: Path) -> None:
    """Start a child, and one in a session of its own; all three ignore SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    children = [subprocess.Popen(["/bin/sleep", "600"], start_new_session=new) for new in (False, True)]
    (own / "pids.tmp").write_text(" ".join(str(pid) for pid in (os.getpid(), *(child.pid for child in children))))
    (own / "pids.tmp").replace(own / "pids")
    time.sleep(600)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
