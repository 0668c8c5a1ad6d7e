"""What a finished run detected on its test images, wherever it ran, and the report on it."""

from noisedash.datasets.dataset import Dataset
from noisedash.datasets.registry import DatasetRegistry
from noisedash.datasets.splits import split
from noisedash.errors import QueueError
from noisedash.evaluation.files import load_predictions
from noisedash.evaluation.records import Predictions
from noisedash.evaluation.report import RunReport, run_report
from noisedash.jobs.storage import finished_attempt
from noisedash.records import JobRecord, JobState
from noisedash.settings import Settings


def report_on(settings: Settings, job: JobRecord, min_score: float | None = None) -> RunReport:
    """The report on a done job's run, from a score on; it takes seconds for thousands of images.

    Raises QueueError while the run is not done, NotFoundError without its dataset, DataError without its predictions,
    TransferError.
    """
    test, predictions = detections_of(settings, job)
    return run_report(test, predictions, job.spec.evaluation, min_score)


def detections_of(settings: Settings, job: JobRecord) -> tuple[Dataset, Predictions]:
    """The clean test images of a done job's run and what it detected on them. Raises as `report_on`."""
    if job.state is not JobState.DONE:
        raise QueueError(f"Run {job.run_id} is {job.state}: it can be looked at in detail once it is done.")
    dataset = DatasetRegistry(settings).by_hash(job.spec.data.content_hash)
    return split(dataset, job.spec.data.split).test, load_predictions(finished_attempt(settings, job).predictions)
