"""Numbers and states in words, the same on every page."""

from collections.abc import Sequence

from noisedash.noise_spec import noise_label
from noisedash.records import JobRecord, JobState
from noisedash.spec import detector_label, loss_label

STATE_SIGN = {
    JobState.QUEUED: "○ queued",
    JobState.RUNNING: "▶ running",
    JobState.PAUSED: "Ⅱ paused",
    JobState.DONE: "✓ done",
    JobState.FAILED: "✕ failed",
    JobState.CANCELLED: "– cancelled",
}
"""A sign and the word, so that a state can be told without colour."""


def duration(seconds: float | None) -> str:
    """A time span for people, two units at most.

    >>> duration(7), duration(150), duration(7300), duration(200000), duration(None)
    ('7 s', '2 min 30 s', '2 h 1 min', '2 d 7 h', '–')
    """
    if seconds is None:
        return "–"
    whole = round(seconds)
    for size, unit, smaller, smaller_unit in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {smaller_unit}" if rest else "")
    return f"{whole} s"


def percent(share: float) -> str:
    """A share as a percentage without needless digits.

    >>> percent(0.5), percent(0.125)
    ('50 %', '12.5 %')
    """
    return f"{round(share * 100, 4):g} %"


def count(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun; the plural is the noun with an 's' unless given.

    >>> count(1, "run"), count(24000, "run"), count(2, "study", "studies")
    ('1 run', '24,000 runs', '2 studies')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def run_label(job: JobRecord, among: Sequence[JobRecord] = ()) -> str:
    """What sets a run apart within its study: loss, all of the noise and seed, and its network where they differ."""
    spec = job.spec
    noise = noise_label(spec.noise) if spec.noise.steps else f"{percent(0)} missing"
    network = f"{detector_label(spec.detector)}, " if mixes_networks(among) else ""
    return f"{network}{loss_label(spec.loss)}, {noise}, seed {spec.training.seed}"


def mixes_networks(jobs: Sequence[JobRecord]) -> bool:
    """Whether the jobs train networks of several kinds."""
    return len({detector_label(job.spec.detector) for job in jobs}) > 1
