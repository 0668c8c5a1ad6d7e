"""GPUs, cores, memory and threads: what the driver, torch and the container say, and whether that fits together."""

from collections.abc import Mapping

from noisedash.jobs.doctor.findings import Finding, ok, problem, warning
from noisedash.jobs.doctor.probes import Driver, Torch
from noisedash.jobs.slots import GPUS_VARIABLE

GIB = 1 << 30
MEMORY_OF_TRAINER = GIB
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_CUDA = "CUDA_VISIBLE_DEVICES"
_CUDA_BUILD = (
    "Install torch and torchvision anew from the package index: `pip install --force-reinstall torch torchvision`."
)


def torch_works(torch: Torch) -> Finding:
    """Whether torch can be imported, and torchvision fits it."""
    if torch.trouble:
        return problem("torch", f"torch cannot be used: {torch.trouble}.", _CUDA_BUILD)
    if torch.operators:
        return problem("torch", f"torchvision does not fit torch {torch.version}: {torch.operators}.", _CUDA_BUILD)
    return ok("torch", f"torch {torch.version} works, and torchvision's operators with it.")


def gpus(driver: Driver, torch: Torch, environment: Mapping[str, str]) -> Finding:
    """What the driver has against what torch sees."""
    hidden = GPUS_VARIABLE in environment or _CUDA in environment
    if driver.trouble not in ("", "missing"):
        return problem(
            "GPU",
            f"nvidia-smi does not work: {driver.trouble}.",
            "Restart the machine, or install NVIDIA's driver anew; until then NOISEDASH_GPUS= uses the cores.",
        )
    if torch.trouble:
        return warning("GPU", "What torch sees is not known, because it cannot be used.", "Mend torch first.")
    if not driver.gpus:
        return ok("GPU", f"torch sees {len(torch.gpus)} GPUs." if torch.gpus else "None: trainers use the cores.")
    told = f"{len(driver.gpus)} by the driver ({', '.join(dict.fromkeys(driver.gpus))})"
    if torch.cuda is None:
        return problem("GPU", f"{told}, but this torch was built without CUDA.", _CUDA_BUILD)
    if driver.cuda and _major(driver.cuda) < _major(torch.cuda):
        return problem(
            "GPU",
            f"The driver runs CUDA {driver.cuda} at most, and this torch was built for CUDA {torch.cuda}.",
            f"Update NVIDIA's driver to one for CUDA {_major(torch.cuda)}, or install a torch built for CUDA "
            f"{_major(driver.cuda)}.",
        )
    if not torch.gpus and not hidden:
        said = f" ({' '.join(torch.said.split())[:200]})" if torch.said else ""
        return problem("GPU", f"{told}, but torch can use none{said}.", "Restart the machine, then update the driver.")
    if len(torch.gpus) != len(driver.gpus) and not hidden:
        return warning(
            "GPU",
            f"{told}, but torch sees {len(torch.gpus)}.",
            "See `nvidia-smi` for a GPU that has failed or is divided (MIG), and restart the machine.",
        )
    return ok("GPU", f"{told}, {len(torch.gpus)} for torch.")


def gpu_variables(environment: Mapping[str, str], gpus_of_driver: int) -> Finding:
    """NOISEDASH_GPUS and CUDA_VISIBLE_DEVICES against the GPUs that there are."""
    for variable in (GPUS_VARIABLE, _CUDA):
        if variable not in environment:
            continue
        names = [name.strip() for name in environment[variable].split(",") if name.strip()]
        numbers = [int(name) for name in names if name.isdecimal()]
        odd = [
            name for name in names if not name.isdecimal() and not name.startswith(("GPU-", "MIG-")) and name != "-1"
        ]
        if odd:
            said = f"{variable} holds {', '.join(odd)}, which names no GPU."
        elif len(set(names)) < len(names):
            said = f"{variable} names a GPU twice ({environment[variable]})."
        elif any(number >= gpus_of_driver for number in numbers):
            said = f"{variable} names GPU {max(numbers)}, and the driver has {gpus_of_driver or 'none'}."
        elif gpus_of_driver and not [name for name in names if name != "-1"]:
            said = f"{variable} is set to none, so that trainers use the cores beside {gpus_of_driver} GPUs."
        else:
            continue
        return warning("GPU variables", said, f"Set {variable} to numbers from 0, with commas between, or unset it.")
    if GPUS_VARIABLE in environment and _CUDA in environment and environment[GPUS_VARIABLE] != environment[_CUDA]:
        return ok("GPU variables", f"{GPUS_VARIABLE} decides; {_CUDA} differs and is not used.")
    return ok("GPU variables", "They are in order.")


def cores(count: int, of_machine: int, slots: int) -> Finding:
    """The cores that may be used, of those that the machine has."""
    return ok("cores", f"{count} of {of_machine} cores may be used; a worker would run {slots} trainers at a time.")


def memory(available: int, limit: int | None, slots: int) -> Finding:
    """Bytes that are free, and the container's limit (None: none), against what a worker's trainers need."""
    needed = slots * MEMORY_OF_TRAINER
    told = f"{available / GIB:.1f} GiB are free"
    if limit is not None:
        told += f", and the container may use {limit / GIB:.1f} GiB"
    fit = max(1, min(available, limit if limit is not None else available) // MEMORY_OF_TRAINER)
    if available < MEMORY_OF_TRAINER / 2:
        return problem("memory", f"Only {told}: a trainer may be killed.", "End programs that use much memory.")
    if needed > (available if limit is None else min(available, limit)):
        return warning(
            "memory",
            f"{told}; {slots} trainers at a time want about {needed / GIB:.0f} GiB.",
            f"End other programs, or start the worker with `--slots {fit}`.",
        )
    return ok("memory", f"{told}.")


def shared_memory(size: int | None, ray: bool) -> Finding:
    """The size of /dev/shm in bytes, which only Ray needs here."""
    if ray and size is not None and size < GIB:
        return warning(
            "shared memory",
            f"/dev/shm has {size / (1 << 20):.0f} MiB; Ray keeps its objects there and is slow without.",
            "Start the container with `--shm-size=2g`.",
        )
    return ok("shared memory", "It suffices." if ray else "Nothing here needs it.")


def threads(environment: Mapping[str, str], core_count: int) -> Finding:
    """Settings of the number of threads. A worker sets them for its trainers; the web app and `noisedash run` obey."""
    for variable in _THREADS:
        value = environment.get(variable, "")
        if value and not (value.isdecimal() and int(value) > 0):
            return warning("threads", f"{variable} is {value!r}, no number of threads.", f"Unset {variable}.")
        if value and int(value) > core_count:
            return warning(
                "threads",
                f"{variable} asks for {value} threads on {core_count} cores, which then fight.",
                f"Unset {variable}, or set it to {core_count} at most; a worker shares threads out by itself.",
            )
    return ok("threads", "A worker shares the cores' threads out among its trainers.")


def _major(version: str) -> int:
    return int(version.split(".")[0])
