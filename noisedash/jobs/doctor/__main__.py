"""`python -m noisedash.jobs.doctor [NICENESS]`: every check of this machine, a finding a line as JSON."""

import os
import sys

from noisedash.jobs.doctor.checks import run_checks
from noisedash.jobs.doctor.examination import to_line
from noisedash.jobs.doctor.findings import secrets_of, without_secrets
from noisedash.jobs.doctor.machine import checks_of
from noisedash.settings import current_settings


def main() -> None:
    """Print the findings; a check's thread that hangs is left behind."""
    settings = current_settings()
    os.nice(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    secrets = secrets_of(os.environ, settings.database_url)
    for finding in run_checks(checks_of(settings, os.environ)):
        sys.stdout.write(to_line(without_secrets(finding, secrets)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:  # nobody listens any more
        os._exit(1)
    os._exit(0)
