"""How long a study will take: from the speed of earlier runs where there are some, else from the network's work.

The formula's constants are a least-squares fit (relative error) to ten speeds measured on two cores of a shared
machine in November 2026: own network, channels last, two threads, batch 16, multipliers 1 to .25, sides 300 to 96;
it meets each of them within 15 %. Two trainers of one thread each did .72 of that speed each, hence the exponent.
"""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import median
from typing import Literal

from noisedash.records import JobRecord, JobState
from noisedash.spec import DetectorSpec, RunSpec
from noisedash.studies.cost import multiply_adds

SECONDS_PER_MULTIPLY_ADD = 7.42e-11
"""Of the forward pass, but for forward and backward pass of one training image, on two threads."""
SECONDS_PER_IMAGE = 2.07e-3
"""What every training image takes besides."""
THREADS_EXPONENT = 0.47
FORWARD_SHARE = 0.4
"""Evaluating an image against training on one."""
STARTUP_S = 6.0
"""Starting the trainer's process and opening its data."""
TELLING_S = 20.0
"""A finished run that trained for less tells more of its start than of its speed."""
DEFAULT_TEST_IMAGES = 500

Source = Literal["measured", "scaled", "formula"]
_SOURCES: tuple[Source, ...] = ("measured", "scaled", "formula")
"""From the most certain to the least."""


@dataclass(frozen=True)
class Speed:
    """Training images a second that a run reached."""

    detector: DetectorSpec
    batch_size: int
    images_per_s: float


@dataclass(frozen=True)
class Estimate:
    """Seconds until the last of some runs has ended, were the queue empty now."""

    seconds: float
    first_run_s: float
    """Until the first run has ended."""
    source: Source
    """The least certain of its sources: 'measured' on such a network, 'scaled' from others, or by 'formula' alone."""


def speed_of(job: JobRecord) -> Speed | None:
    """The speed of a job that trains or has trained; None where it tells none, as a run does that was all start."""
    training = job.spec.training
    images_per_s = job.progress.images_per_s if job.progress else None
    if images_per_s is None and job.state is JobState.DONE and job.attempts == 1 and job.started_at and job.finished_at:
        training_s = (job.finished_at - job.started_at).total_seconds() - STARTUP_S
        images_per_s = training.steps * training.batch_size / training_s if training_s >= TELLING_S else None
    return Speed(job.spec.detector, training.batch_size, images_per_s) if images_per_s else None


def estimate(
    specs: Sequence[RunSpec],
    slots: int,
    cores: int,
    speeds: Iterable[Speed] = (),
    test_images: int = DEFAULT_TEST_IMAGES,
) -> Estimate:
    """The time that `slots` trainers on `cores` cores need for the runs, taken in their order.

    `speeds` are those of earlier runs here. `test_images` is how many the dataset has to test on, before the runs'
    own limits. No runs take no time.
    """
    assert slots > 0
    assert cores > 0
    known, threads = tuple(speeds), max(1, cores // slots)
    rates = {kind: images_per_s(*kind, threads, known) for kind in dict.fromkeys(map(_kind, specs))}
    ends = _ends([_duration(spec, rates[_kind(spec)][0], test_images) for spec in specs], slots)
    certainty = max((_SOURCES.index(source) for _, source in rates.values()), default=0)
    return Estimate(max(ends, default=0.0), min(ends, default=0.0), _SOURCES[certainty])


def _kind(spec: RunSpec) -> tuple[DetectorSpec, int]:
    return spec.detector, spec.training.batch_size


def images_per_s(
    detector: DetectorSpec, batch_size: int, threads: int, speeds: Sequence[Speed] = ()
) -> tuple[float, Source]:
    """Training images a second of one run, and where that is from.

    The median of runs with the same network (and batch size, where there are some), else the formula scaled by what
    other networks reached, else the formula.
    """
    same = [speed for speed in speeds if speed.detector == detector]
    alike = [speed for speed in same if speed.batch_size == batch_size] or same
    if alike:
        return median(speed.images_per_s for speed in alike), "measured"
    formula = formula_images_per_s(detector, threads)
    if not speeds:
        return formula, "formula"
    factor = median(speed.images_per_s / formula_images_per_s(speed.detector, threads) for speed in speeds)
    return formula * factor, "scaled"


@lru_cache(maxsize=1024)
def formula_images_per_s(detector: DetectorSpec, threads: int) -> float:
    """Training images a second on a CPU such as that of the fit.

    >>> from noisedash.spec import SsdMobileNetV1
    >>> round(formula_images_per_s(SsdMobileNetV1(), threads=2), 1)
    11.5
    """
    seconds = SECONDS_PER_MULTIPLY_ADD * multiply_adds(detector) + SECONDS_PER_IMAGE
    return float((threads / 2) ** THREADS_EXPONENT / seconds)


def _duration(spec: RunSpec, rate: float, test_images: int) -> float:
    training, every = spec.training, spec.evaluation.every
    limit = spec.data.split.max_test_images
    tested = test_images if limit is None else min(limit, test_images)
    evaluations = 1 + (training.steps // every if every else 0)
    images = training.steps * training.batch_size + FORWARD_SHARE * evaluations * tested
    return STARTUP_S + images / rate


def _ends(durations: Iterable[float], slots: int) -> list[float]:
    """When each run ends, if each goes to the slot that is free first."""
    free = [0.0] * slots
    ends = []
    for duration in durations:
        ends.append(heapq.heappop(free) + duration)
        heapq.heappush(free, ends[-1])
    return ends
