"""Claims jobs and finishes them at once, until none waits: `faults_claimer.py NAME`; prints what it was given."""

import sys

from noisedash.jobs.store import Store
from noisedash.settings import current_settings


def main(name: str) -> None:
    store = Store(current_settings().database_url)
    while (claim := store.claim(name)) is not None:
        store.finish(claim.job_id, claim.token)
        sys.stdout.write(f"{claim.job_id}\n")


if __name__ == "__main__":
    main(sys.argv[1])
