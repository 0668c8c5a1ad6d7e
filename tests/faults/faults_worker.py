"""A worker in a process of its own: `faults_worker.py MODE SLOTS LEASE_S PACE_S`.

MODE is `real` for the real trainer, with a checkpoint each PACE_S seconds, or a mode of faults_trainer.py, with a step
each PACE_S seconds. `--web PORT` before them starts the web app beside it, as `noisedash up` does.
"""

import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from noisedash.jobs import worker
from noisedash.jobs.protocol import Claim
from noisedash.jobs.store import Store
from noisedash.jobs.supervisor import Command, trainer_command
from noisedash.settings import current_settings
from noisedash.ui.server import serve_command

TRAINER = Path(__file__).parent / "faults_trainer.py"
ROOT = Path(__file__).resolve().parents[2]


def command_of(mode: str, pace_s: float) -> Command:
    if mode == "real":
        return partial(trainer_command, checkpoint_s=pace_s)

    def command(claim: Claim) -> list[str]:
        return [sys.executable, str(TRAINER), str(claim.job_id), str(claim.token), mode, str(pace_s)]

    return command


def main(mode: str, slots: int, lease_s: float, pace_s: float) -> None:
    settings = current_settings()
    worker.START_AGAIN_S = 1.0  # the pause after a full disk: the tests need not wait longer
    store = Store(settings.database_url, lease_s=lease_s)
    (settings.home / "worker-is-ready").write_text(str(time.time()))
    worker.run_worker(settings, slots, store=store, command=command_of(mode, pace_s), heartbeat_s=lease_s / 6)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[0] == "--web":
        subprocess.Popen(serve_command(int(arguments[1]), "127.0.0.1"), cwd=ROOT)
        arguments = arguments[2:]
    main(arguments[0], int(arguments[1]), float(arguments[2]), float(arguments[3]))
