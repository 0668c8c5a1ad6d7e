"""What a machine can train at a time: a slot for each GPU, or for each CPU core. Found without importing torch."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from noisedash.errors import QueueError

GPUS_VARIABLE = "NOISEDASH_GPUS"
SLOTS_VARIABLE = "NOISEDASH_SLOTS"
_MEMORY_OF_CPU_TRAINER = 1 << 30


@dataclass(frozen=True)
class Slot:
    """A place for one trainer."""

    name: str
    gpu: str | None
    """What CUDA_VISIBLE_DEVICES shall be; None: the trainer sees no GPU."""
    threads: int

    @property
    def environment(self) -> dict[str, str]:
        """What the trainer's environment must hold before torch is imported."""
        threads = str(self.threads)
        return {
            "CUDA_VISIBLE_DEVICES": self.gpu or "",
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
        }


def slots_of_machine(count: int | None = None) -> tuple[Slot, ...]:
    """`count` slots (None: as NOISEDASH_SLOTS says) over this machine's GPUs, or its CPU cores where it has none.

    By default one for each GPU, or one of one thread for each core (two trainers of one thread do more than one of
    two), fewer where memory is short. More slots than GPUs share them. Raises QueueError where NOISEDASH_SLOTS is no
    number of slots.
    """
    if count is None:
        count = slots_wished(os.environ)
    return share_out(visible_gpus(os.environ), cpu_cores(), psutil.virtual_memory().total, count)


def share_out(gpus: tuple[str, ...], cores: int, memory: int, count: int | None = None) -> tuple[Slot, ...]:
    """Slots over the GPUs in turn, or over the cores; `memory` in bytes.

    >>> share_out((), cores=4, memory=8 << 30, count=2)
    (Slot(name='cpu 1', gpu=None, threads=2), Slot(name='cpu 2', gpu=None, threads=2))
    >>> [slot.name for slot in share_out(("0", "1"), cores=8, memory=8 << 30, count=3)]
    ['gpu 0', 'gpu 1', 'gpu 0 (2)']
    """
    if not gpus:
        number = count or max(1, min(cores, memory // _MEMORY_OF_CPU_TRAINER))
        return tuple(Slot(f"cpu {n}", None, max(1, cores // number)) for n in range(1, number + 1))
    number = count or len(gpus)
    threads = max(1, cores // number)
    rounds = [divmod(n, len(gpus)) for n in range(number)]
    return tuple(
        Slot(f"gpu {gpus[row]}" + (f" ({turn + 1})" if turn else ""), gpus[row], threads) for turn, row in rounds
    )


def slots_wished(environment: Mapping[str, str]) -> int | None:
    """The number in NOISEDASH_SLOTS, None where it is not set. Raises QueueError where it is none from 1 on.

    >>> slots_wished({"NOISEDASH_SLOTS": "4"})
    4
    """
    text = environment.get(SLOTS_VARIABLE, "").strip()
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise QueueError(f"{SLOTS_VARIABLE}={text} is no number of slots: set it to a whole number from 1 on.")
    return int(text)


def describe(slots: Sequence[Slot]) -> str:
    """What slots work on, in words.

    >>> describe(share_out((), cores=4, memory=8 << 30, count=2))
    '2 slots of 2 threads on the CPU'
    >>> describe(share_out(("0", "1"), cores=8, memory=8 << 30, count=4))
    '4 slots on 2 GPUs'
    """
    slots_text = "1 slot" if len(slots) == 1 else f"{len(slots)} slots"
    gpus = {slot.gpu for slot in slots if slot.gpu is not None}
    if gpus:
        return f"{slots_text} on {'1 GPU' if len(gpus) == 1 else f'{len(gpus)} GPUs'}"
    threads = slots[0].threads
    return f"{slots_text} of {'1 thread' if threads == 1 else f'{threads} threads'} on the CPU"


def visible_gpus(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The NVIDIA GPUs that may be used, as CUDA_VISIBLE_DEVICES names them.

    NOISEDASH_GPUS or CUDA_VISIBLE_DEVICES decide where they are set (empty: none); else the driver is asked.
    """
    for variable in (GPUS_VARIABLE, "CUDA_VISIBLE_DEVICES"):
        if variable in environment:
            names = (name.strip() for name in environment[variable].split(","))
            return tuple(name for name in names if name and name != "-1")
    return tuple(str(number) for number in range(_gpus_of_driver()))


def cpu_cores() -> int:
    """The cores that this process may use, by its affinity and, in a container, by its quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return max(1, min(allowed, _quota_of_container(Path("/sys/fs/cgroup/cpu.max"), allowed)))


def _quota_of_container(cpu_max: Path, otherwise: int) -> int:
    try:
        quota, period = cpu_max.read_text().split()
    except (OSError, ValueError):
        return otherwise
    return otherwise if quota == "max" else int(quota) // int(period)


def _gpus_of_driver() -> int:
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        folder = Path("/proc/driver/nvidia/gpus")
        return len(list(folder.iterdir())) if folder.is_dir() else 0
    return sum(line.startswith("GPU ") for line in listing.stdout.splitlines())
