"""What the probe saw of a job's run, wherever it ran, and the numbers of a study's runs side by side."""

from collections.abc import Iterable

import pandas as pd

from noisedash.jobs.runfolder import newest_attempt
from noisedash.jobs.storage import storage_of
from noisedash.probe_records import BACKGROUND, DROPPED, ProbeRecord, load_probe, rest
from noisedash.records import JobRecord, JobState
from noisedash.settings import Settings
from noisedash.spec import Focal, loss_label


def probe_of(settings: Settings, job: JobRecord) -> ProbeRecord | None:
    """The probe of the job's newest trainer, which counts as its predictions do; None where there is none.

    What ran on another machine is brought here from the storage once it is done. Raises DataError where the file is
    damaged, TransferError.
    """
    path = newest_attempt(settings, job).probe
    if not path.is_file() and job.state is JobState.DONE:
        storage = storage_of(settings, job.run_id)
        if storage is not None:
            storage.fetch(path, job.claims)
    return load_probe(path) if path.is_file() else None


def has_probe(settings: Settings, job: JobRecord) -> bool:
    """Whether `probe_of` may find one; a storage is not asked."""
    elsewhere = settings.storage is not None and job.state is JobState.DONE
    return elsewhere or newest_attempt(settings, job).probe.is_file()


def probe_frame(settings: Settings, jobs: Iterable[JobRecord], share: float) -> pd.DataFrame:
    """One row for each run that was probed, at its last point; don't-care regions at `share`. Raises as `probe_of`.

    Columns: job, run_id, loss, kind, gamma (cross-entropy: 0), missing, seed, step; anchors, mean_score, inside,
    inside_clearly, in_band and gradient_share of the dropped boxes' anchors; background_inside. Shares are of anchors,
    save gradient_share; not a number where no anchor stands for a dropped box.
    """
    rows = []
    for job in jobs:
        record = probe_of(settings, job)
        if record is not None and len(record.steps):
            rows.append(_row(job, record, share))
    return pd.DataFrame(rows, columns=_COLUMNS)


_COLUMNS = [
    *(
        "job",
        "run_id",
        "loss",
        "kind",
        "gamma",
        "missing",
        "seed",
        "step",
        "anchors",
        "mean_score",
        "inside",
        "inside_clearly",
    ),
    *("in_band", "gradient_share", "background_inside"),
]


def _row(job: JobRecord, record: ProbeRecord, share: float) -> dict[str, str | int | float]:
    loss = job.spec.loss
    gamma = loss.gamma if isinstance(loss, Focal) else 0.0
    dropped, background = (rest(record, group, gamma, share) for group in (DROPPED, BACKGROUND))
    return {
        "job": job.id,
        "run_id": job.run_id,
        "loss": loss_label(loss),
        "kind": loss.kind,
        "gamma": gamma,
        "missing": job.spec.noise.missing_rate,
        "seed": job.spec.training.seed,
        "step": int(record.steps[-1]),
        "anchors": int(record.anchors[DROPPED]),
        "mean_score": float(dropped.mean_score[-1]),
        "inside": float(dropped.inside[-1]),
        "inside_clearly": float(dropped.inside_clearly[-1]),
        "in_band": float(dropped.in_band[-1]),
        "gradient_share": float(record.gradient_share[-1, DROPPED]),
        "background_inside": float(background.inside[-1]),
    }
