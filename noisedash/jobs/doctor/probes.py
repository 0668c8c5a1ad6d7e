"""Asking programs with a time limit; a program that hangs is killed and counts as no answer."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What became of a program: what it printed, or why there is nothing."""

    text: str
    trouble: str
    """'' where it ended well; 'missing' where there is no such program; else one line."""


def ask(command: Sequence[str], within_s: float) -> Answer:
    """Run a program and wait for its answer, at most so long."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=within_s, check=False, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        return Answer("", "missing")
    except subprocess.TimeoutExpired:
        return Answer("", f"no answer within {within_s:.0f} s")
    except OSError as error:
        return Answer("", error.strerror or "it could not be started")
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        return Answer(done.stdout, lines[-1] if lines else f"exit code {done.returncode}")
    return Answer(done.stdout, "")


@dataclass(frozen=True)
class Driver:
    """What NVIDIA's driver says."""

    gpus: tuple[str, ...] = ()
    cuda: str = ""
    """The newest CUDA that it runs, '13.0'."""
    trouble: str = ""
    """As in `Answer`."""


def driver_of(listing: Answer, summary: Answer) -> Driver:
    """The driver by `nvidia-smi -L` and the summary of `nvidia-smi`.

    >>> driver_of(Answer("GPU 0: NVIDIA H100 (UUID: GPU-1)", ""), Answer("| CUDA Version: 12.8 |", ""))
    Driver(gpus=('NVIDIA H100',), cuda='12.8', trouble='')
    """
    if listing.trouble:
        return Driver(trouble=listing.trouble)
    gpus = re.findall(r"^GPU \d+: (.*?)(?: \(UUID.*)?$", listing.text, re.MULTILINE)
    cuda = re.search(r"CUDA (?:UMD )?Version: *(\d+\.\d+)", summary.text)
    return Driver(tuple(gpus), cuda[1] if cuda else "", "")


@dataclass(frozen=True)
class Torch:
    """What torch says in a process of its own."""

    version: str = ""
    cuda: str | None = None
    """The CUDA that it was built for; None: built without."""
    gpus: tuple[str, ...] = ()
    operators: str = ""
    """Why torchvision's operators do not work; '' where they do."""
    said: str = ""
    """What torch warned of."""
    trouble: str = ""


def torch_of(answer: Answer) -> Torch:
    """What `torch_probe` printed."""
    if answer.trouble:
        return Torch(trouble=answer.trouble)
    said: dict[str, Any] = json.loads(answer.text.splitlines()[-1])
    return Torch(**{**said, "gpus": tuple(said["gpus"])})


def ask_driver(within_s: float) -> Driver:
    """NVIDIA's driver here."""
    listing = ask(["nvidia-smi", "-L"], within_s / 2)
    return driver_of(listing, Answer("", "") if listing.trouble else ask(["nvidia-smi"], within_s / 2))


def ask_torch(within_s: float) -> Torch:
    """Torch here."""
    return torch_of(ask([sys.executable, "-m", "noisedash.jobs.doctor.torch_probe"], within_s))
