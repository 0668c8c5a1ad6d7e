"""What a finished run detected on its test images, wherever it ran, and the report on it."""

from noisedash.datasets.dataset import Dataset
from noisedash.datasets.registry import DatasetRegistry
from noisedash.datasets.splits import split
from noisedash.errors import QueueError
from noisedash.evaluation.ap import match_as_in
from noisedash.evaluation.files import load_predictions
from noisedash.evaluation.precision import FloatArray
from noisedash.evaluation.records import Predictions
from noisedash.evaluation.report import RunReport, run_report
from noisedash.evaluation.resampling import resample
from noisedash.jobs.storage import finished_attempt
from noisedash.records import JobRecord, JobState
from noisedash.settings import Settings
from noisedash.studies.robustness import ImageDraws
from noisedash.studies.summary import MEAN


def report_on(settings: Settings, job: JobRecord, min_score: float | None = None) -> RunReport:
    """The report on a done job's run, from a score on; it takes seconds for thousands of images.

    Raises QueueError while the run is not done, NotFoundError without its dataset, DataError without its predictions,
    TransferError.
    """
    test, predictions = detections_of(settings, job)
    return run_report(test, predictions, job.spec.evaluation, min_score)


def image_draws(settings: Settings, job: JobRecord) -> ImageDraws:
    """A done job's AP on random halves of its test images, at each of its score thresholds.

    Jobs with the same test images are resampled alike. Raises as `report_on`.
    """
    test, predictions = detections_of(settings, job)
    table = match_as_in(test, predictions, job.spec.evaluation)
    draws: dict[tuple[str, float, str], FloatArray] = {}
    for threshold in job.spec.evaluation.score_thresholds:
        made = resample(table, min_score=threshold)
        draws[job.run_id, threshold, MEAN] = made.mean_draws
        for class_id, name in enumerate(test.classes):
            draws[job.run_id, threshold, name] = made.of_class_draws[:, class_id]
    return draws


def detections_of(settings: Settings, job: JobRecord) -> tuple[Dataset, Predictions]:
    """The clean test images of a done job's run and what it detected on them. Raises as `report_on`."""
    if job.state is not JobState.DONE:
        raise QueueError(f"Run {job.run_id} is {job.state}: it can be looked at in detail once it is done.")
    dataset = DatasetRegistry(settings).by_hash(job.spec.data.content_hash)
    return split(dataset, job.spec.data.split).test, load_predictions(finished_attempt(settings, job).predictions)
