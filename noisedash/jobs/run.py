"""One run from its spec to its results: data, noise, network, training, evaluation. Imports torch.

What it needs of the world is a folder to write into and a `Desk` to report to; it knows of no queue.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from noisedash.datasets.dataset import Dataset
from noisedash.datasets.imagecache import DecodedImages, LongestSide, Size, Square, open_images
from noisedash.datasets.registry import DatasetRegistry
from noisedash.datasets.splits import split
from noisedash.detector.build import build_detector
from noisedash.detector.calibration import calibrate_batch_norm
from noisedash.detector.network import Detector
from noisedash.detector.weights import initialise, save_weights
from noisedash.evaluation.ap import evaluate
from noisedash.evaluation.files import save_predictions
from noisedash.evaluation.predict import predict
from noisedash.evaluation.records import ApRecord, Predictions
from noisedash.jobs.protocol import CHECKPOINT_S
from noisedash.jobs.runfolder import RunFolder
from noisedash.jobs.storage import storage_of
from noisedash.jobs.uploads import clear_shared_checkpoints, fetch_newer_checkpoint, share_results, uploads
from noisedash.noise.recipe import NoisyDataset, apply_recipe
from noisedash.probe_records import save_probe
from noisedash.records import MetricRecord, Progress, ResultRecord
from noisedash.settings import Settings
from noisedash.spec import Augmentation, RunSpec, TrainingSpec, check_batch_size
from noisedash.training.batches import Batches
from noisedash.training.checkpoint import CheckpointFolder
from noisedash.training.loop import TrainingStoppedError, train
from noisedash.weights import WeightsRegistry

CALIBRATION_IMAGES = 64
CROPPED_FROM = 2
"""Images that are cropped at random are kept at so many times the input side, so that a crop still shows detail."""

logger = logging.getLogger(__name__)


class Desk(Protocol):
    """Whom a run reports to. Any call may raise, which ends the run."""

    def should_stop(self) -> bool:
        """Whether the run shall stop, and go on later."""

    def report(self, progress: Progress, metric: MetricRecord | None = None) -> None:
        """Take progress and a point of the curves, about once a second."""

    def checkpointed(self, step: int, path: Path) -> None:
        """Take note of a checkpoint that was written."""

    def record(self, results: Sequence[ResultRecord]) -> None:
        """Take results on the way."""

    def finish(self, results: Sequence[ResultRecord]) -> None:
        """Take the results at the end."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """All that a run starts from."""

    noisy: NoisyDataset
    train_images: DecodedImages
    test: Dataset
    test_images: DecodedImages
    model: Detector
    device: torch.device


def conduct(
    spec: RunSpec,
    settings: Settings,
    folder: RunFolder,
    claim: int,
    desk: Desk,
    checkpoint_s: float = CHECKPOINT_S,
) -> list[ResultRecord]:
    """Train and evaluate the run as its claim number `claim`; its final results, which the desk has too.

    A checkpoint is written each `checkpoint_s` seconds, and the newest one of any earlier claim is gone on from.
    Weights, predictions and probe lie in the claim's folder when the desk takes the results; checkpoints are removed
    then. Where there is a storage for all machines, checkpoints and results are brought there and come from there, too.
    Raises TrainingStoppedError where the desk says so, NoiseDashError, and whatever the desk raises.
    """
    folder.write_spec(spec)
    attempt = folder.attempt(claim)
    checkpoints = CheckpointFolder(attempt.checkpoints, [other.checkpoints for other in folder.others(claim)])
    storage = storage_of(settings, spec.id)
    ready = prepare(spec, settings, desk)
    steps = spec.training.steps
    fetch_newer_checkpoint(storage, checkpoints, spec.id)

    def evaluate_on_the_way(model: Detector, step: int) -> None:
        _, records = examine(spec, ready, model)
        desk.record(to_results(spec.id, step, False, records, ready.test.classes))

    with uploads(storage, attempt, claim) as upload:

        def saved(step: int, path: Path) -> None:
            desk.checkpointed(step, path)
            upload(path)

        model = train(
            spec,
            ready.noisy,
            ready.train_images,
            ready.model,
            checkpoints=checkpoints,
            checkpoint_every=steps,
            checkpoint_every_s=checkpoint_s,
            report=desk.report,
            saved=saved,
            should_stop=desk.should_stop,
            evaluate=evaluate_on_the_way,
            probed=partial(save_probe, attempt.probe),
            device=ready.device,
        )
    _tell(desk, Progress("evaluating", steps, steps))
    predictions, records = examine(spec, ready, model)
    save_predictions(attempt.predictions, predictions)
    save_weights(attempt.weights, model, ready.test.classes, f"NoiseDash run {spec.id}", "as its images and weights")
    results = to_results(spec.id, steps, True, records, ready.test.classes)
    share_results(storage, attempt, claim)
    desk.finish(results)
    told = ", ".join(f"{result.mean_ap:.3f} from score {result.score_threshold:g} on" for result in results)
    logger.info("Done: mAP %s.", told)
    checkpoints.clear()
    clear_shared_checkpoints(storage)
    return results


def prepare(spec: RunSpec, settings: Settings, desk: Desk) -> Prepared:
    """Data, images and network of a run. Raises NoiseDashError where one of them is not at hand or damaged."""
    check_batch_size(spec)
    waiting = Progress("preparing", 0, spec.training.steps)
    _tell(desk, waiting)
    dataset = DatasetRegistry(settings).by_hash(spec.data.content_hash)
    parts = split(dataset, spec.data.split)
    noisy = apply_recipe(parts.train, spec.noise)
    logger.info(
        "%s: %d images with %d boxes to train on, %d dropped; %d images with %d boxes to test on",
        *(dataset.name, len(parts.train.images), len(noisy.boxes), len(noisy.dropped)),
        *(len(parts.test.images), len(parts.test.boxes)),
    )
    if parts.leaked:
        logger.warning("%d training images are in the test set too, byte by byte.", len(parts.leaked))
    evaluate(parts.test, no_predictions(), spec.evaluation)  # what cannot be evaluated is not trained first
    side = spec.detector.input_side

    def images_of(part: Dataset, size: Size) -> DecodedImages:
        return open_images(part, settings.images, size, _every(100, lambda: _tell(desk, waiting)))

    train_images = images_of(parts.train, size_in_cache(spec))
    test_images = images_of(parts.test, Square(side))
    model, device = build_model(spec, settings, noisy, train_images)
    return Prepared(noisy, train_images, parts.test, test_images, model, device)


def size_in_cache(spec: RunSpec) -> Size:
    """The size at which the training images are kept: the input's, or larger where they are cropped first."""
    side = spec.detector.input_side
    return LongestSide(CROPPED_FROM * side) if spec.training.augmentation.random_crop else Square(side)


def build_model(
    spec: RunSpec, settings: Settings, noisy: NoisyDataset, images: DecodedImages
) -> tuple[Detector, torch.device]:
    """The network with its initial weights, and where it shall train: on the GPU that this process sees, if any."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = build_detector(spec.detector, len(noisy.clean.classes), seed=spec.training.seed)
    loaded = initialise(model, spec.initial, noisy.clean.classes, WeightsRegistry(settings))
    logger.info("%s Device %s, %d threads.", loaded, device, torch.get_num_threads())
    model.to(device)
    if loaded.batch_norm_folded:
        plain = Augmentation(horizontal_flip=False, random_crop=False)
        sample = TrainingSpec(batch_size=CALIBRATION_IMAGES, seed=spec.training.seed, augmentation=plain)
        batches = Batches(noisy, images, sample, spec.detector.input_side, device)
        calibrate_batch_norm(model, batches.batch_at(0).images)
    return model, device


def examine(spec: RunSpec, ready: Prepared, model: Detector) -> tuple[Predictions, tuple[ApRecord, ...]]:
    """What the network finds on the clean test images, and its average precision."""
    predictions = predict(model, ready.test, ready.test_images, spec.evaluation, ready.device)
    return predictions, evaluate(ready.test, predictions, spec.evaluation)


def no_predictions() -> Predictions:
    """What a network that finds nothing predicts."""
    nothing = np.empty(0, np.int64)
    return Predictions(nothing, nothing, np.empty(0, np.float32), np.empty((0, 4), np.float32))


def to_results(
    run_id: str, step: int, final: bool, records: Iterable[ApRecord], classes: Sequence[str]
) -> list[ResultRecord]:
    """Average precisions by class name, as the store keeps them."""
    return [
        ResultRecord(
            run_id, step, final, record.score_threshold, record.mean, dict(zip(classes, record.per_class, strict=True))
        )
        for record in records
    ]


def _tell(desk: Desk, progress: Progress) -> None:
    """Report where nothing is trained, and stop there if that is wanted: what was trained is kept already."""
    desk.report(progress)
    if desk.should_stop():
        raise TrainingStoppedError


def _every(count: int, call: Callable[[], None]) -> Callable[[int, int], None]:
    def progress(done: int, _total: int) -> None:
        if done % count == 0:
            call()

    return progress
