"""A trainer that trains nothing: `jobs_fake_trainer.py JOB TOKEN MODE`, started as a supervisor starts the real one."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

from noisedash.errors import StaleTokenError
from noisedash.jobs.lease import LeaseWatch, end_this_process
from noisedash.jobs.processes import be_killed_first, die_with_supervisor
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
    if mode == "large":
        sys.exit(takes_all_memory())
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


def takes_all_memory() -> int:
    """Ask for more memory than the limit of this process; the exit code that a trainer has then."""
    import torch  # other modes need not wait for it

    from noisedash.jobs.trainer import out_of_memory

    be_killed_first()
    resource.setrlimit(resource.RLIMIT_AS, (64 << 30, 64 << 30))
    try:
        torch.empty(1 << 40, dtype=torch.uint8)
    except (MemoryError, RuntimeError) as error:
        return out_of_memory(error) or 1
    return 0


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
